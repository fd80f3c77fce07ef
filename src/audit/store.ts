import { type Insertable, type Selectable, sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import type { Database } from "../database/schema.ts";

export type AuditRow = Selectable<Database["audit_entries"]>;

/** What an entry holds beside its account and its id. Values are JSON text. */
export type NewAuditRow = Omit<Insertable<Database["audit_entries"]>, "account_id" | "id">;

export async function insertEntries(
  trx: Trx,
  accounts: readonly { accountId: string; id: string }[],
  row: NewAuditRow,
): Promise<void> {
  await trx
    .insertInto("audit_entries")
    .values(accounts.map(({ accountId, id }) => ({ ...row, account_id: accountId, id })))
    .execute();
}

/** The accounts that the person is a member of at this moment. */
export async function listAccountsOf(trx: Trx, userId: string): Promise<string[]> {
  const rows = await trx
    .selectFrom("members")
    .where("user_id", "=", userId)
    .where("status", "=", "active")
    .select("account_id")
    .orderBy("account_id")
    .execute();
  return rows.map(({ account_id }) => account_id);
}

/** An account's entries before a point, the newest first. */
export async function listEntries(
  db: Db,
  accountId: string,
  {
    before,
    actions,
  }: { before: { at: Date; id: string } | undefined; actions?: readonly string[] | undefined },
  limit: number,
): Promise<AuditRow[]> {
  const newest = sql`
    ${before === undefined ? sql`` : sql`and (e.at, e.id) < (${before.at}::timestamptz, ${before.id}::uuid)`}
    order by e.at desc, e.id desc limit ${limit}`;
  const all = sql<AuditRow>`select e.* from audit_entries e where e.account_id = ${accountId} ${newest}`;
  // Each action by its index, as few entries of rare ones are spread over all there are.
  const some = sql<AuditRow>`
    select e.* from unnest(${actions}::text[]) a (action)
    cross join lateral (
      select e.* from audit_entries e where e.account_id = ${accountId} and e.action = a.action ${newest}
    ) e order by e.at desc, e.id desc limit ${limit}`;
  return (await (actions === undefined ? all : some).execute(db)).rows;
}
