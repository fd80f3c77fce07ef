import { type Kysely, sql } from "kysely";

/** The feed of each account. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `create table events (
    account_id uuid not null references accounts,
    number bigint not null check (number >= 1),
    type text not null,
    resource_id text not null,
    job_id text,
    data json not null,
    created_at timestamptz not null,
    primary key (account_id, number)
  )`,
  // What retention looks for, in all accounts.
  `create index events_oldest on events (created_at, account_id, number)`,
  `create trigger events_kept before update on events
    for each row execute function refuse_change()`,
];
