import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { Asker } from "../database/schema.ts";
import { inTransaction } from "../database/transaction.ts";
import { nameOf } from "../lib/fields.ts";
import { isUuid, newId } from "../lib/ids.ts";
import { badField, notFound, Problem } from "../lib/problems.ts";
import { coversScope, type Scope } from "../lib/scopes.ts";
import { newSecret } from "../lib/secrets.ts";
import { addSeconds, isoOrNull, SECOND } from "../lib/time.ts";
import type { TokenMetadata } from "./schemas.ts";
import { type Grant, lockAccount } from "./store.ts";
import * as store from "./token-store.ts";

export { ASKER } from "./token-store.ts";

export const TOKEN_PREFIX = "ot_pat_";
export const ACTIVE_TOKENS_AT_MOST = 25;
/** So many an account's tokens may mint in 24 hours: each is kept for 30 days after its end. */
const MINTED_A_DAY = 2_000;
const DAY_SECONDS = 24 * 60 * 60;
const ENDED_LISTED = 100;
const DEFAULT_NAME = "API token";

type Account = { accountId: string; organizationId: string };
export type TokenRequest = { name: string; scopes: readonly string[]; expiresAt: Date | null; id?: string };
/**
 * Who mints a token: another token, with the one whose limits it counts against, a person, or an agent that registers or
 * is claimed. Absent: the operator, or the service.
 */
export type Minter =
  | Pick<Grant, "tokenId" | "rootTokenId">
  | { userId: string; name: string }
  | { registered: true }
  | undefined;
/** A token that was just minted. Its secret is here and nowhere else. */
export type MintedToken = { token: string; tokenType: "bearer"; metadata: TokenMetadata };

/**
 * Mints a token for the operator.
 * @throws Problem token_limit_reached with 25 active ones, bad_request for an expiry that has passed
 */
export function createToken(db: Db, account: Account, request: TokenRequest): Promise<MintedToken> {
  return inTransaction(db, async (trx) => mintToken(trx, account, request, undefined, await readClock(trx)));
}

/**
 * Mints a token within the transaction of whoever may. Holds the account, so that no two pass its limit together.
 * @param request.id drawn before by a form, which then counts once
 * @throws Problem form_refused, token_limit_reached with 25 active ones, bad_request for an expiry that has passed, or
 * for a name that shows nothing
 */
export async function mintToken(
  trx: Trx,
  account: Account,
  request: TokenRequest,
  minter: Minter,
  now: Date,
): Promise<MintedToken> {
  await lockAccount(trx, account.accountId);
  // A form that draws the id is sent once.
  if (request.id !== undefined && (await store.findToken(trx, account.accountId, request.id)) !== undefined)
    throw new Problem("form_refused");
  if ((await store.countActiveTokens(trx, account.accountId, now)) >= ACTIVE_TOKENS_AT_MOST) {
    throw new Problem("token_limit_reached", { limit: ACTIVE_TOKENS_AT_MOST });
  }
  return insertToken(trx, account, request, minter, now);
}

/**
 * An agent mints a token for another program (CONTRACT.md §6): never with more scopes than its own, and ending no
 * later. What is not asked for is as its own.
 * @returns `undefined` when its own token has ended meanwhile
 * @throws Problem scope_missing, rate_limited after 2,000 in 24 hours, token_limit_reached, bad_request
 * {field: "expiresAt" | "name"}
 */
