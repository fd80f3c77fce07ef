import { randomBytes } from "node:crypto";
import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { nameOf } from "../lib/fields.ts";
import { newId } from "../lib/ids.ts";
import type { Origin } from "../lib/origin.ts";
import { idCursorOf, PAGE_LIMIT, type PageQuery, toPage } from "../lib/pages.ts";
import { badField, Problem } from "../lib/problems.ts";
import { type Credential, newSecret, readSecret } from "../lib/secrets.ts";
import { isoOrNull } from "../lib/time.ts";
import { line, named, own } from "../mail/line.ts";
import type { TokenMetadata } from "./schemas.ts";
import { type Grant, lockAccount } from "./store.ts";
import { recordTokenAct } from "./token-act-service.ts";
import * as store from "./token-store.ts";

export { ASKER_COLUMNS } from "./key-store.ts";
export { type ActingToken, listLiveTokensOfUser } from "./token-store.ts";
export { recordTokenAct };

export const TOKEN_PREFIX = "ot_pat_";
export const ACTIVE_TOKENS_AT_MOST = 25;
/** So many of them may be minted by tokens: the rest stay for the account's members and the operator. */
export const MINTED_TOKENS_AT_MOST = 20;
const ENDED_LISTED = 100;
const DIGEST_BYTES = 32;

export type Account = { accountId: string; organizationId: string };
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
 * Mints a token within the caller's transaction. Locks the account, so that two calls cannot pass its limit together.
 * @param request.id drawn before by a form, which then counts once
 * @throws Problem account_frozen, form_refused, token_limit_reached with 25 active ones, or 20 that tokens minted,
 * bad_request for an expiry that has passed, or for a name that shows nothing
 */
export async function mintToken(
  trx: Trx,
  account: Account,
  request: TokenRequest,
  minter: Minter,
  now: Date,
): Promise<MintedToken> {
  const held = await lockAccount(trx, account.accountId);
  if (held?.frozen) throw new Problem("account_frozen");
  // A form that draws the id is sent once.
  if (request.id !== undefined && (await store.findToken(trx, account.accountId, request.id)) !== undefined)
    throw new Problem("form_refused");
  const active = await store.countActiveTokens(trx, account.accountId, now);
  if (active.all >= ACTIVE_TOKENS_AT_MOST)
    throw new Problem("token_limit_reached", { limit: ACTIVE_TOKENS_AT_MOST });
  if (minter !== undefined && "tokenId" in minter && active.byTokens >= MINTED_TOKENS_AT_MOST)
    throw new Problem("token_limit_reached", { limit: MINTED_TOKENS_AT_MOST });
  return insertToken(trx, account, request, minter, now);
}

/**
 * Holds the account, so that the token which acts is not revoked meanwhile (docs/design.md, invariant 13).
 * @returns the token; `undefined` when it has ended since the request's gates let it in
 */
export async function holdToken(
  trx: Trx,
  { accountId, tokenId }: Pick<Grant, "accountId" | "tokenId">,
  now: Date,
): Promise<store.TokenRow | undefined> {
  await lockAccount(trx, accountId);
  const own = await store.findToken(trx, accountId, tokenId);
  return own !== undefined && statusOf(own, now) === "active" ? own : undefined;
}

/** The credential of the token under which the operator requests approvals (docs/contract.md §8). Created at its first use. */
export function operatorCredential(db: Db, accountId: string): Promise<Credential> {
  const own = { name: "The operator", preview: "operator", userId: null };
  return inTransaction(db, (trx, now) => openSecretless(trx, accountId, own, now));
}

/**
 * The credential of the token under which a member requests approvals on pages (docs/contract.md §8). Created at its first use.
 * The caller holds the member.
 */
export function memberCredential(
  trx: Trx,
  accountId: string,
  { userId, name }: { userId: string; name: string },
  now: Date,
): Promise<Credential> {
  return openSecretless(trx, accountId, { name, preview: "member", userId }, now);
}

async function openSecretless(
  trx: Trx,
  accountId: string,
  own: Pick<store.Secretless, "name" | "preview" | "userId">,
  now: Date,
): Promise<Credential> {
  const token = { ...own, id: newId(), digest: randomBytes(DIGEST_BYTES) };
  return { accountId, digest: await store.openSecretless(trx, accountId, token, now) };
}

/**
 * Revokes a token on behalf of one, with its audit entry and the owners' mail. The account is held.
 * @returns whether it was live until now
 */
