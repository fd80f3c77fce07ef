import { type Kysely, sql } from "kysely";

/** When an approval should be mailed of next, and when a member was last mailed of approvals. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [
  `alter table approvals add column notify_at timestamptz`,
  // When the operator's feed said that it was asked for.
  `alter table approvals add column announced_at timestamptz`,
  `create index approvals_notify on approvals (notify_at) where status = 'pending' and notify_at is not null`,
  `create index approvals_declined on approvals (account_id, milestone_id, resolved_at) where status = 'declined'`,
  `alter table members add column mailed_at timestamptz`,
];
