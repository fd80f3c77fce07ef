import { type Insertable, type Selectable, sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import type { AuditEntriesTable } from "../database/schema.ts";

export type AuditRow = Selectable<AuditEntriesTable>;

/** What an entry holds beside its account and its id. Values are JSON text. */
export type NewAuditRow = Omit<Insertable<AuditEntriesTable>, "account_id" | "id">;

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
export function listEntries(
  db: Db,
  accountId: string,
  {
    before,
    actions,
  }: { before: { at: Date; id: string } | undefined; actions?: readonly string[] | undefined },
  limit: number,
): Promise<AuditRow[]> {
  return db
    .selectFrom("audit_entries")
    .where("account_id", "=", accountId)
    .$if(before !== undefined, (query) =>
      query.where(sql<boolean>`(at, id) < (${before?.at}::timestamptz, ${before?.id}::uuid)`),
    )
    .$if(actions !== undefined, (query) => query.where(sql<boolean>`action = any(${actions})`))
    .selectAll()
    .orderBy("at", "desc")
    .orderBy("id", "desc")
    .limit(limit)
    .execute();
}