export async function revokeAsToken(
  trx: Trx,
  caller: store.ActingToken,
  { id, name, preview }: { id: string; name: string; preview: string },
  origin: Origin,
  now: Date,
): Promise<boolean> {
  const ended = await revokeWithDescendants(trx, caller.accountId, [id], now);
  if (ended === 0) return false;
  const what = id === caller.tokenId ? line`itself` : line`the API key ${named(name)} (${own(preview)})`;
  const act = {
    action: "key_revoked" as const,
    subject: { kind: "token" as const, id },
    before: { name, preview },
    after: { ended },
    said: ended > 1 ? line`revoked ${what}, and what it had created` : line`revoked ${what}`,
  };
  await recordTokenAct(trx, caller, act, origin, now);
  return true;
}

/**
 * Revokes the token of a secret, and its descendants. Holding the secret is enough (docs/contract.md §6).
 * @returns whether there was a live one
 */
export async function revokeSecret(
  trx: Trx,
  credential: Credential,
  origin: Origin,
  now: Date,
): Promise<boolean> {
  // With the account held nothing is minted meanwhile.
  await lockAccount(trx, credential.accountId);
  const token = await store.findLiveToken(trx, credential);
  return token !== undefined && revokeAsToken(trx, token, { ...token, id: token.tokenId }, origin, now);
}

/**
 * Revokes tokens and their descendants. The caller has locked the account, so that none is minted meanwhile.
 * @returns how many were live until now
 */
export async function revokeWithDescendants(
  trx: Trx,
  accountId: string,
  ids: readonly string[],
  now: Date,
): Promise<number> {
  return store.revokeTokens(trx, accountId, await store.listWithDescendants(trx, accountId, ids), now);
}

/** Revokes the live tokens of that name and mints a new one under it, in one transaction. */
export async function replaceToken(db: Db, account: Account, request: TokenRequest): Promise<MintedToken> {
  const { accountId } = account;
  return inTransaction(db, async (trx, now) => {
    await lockAccount(trx, accountId);
    const former = await store.listLiveTokensNamed(trx, accountId, request.name);
    await revokeWithDescendants(trx, accountId, former, now);
    return insertToken(trx, account, request, undefined, now);
  });
}

/** The account's tokens, newest first, without their secrets: those that live, and the 100 that ended last. */
export async function listTokens(db: Db, { accountId, organizationId }: Account): Promise<TokenMetadata[]> {
  const now = await readClock(db);
  const rows = await store.listTokens(db, accountId, { now, ended: ENDED_LISTED });
  return rows.map((row) => toTokenMetadata(row, organizationId, now));
}

/**
 * A page of the account's tokens, ended ones too, newest first.
 * @throws Problem bad_request {field: "cursor"}
 */
export async function listTokenPage(
  db: Db,
  { accountId, organizationId }: Account,
  { cursor, limit = PAGE_LIMIT }: PageQuery,
): Promise<{ tokens: TokenMetadata[]; nextCursor: string | null }> {
  const rows = await store.listTokenPage(db, accountId, idCursorOf(cursor), limit + 1);
  const { page, nextCursor } = toPage(rows, limit, ({ id }) => id);
  const now = await readClock(db);
  return { tokens: page.map((row) => toTokenMetadata(row, organizationId, now)), nextCursor };
}

/** The id of the token that a secret is, an ended one's too; `undefined` if it is none. */
export async function findTokenId(db: Db, secret: string): Promise<string | undefined> {
  const credential = readSecret(TOKEN_PREFIX, secret);
  return credential && (await store.findTokenOf(db, credential))?.id;
}

/** The token, or those that a person has minted by hand, and all that they have minted; ended ones too. */
export async function listFamily(
  db: Db,
  accountId: string,
  of: { tokenId: string } | { userId: string },
): Promise<string[]> {
  const ids = "tokenId" in of ? [of.tokenId] : await store.listTokensOfUser(db, accountId, of.userId);
  return store.listWithDescendants(db, accountId, ids);
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

function statusOf(row: store.TokenRow, now: Date): "active" | "expired" | "revoked" {
  if (row.revoked_at !== null) return "revoked";
  return row.expires_at !== null && row.expires_at <= now ? "expired" : "active";
}

export function toTokenMetadata(row: store.TokenRow, organizationId: string, now: Date): TokenMetadata {
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
