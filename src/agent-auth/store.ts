import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import type { Credential } from "../lib/secrets.ts";

export const WRONG_CODES_AT_MOST = 5;

/** A registration with its account, and with the claim that is open or was the last. */
export type RegistrationRow = NonNullable<Awaited<ReturnType<typeof findByClaimToken>>>;

function selectRegistrations(db: Db, accountId: string) {
  return db
    .selectFrom("agent_registrations as r")
    .innerJoin("accounts as a", "a.account_id", "r.account_id")
    .leftJoin("claim_attempts as c", "c.account_id", "r.account_id")
    .where("r.account_id", "=", accountId)
    .select([
      "r.account_id as accountId",
      "a.id as registrationId",
      "a.name as accountName",
      "a.claimed_at as accountClaimedAt",
      "r.token_id as tokenId",
      "r.agent_name as agentName",
      "r.address",
      "r.user_agent as userAgent",
      "r.poll_interval as pollInterval",
      "r.polled_at as polledAt",
      "r.created_at as createdAt",
      "r.expires_at as expiresAt",
      "r.claimed_at as claimedAt",
      "r.scopes",
      "r.delivered_at as deliveredAt",
      "c.email",
      "c.code_digest as codeDigest",
      "c.wrong_codes as wrongCodes",
      "c.expires_at as attemptExpiresAt",
    ]);
}

/** By what the agent holds. */
export function findByClaimToken(db: Db, { accountId, digest }: Credential) {
  return selectRegistrations(db, accountId).where("r.claim_digest", "=", digest).executeTakeFirst();
}

/** By the address that the agent shows to its human. */
export function findByPage(db: Db, { accountId, digest }: Credential): Promise<RegistrationRow | undefined> {
  return selectRegistrations(db, accountId).where("c.page_digest", "=", digest).executeTakeFirst();
}

/** By the secret that was mailed. */
export function findByLink(db: Db, { accountId, digest }: Credential): Promise<RegistrationRow | undefined> {
  return selectRegistrations(db, accountId).where("c.link_digest", "=", digest).executeTakeFirst();
}

/** By the account that the agent made. */
export function findByAccount(db: Db, accountId: string): Promise<RegistrationRow | undefined> {
  return selectRegistrations(db, accountId).executeTakeFirst();
}

export async function insertRegistration(
  trx: Trx,
  registration: {
    accountId: string;
    tokenId: string;
    agentName: string | null;
    address: string;
    userAgent: string;
    claimDigest: Buffer;
    pollInterval: number;
    expiresAt: Date;
  },
  now: Date,
): Promise<void> {
  await trx
    .insertInto("agent_registrations")
    .values({
      account_id: registration.accountId,
      token_id: registration.tokenId,
      agent_name: registration.agentName,
      address: registration.address,
      user_agent: registration.userAgent,
      claim_digest: registration.claimDigest,
      poll_interval: registration.pollInterval,
      polled_at: null,
      created_at: now,
      expires_at: registration.expiresAt,
      claimed_at: null,
      scopes: null,
      delivered_at: null,
    })
    .execute();
}

/** Opens a claim, which replaces the one before it. */
export async function replaceAttempt(
  trx: Trx,
  accountId: string,
  attempt: {
    email: string;
    pageDigest: Buffer;
    codeDigest: Buffer;
    linkDigest: Buffer;
    expiresAt: Date;
  },
  now: Date,
): Promise<void> {
  const values = {
    email: attempt.email,
    page_digest: attempt.pageDigest,
    code_digest: attempt.codeDigest,
    link_digest: attempt.linkDigest,
    wrong_codes: 0,
    created_at: now,
    expires_at: attempt.expiresAt,
  };
  await trx
    .insertInto("claim_attempts")
    .values({ account_id: accountId, ...values })
    .onConflict((conflict) => conflict.column("account_id").doUpdateSet(values))
    .execute();
}

/** Records a poll, and the interval until the next. */
export async function updatePolling(
  trx: Trx,
  accountId: string,
  { polledAt, pollInterval }: { polledAt: Date | null; pollInterval: number },
): Promise<void> {
  await trx
    .updateTable("agent_registrations")
    .set({ polled_at: polledAt, poll_interval: pollInterval })
    .where("account_id", "=", accountId)
    .execute();
}

/** Counts a wrong code. */
export async function countWrongCode(trx: Trx, accountId: string): Promise<void> {
  await trx
    .updateTable("claim_attempts")
    .set((attempt) => ({ wrong_codes: attempt("wrong_codes", "+", 1) }))
    .where("account_id", "=", accountId)
    .where("wrong_codes", "<", WRONG_CODES_AT_MOST)
    .execute();
}

/** Records that a human has claimed the account, with the scopes they granted. `false`: it was claimed already. */
export async function markClaimed(
  trx: Trx,
  accountId: string,
  scopes: readonly string[],
  now: Date,
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("agent_registrations")
    .set({ claimed_at: now, scopes: [...scopes] })
    .where("account_id", "=", accountId)
    .where("claimed_at", "is", null)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** Records that the agent has fetched its token. `false`: it was fetched before. */
export async function markDelivered(trx: Trx, accountId: string, now: Date): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("agent_registrations")
    .set({ delivered_at: now })
    .where("account_id", "=", accountId)
    .where("claimed_at", "is not", null)
    .where("delivered_at", "is", null)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** Empties the scopes of a grant that was not fetched yet. `false`: there is none. */
export async function markRefused(trx: Trx, accountId: string): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("agent_registrations")
    .set({ scopes: [] })
    .where("account_id", "=", accountId)
    .where("claimed_at", "is not", null)
    .where("delivered_at", "is", null)
    .where(sql<boolean>`cardinality(scopes) > 0`)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** Unclaimed registrations whose window ended before then, the oldest first. */
export function listUnclaimed(db: Db, before: Date, limit: number) {
  return db
    .selectFrom("agent_registrations")
    .where("claimed_at", "is", null)
    .where("expires_at", "<", before)
    .select(["account_id as accountId", "token_id as tokenId"])
    .orderBy("expires_at")
    .limit(limit)
    .execute();
}

/** Deletes an unclaimed registration and its open claim. `false`: it was claimed. */
export async function deleteUnclaimed(trx: Trx, accountId: string): Promise<boolean> {
  const unclaimed = await trx
    .selectFrom("agent_registrations")
    .where("account_id", "=", accountId)
    .where("claimed_at", "is", null)
    .select("account_id")
    .forUpdate()
    .executeTakeFirst();
  if (unclaimed === undefined) return false;
  await trx.deleteFrom("claim_attempts").where("account_id", "=", accountId).execute();
  await trx.deleteFrom("agent_registrations").where("account_id", "=", accountId).execute();
  return true;
}