export async function mintFromToken(
  db: Db,
  minter: Grant,
  { name = DEFAULT_NAME, scopes = minter.scopes, expiresAt }: Partial<TokenRequest>,
  publicUrl: string,
): Promise<MintedToken | undefined> {
  assertCovered(minter, scopes, publicUrl);
  return inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    // With the account held nobody revokes it: what it mints dies with it, or is not minted.
    await lockAccount(trx, minter.accountId);
    const own = await store.findToken(trx, minter.accountId, minter.tokenId);
    if (own === undefined || statusOf(own, now) !== "active") return undefined;
    await assertMayMint(trx, minter.accountId, now);
    const end = expiresAt ?? own.expires_at;
    if (own.expires_at !== null && end !== null && !(end <= own.expires_at)) {
      throw new Problem(
        "bad_request",
        { field: "expiresAt", latest: own.expires_at.toISOString() },
        "`expiresAt` must not be later than that of the token which mints it: `details.latest`.",
      );
    }
    return mintToken(trx, minter, { name, scopes, expiresAt: end }, minter, now);
  });
}

async function assertMayMint(trx: Trx, accountId: string, now: Date): Promise<void> {
  const { count, first } = await store.countMinted(trx, accountId, addSeconds(now, -DAY_SECONDS));
  if (count < MINTED_A_DAY) return;
  const free = addSeconds(first ?? now, DAY_SECONDS);
  throw new Problem(
    "rate_limited",
    { retryAfterSeconds: Math.ceil((free.getTime() - now.getTime()) / SECOND) },
    `The tokens of this account have minted ${MINTED_A_DAY} in 24 hours. Use one for longer.`,
  );
}

/**
 * An agent revokes a token of its account, and with it all that it has minted, at once. One that is revoked stays
 * so. A token may revoke itself, and those that it could have minted.
 * @throws Problem not_found {resource: "tokens", tokenId}, scope_missing
 */
export async function revokeFromToken(
  db: Db,
  caller: Grant,
  id: string,
  publicUrl: string,
): Promise<TokenMetadata> {
  const { accountId, organizationId } = caller;
  return inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    await lockAccount(trx, accountId);
    const row = isUuid(id) ? await store.findToken(trx, accountId, id) : undefined;
    if (row === undefined) throw notFound("tokens", "tokenId", id);
    if (id !== caller.tokenId) assertCovered(caller, row.scopes, publicUrl);
    await revokeWithOffspring(trx, accountId, [id], now);
    return toTokenMetadata({ ...row, revoked_at: row.revoked_at ?? now }, organizationId, now);
  });
}

/**
 * Revokes tokens, and all that they have minted, transitively. Whoever calls holds the account, so that nothing is
 * minted meanwhile.
 * @returns how many were live until now
 */
export async function revokeWithOffspring(
  trx: Trx,
  accountId: string,
  ids: readonly string[],
  now: Date,
): Promise<number> {
  return store.revokeTokens(trx, accountId, await store.listWithOffspring(trx, accountId, ids), now);
}

/** Revokes the live tokens of that name and mints a new one under it, in one transaction. */
export async function replaceToken(db: Db, account: Account, request: TokenRequest): Promise<MintedToken> {
  const { accountId } = account;
  return inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    await lockAccount(trx, accountId);
    const former = await store.listLiveTokensNamed(trx, accountId, request.name);
    await revokeWithOffspring(trx, accountId, former, now);
    return insertToken(trx, account, request, undefined, now);
  });
}

/** The account's tokens, newest first, without their secrets: those that live, and the 100 that ended last. */
export async function listTokens(db: Db, { accountId, organizationId }: Account): Promise<TokenMetadata[]> {
  const now = await readClock(db);
  const rows = await store.listTokens(db, accountId, { now, ended: ENDED_LISTED });
  return rows.map((row) => toTokenMetadata(row, organizationId, now));
}

/** A token as the account's members see it, with who minted it, by name. */
export type Key = TokenMetadata & Pick<store.KeyRow, "minterToken" | "minterUser" | "minterUserId" | "asker">;

/** The account's tokens for its members, newest first: those that live, and so many of those that ended last. */
export async function listKeys(db: Db, { accountId, organizationId }: Account, ended = 0): Promise<Key[]> {
  const now = await readClock(db);
  const rows = await store.listKeys(db, accountId, { now, ended });
  return rows.map((row) => toKey(row, organizationId, now));
}

