import { type Kysely, sql } from "kysely";

/**
 * Indexes of approvals that a fund request pays for and no read needs: ids are UUIDv7, so the primary key lies in the
 * order of making, and at most 100 approvals of an account wait, which `approvals_pending` finds by the account.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
}

const statements = [`drop index approvals_newest`, `drop index approvals_of_contract`];
