import type { Trx } from "../database/connection.ts";

/** Who must sign which statement of which approval, in which session. */
export type Challenge = {
  accountId: string;
  approvalId: string;
  userId: string;
  sessionId: string;
  digest: Buffer;
};

/** Stores the challenge for the person's passkey. It replaces an earlier one. */
export async function putChallenge(
  trx: Trx,
  { accountId, approvalId, userId, sessionId, digest }: Challenge,
  { now, expiresAt }: { now: Date; expiresAt: Date },
): Promise<void> {
  const asked = { session_id: sessionId, digest, issued_at: now, expires_at: expiresAt };
  await trx
    .insertInto("co_sign_challenges")
    .values({ account_id: accountId, approval_id: approvalId, user_id: userId, ...asked })
    .onConflict((conflict) => conflict.columns(["account_id", "approval_id", "user_id"]).doUpdateSet(asked))
    .execute();
}

/** Uses the challenge up. `false`: it was used or replaced, has expired, or belongs to another session. */
export async function takeChallenge(
  trx: Trx,
  { accountId, approvalId, userId, sessionId, digest }: Challenge,
  now: Date,
): Promise<boolean> {
  const { numDeletedRows } = await trx
    .deleteFrom("co_sign_challenges")
    .where("account_id", "=", accountId)
    .where("approval_id", "=", approvalId)
    .where("user_id", "=", userId)
    .where("session_id", "=", sessionId)
    .where("digest", "=", digest)
    .where("expires_at", ">", now)
    .executeTakeFirstOrThrow();
  return numDeletedRows === 1n;
}
