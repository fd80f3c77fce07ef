import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";

/** Accounts with events, a page of them by `account_id`, and whether the oldest event kept is from before then. */
export async function listOldestEvents(
  db: Db,
  after: string,
  before: Date,
  limit: number,
): Promise<{ accountId: string; isOld: boolean }[]> {
  const { rows } = await sql<{ accountId: string; isOld: boolean }>`
    select h.account_id as "accountId", coalesce(e.created_at < ${before}, false) as "isOld"
    from (
      select account_id, first_event from account_heads where account_id > ${after} order by account_id limit ${limit}
    ) h
    left join lateral (
      select created_at from events
      where account_id = h.account_id and number >= h.first_event
      order by number limit 1
    ) e on true
    order by h.account_id`.execute(db);
  return rows;
}

/**
 * Removes the account's oldest events, up to the first that is not from before then.
 * @returns how many, `limit` at most
 */
export async function deleteOldEvents(
  trx: Trx,
  accountId: string,
  before: Date,
  limit: number,
): Promise<number> {
  const oldest = await trx
    .selectFrom("events")
    .where("account_id", "=", accountId)
    .select(["number", "created_at"])
    .orderBy("number")
    .limit(limit)
    .execute();
  const last = lastOf(oldest, before);
  if (last === undefined) return 0;
  const { numDeletedRows } = await trx
    .deleteFrom("events")
    .where("account_id", "=", accountId)
    .where("number", "<=", last)
    .executeTakeFirstOrThrow();
  await trx
    .updateTable("account_heads")
    .set({ first_event: last + 1 })
    .where("account_id", "=", accountId)
    .where("first_event", "<=", last)
    .execute();
  return Number(numDeletedRows);
}

/** Deletes all events of an account that is being deleted. @returns how many */
export async function deleteFeed(trx: Trx, accountId: string): Promise<number> {
  const { numDeletedRows } = await trx
    .deleteFrom("events")
    .where("account_id", "=", accountId)
    .executeTakeFirstOrThrow();
  return Number(numDeletedRows);
}

/** The same for the operator's feed, up to what the operator's webhook still has to send. */
export async function deleteOldOperatorEvents(trx: Trx, before: Date, limit: number): Promise<number> {
  const oldest = await trx
    .selectFrom("operator_events")
    .select(["number", "created_at"])
    .where(sql<boolean>`number <= all (select cursor from operator_webhook)`)
    .orderBy("number")
    .limit(limit)
    .execute();
  const last = lastOf(oldest, before);
  if (last === undefined) return 0;
  const { numDeletedRows } = await trx
    .deleteFrom("operator_events")
    .where("number", "<=", last)
    .executeTakeFirstOrThrow();
  await trx
    .updateTable("operator_head")
    .set({ first_event: last + 1 })
    .where("first_event", "<=", last)
    .execute();
  return Number(numDeletedRows);
}

/** The last event that can be deleted: an old one behind a newer one stays until that goes too. */
function lastOf(oldest: readonly { number: number; created_at: Date }[], before: Date): number | undefined {
  const kept = oldest.findIndex(({ created_at }) => created_at >= before);
  return (kept < 0 ? oldest : oldest.slice(0, kept)).at(-1)?.number;
}