/** One of them. */
export async function findKey(
  db: Db,
  { accountId, organizationId }: Account,
  id: string,
): Promise<Key | undefined> {
  const row = isUuid(id) ? await store.findKey(db, accountId, id) : undefined;
  return row && toKey(row, organizationId, await readClock(db));
}

/** Who stands behind the account's token of that id. `undefined`: there is none. */
export function findAsker(db: Db, accountId: string, tokenId: string): Promise<Asker | undefined> {
  return store.findAsker(db, accountId, tokenId);
}

/** The live tokens that a person has minted by hand: those whose secrets they have seen. */
export function listTokensOfUser(db: Db, accountId: string, userId: string): Promise<string[]> {
  return store.listLiveTokensOfUser(db, accountId, userId);
}

/** The token, or those that a person has minted by hand, and all that they have minted; ended ones too. */
export async function listFamily(
  db: Db,
  accountId: string,
  of: { tokenId: string } | { userId: string },
): Promise<string[]> {
  const ids = "tokenId" in of ? [of.tokenId] : await store.listTokensOfUser(db, accountId, of.userId);
  return store.listWithOffspring(db, accountId, ids);
}

async function insertToken(
  trx: Trx,
  { accountId, organizationId }: Account,
  { id = newId(), name, scopes, expiresAt }: TokenRequest,
  minter: Minter,
  now: Date,
): Promise<MintedToken> {
  nameOf("name", name);
  // Also no time at all, as a leap second becomes.
  if (expiresAt !== null && !(expiresAt > now)) {
    throw badField("expiresAt", "`expiresAt` must lie in the future.");
  }
  const secret = newSecret(TOKEN_PREFIX, accountId);
  const mintedBy = minter !== undefined && "tokenId" in minter ? minter : null;
  const person = minter !== undefined && "userId" in minter ? minter : null;
  const registered = minter !== undefined && "registered" in minter;
  const kind = person !== null ? "person" : registered ? "agent" : "operator";
  const row = await store.insertToken(
    trx,
    accountId,
    {
      id,
      name,
      secret,
      scopes,
      mintedBy: mintedBy?.tokenId ?? null,
      rootId: mintedBy?.rootTokenId ?? null,
      mintedByUser: person?.userId ?? null,
      maker: { kind, name: person?.name ?? null },
      expiresAt,
    },
    now,
  );
  return { token: secret.value, tokenType: "bearer", metadata: toTokenMetadata(row, organizationId, now) };
}

/** @throws Problem scope_missing that names what is not covered */
function assertCovered(caller: Grant, scopes: readonly string[], publicUrl: string): void {
  const missing = scopes.filter((scope) => !coversScope(caller.scopes, scope as Scope));
  if (missing.length === 0) return;
  throw new Problem("scope_missing", {
    requiredScopes: missing,
    grantedScopes: caller.scopes,
    tokensUrl: `${publicUrl}/settings/keys`,
  });
}

function statusOf(row: store.TokenRow, now: Date): "active" | "expired" | "revoked" {
  if (row.revoked_at !== null) return "revoked";
  return row.expires_at !== null && row.expires_at <= now ? "expired" : "active";
}

function toTokenMetadata(row: store.TokenRow, organizationId: string, now: Date): TokenMetadata {
  return {
    id: row.id,
    name: row.name,
    preview: row.preview,
    scopes: row.scopes,
    status: statusOf(row, now),
    organizationId,
    createdAt: row.created_at.toISOString(),
    lastUsedAt: isoOrNull(row.last_used_at),
    expiresAt: isoOrNull(row.expires_at),
    revokedAt: isoOrNull(row.revoked_at),
  };
}

function toKey(row: store.KeyRow, organizationId: string, now: Date): Key {
  const { minterToken, minterUser, minterUserId, asker } = row;
  return { ...toTokenMetadata(row, organizationId, now), minterToken, minterUser, minterUserId, asker };
}
