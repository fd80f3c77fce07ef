import { type Kysely, sql } from "kysely";

/** What the processor holds and this database may have lost, with its last commits, by a fail-over or a restore. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  // One row: in which run of the server the processor was searched last, and until when nothing that was committed is lost.
  `create table processor_search (
    id boolean primary key default true check (id),
    run text not null default server_run(),
    seen_at timestamptz not null default now()
  )`,
  `insert into processor_search default values`,
  // Intents that no payment has. Account and milestone may be lost themselves, so no foreign key.
  `create table lost_intents (
    account_id uuid not null,
    intent_id text not null,
    milestone_id text not null,
    found_at timestamptz not null,
    told_at timestamptz,
    primary key (account_id, intent_id)
  )`,
  `create index lost_intents_of_milestone on lost_intents (account_id, milestone_id)`,
];
