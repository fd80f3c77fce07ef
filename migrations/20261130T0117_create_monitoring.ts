import { type Kysely, sql } from "kysely";

/** What operators look at: when each sweep last ran, and rows that readiness writes to see that the database takes writes. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [sweeps, writeProbes]) await statement.execute(db);
}

const sweeps = sql`
  create table sweeps (
    job text primary key,
    seen_at timestamptz not null,
    succeeded_at timestamptz,
    took_ms integer,
    failed_at timestamptz,
    failures integer not null default 0 check (failures >= 0),
    error text
  )`;

const writeProbes = sql`
  create table write_probes (
    slot smallint primary key,
    written_at timestamptz not null
  )`;
