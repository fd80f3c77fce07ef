import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";

/** A key belongs to one token. */
export type KeyRef = { accountId: string; tokenId: string; key: string };
export type Claim = { digest: Buffer; attempt: string; now: Date };

const rowOf = ({ accountId, tokenId, key }: KeyRef) => ({ account_id: accountId, token_id: tokenId, key });

/** `false`: the key is known. */
export async function insertKey(trx: Trx, ref: KeyRef, claim: Claim): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto("idempotency_keys")
    .values({
      ...rowOf(ref),
      request_digest: claim.digest,
      attempt: claim.attempt,
      claimed_at: claim.now,
      answer: null,
    })
    .onConflict((conflict) => conflict.columns(["account_id", "token_id", "key"]).doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows === 1n;
}

export function findKey(trx: Trx, ref: KeyRef) {
  return trx
    .selectFrom("idempotency_keys")
    .where((where) => where.and(rowOf(ref)))
    .select(["request_digest as digest", "attempt", "claimed_at as claimedAt", "answer"])
    .executeTakeFirst();
}

/** Takes over a key that is still as in `seen`. `false`: it was answered or taken over meanwhile. */
export async function takeOver(
  trx: Trx,
  ref: KeyRef,
  seen: { attempt: string; answered: boolean },
  claim: Claim,
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("idempotency_keys")
    .set({ request_digest: claim.digest, attempt: claim.attempt, claimed_at: claim.now, answer: null })
    .where((where) => where.and(rowOf(ref)))
    .where("attempt", "=", seen.attempt)
    .where("answer", seen.answered ? "is not" : "is", null)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** Stores the attempt's answer. `false`: another attempt has taken the key over. */
export async function insertAnswer(db: Db, ref: KeyRef, attempt: string, answer: object): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable("idempotency_keys")
    .set({ answer: JSON.stringify(answer) })
    .where((where) => where.and(rowOf(ref)))
    .where("attempt", "=", attempt)
    .where("answer", "is", null)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** Releases the key of a failed attempt, so that a repeat can start at once. */
export async function releaseKey(db: Db, ref: KeyRef, attempt: string): Promise<void> {
  await db
    .deleteFrom("idempotency_keys")
    .where((where) => where.and(rowOf(ref)))
    .where("attempt", "=", attempt)
    .where("answer", "is", null)
    .execute();
}

/** Accounts with keys from before then. */
export async function listAccountsWithOldKeys(db: Db, before: Date, limit: number): Promise<string[]> {
  const { rows } = await sql<{ accountId: string }>`
    select distinct account_id as "accountId" from (
      select account_id from idempotency_keys where claimed_at <= ${before} order by claimed_at limit ${limit}
    ) oldest`.execute(db);
  return rows.map(({ accountId }) => accountId);
}

/** @returns how many */
export async function deleteOldKeys(trx: Trx, accountId: string, before: Date): Promise<number> {
  const { numDeletedRows } = await trx
    .deleteFrom("idempotency_keys")
    .where("account_id", "=", accountId)
    .where("claimed_at", "<=", before)
    .executeTakeFirstOrThrow();
  return Number(numDeletedRows);
}
