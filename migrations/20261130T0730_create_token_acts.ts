import { type Kysely, sql } from "kysely";

/** What tokens did to API keys and webhooks, until the owners are mailed of it; and when they last were. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `create table token_acts (
    account_id uuid not null references accounts,
    id uuid not null,
    line text not null,
    created_at timestamptz not null,
    primary key (account_id, id)
  )`,
  `alter table accounts add column acts_mailed_at timestamptz`,
];
