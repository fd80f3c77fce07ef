import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";

/** Where an event stands in the order in which they are forgotten. */
type Place = { createdAt: Date; accountId: string; number: number };

/** Events of all accounts from before then, a page of them, the oldest first. */
export async function listOldEvents(db: Db, after: Place | undefined, before: Date, limit: number) {
  const beyond =
    after === undefined
      ? sql`true`
      : sql`(created_at, account_id, number) > (${after.createdAt}::timestamptz, ${after.accountId}::uuid, ${after.number}::bigint)`;
  const { rows } = await sql<Place>`
    select created_at as "createdAt", account_id as "accountId", number from events
    where created_at < ${before} and ${beyond}
    order by created_at, account_id, number limit ${limit}`.execute(db);
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
