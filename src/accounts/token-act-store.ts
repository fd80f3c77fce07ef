import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";

/** Leaves a line for the next mail to the account's owners. */
export async function insertAct(
  trx: Trx,
  accountId: string,
  act: { id: string; line: string },
  now: Date,
): Promise<void> {
  await trx
    .insertInto("token_acts")
    .values({ account_id: accountId, ...act, created_at: now })
    .execute();
}

/** Accounts with lines to mail whose owners were last mailed of such before then. */
export async function listAccountsWithActs(db: Db, mailedBefore: Date, limit: number): Promise<string[]> {
  const { rows } = await sql<{ accountId: string }>`
    select a.account_id as "accountId" from (select distinct account_id from token_acts) t
    cross join lateral (
      select a.account_id from accounts a
      where a.account_id = t.account_id and (a.acts_mailed_at is null or a.acts_mailed_at <= ${mailedBefore}) offset 0
    ) a
    limit ${limit}`.execute(db);
  return rows.map(({ accountId }) => accountId);
}

/** The account, held. `undefined`: its owners were mailed meanwhile. */
export function lockMailable(trx: Trx, accountId: string, mailedBefore: Date) {
  return trx
    .selectFrom("accounts")
    .where("account_id", "=", accountId)
    .where((where) =>
      where.or([where("acts_mailed_at", "is", null), where("acts_mailed_at", "<=", mailedBefore)]),
    )
    .select("name")
    .forNoKeyUpdate()
    .executeTakeFirst();
}

/** Takes the account's lines, in the order in which they were written. */
export async function takeActs(trx: Trx, accountId: string): Promise<string[]> {
  const rows = await trx
    .deleteFrom("token_acts")
    .where("account_id", "=", accountId)
    .returning(["id", "line"])
    .execute();
  return rows.sort((a, b) => (a.id < b.id ? -1 : 1)).map(({ line }) => line);
}

export async function markActsMailed(trx: Trx, accountId: string, now: Date): Promise<void> {
  await trx
    .updateTable("accounts")
    .set({ acts_mailed_at: now })
    .where("account_id", "=", accountId)
    .execute();
}
