import type { Db } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { assertDailyLimit } from "../lib/daily-limit.ts";
import { isUuid } from "../lib/ids.ts";
import type { Origin } from "../lib/origin.ts";
import { Problem } from "../lib/problems.ts";
import { describeScopes } from "../lib/scope-words.ts";
import { coversScope, type Scope } from "../lib/scopes.ts";
import { addSeconds, DAY_SECONDS } from "../lib/time.ts";
import { line, named, own } from "../mail/line.ts";
import { assertMadeByOwnRoot } from "./access-rules.ts";
import type { TokenMetadata } from "./schemas.ts";
import type { Grant } from "./store.ts";
import { recordTokenAct } from "./token-act-service.ts";
import {
  holdToken,
  type MintedToken,
  mintToken,
  revokeAsToken,
  type TokenRequest,
  toTokenMetadata,
} from "./token-service.ts";
import * as store from "./token-store.ts";

/** Limit per account in 24 hours, as each token is kept for 30 days after its end. */
const MINTED_A_DAY = 2_000;
const MINT_LIMIT = `The tokens of this account have minted ${MINTED_A_DAY} in 24 hours. Use one for longer.`;
const DEFAULT_NAME = "API token";

/**
 * An agent mints a token for another program (docs/contract.md §6): never with more scopes than its own or a later
 * end. Absent values default to its own.
 * @returns `undefined` when its own token has ended meanwhile
 * @throws Problem scope_missing, rate_limited after 2,000 in 24 hours, token_limit_reached, bad_request
 * {field: "expiresAt" | "name"}
 */
export async function mintFromToken(
  db: Db,
  minter: Grant,
  { name = DEFAULT_NAME, scopes = minter.scopes, expiresAt }: Partial<TokenRequest>,
  publicUrl: string,
  origin: Origin,
): Promise<MintedToken | undefined> {
  assertCovered(minter, scopes, publicUrl);
  return inTransaction(db, async (trx, now) => {
    // Locks the minter: its descendants must end with it.
    const held = await holdToken(trx, minter, now);
    if (held === undefined) return undefined;
    const recent = await store.countMinted(trx, minter.accountId, addSeconds(now, -DAY_SECONDS));
    assertDailyLimit(recent, MINTED_A_DAY, now, MINT_LIMIT);
    const end = expiresAt ?? held.expires_at;
    if (held.expires_at !== null && end !== null && !(end <= held.expires_at)) {
      throw new Problem(
        "bad_request",
        { field: "expiresAt", latest: held.expires_at.toISOString() },
        "`expiresAt` must not be later than that of the token which mints it: `details.latest`.",
      );
    }
    const minted = await mintToken(trx, minter, { name, scopes, expiresAt: end }, minter, now);
    const { id, preview, expiresAt: ends } = minted.metadata;
    const act = {
      action: "key_minted" as const,
      subject: { kind: "token" as const, id },
      after: { name, preview, scopes, expiresAt: ends },
      said: line`created the API key ${named(name)} (${own(preview)}), which may ${own(describeScopes(scopes))}`,
    };
    await recordTokenAct(trx, minter, act, origin, now);
    return minted;
  });
}

/**
 * An agent revokes a token and its descendants. Idempotent. A token may revoke itself, and those of its own root that it
 * could have minted (docs/contract.md §0).
 * @returns `undefined` when its own token has ended meanwhile
 * @throws Problem not_found {resource: "tokens", tokenId}, made_by_another_key, scope_missing
 */
export async function revokeFromToken(
  db: Db,
  caller: Grant,
  id: string,
  publicUrl: string,
  origin: Origin,
): Promise<TokenMetadata | undefined> {
  const { accountId, organizationId } = caller;
  return inTransaction(db, async (trx, now) => {
    if ((await holdToken(trx, caller, now)) === undefined) return undefined;
    const row = isUuid(id) ? await store.findToken(trx, accountId, id) : undefined;
    // The compatible API names no resource here.
    if (row === undefined) throw new Problem("not_found", { tokenId: id });
    if (id !== caller.tokenId) {
      assertMadeByOwnRoot(caller, row.root_id);
      assertCovered(caller, row.scopes, publicUrl);
    }
    await revokeAsToken(trx, caller, row, origin, now);
    return toTokenMetadata({ ...row, revoked_at: row.revoked_at ?? now }, organizationId, now);
  });
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
