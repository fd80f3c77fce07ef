import { findKey } from "../accounts/key-service.ts";
import type { TokenMetadata } from "../accounts/schemas.ts";
import * as accounts from "../accounts/service.ts";
import * as tokens from "../accounts/token-service.ts";
import type { Act } from "../audit/service.ts";
import { inTransaction } from "../database/transaction.ts";
import { notFound } from "../lib/problems.ts";
import { line, named, own } from "../mail/line.ts";
import type { AccountRef, OperatorDeps } from "./account-service.ts";
import { mailOwners, recordAct } from "./act-service.ts";

/**
 * Mints a token for an account, and mails its owners.
 * @throws Problem account_frozen, token_limit_reached with 25 active ones, bad_request {field}
 */
export function mintToken(
  { db, config }: OperatorDeps,
  account: AccountRef,
  request: tokens.TokenRequest,
  act: Act,
): Promise<tokens.MintedToken> {
  return inTransaction(db, async (trx, now) => {
    const minted = await tokens.mintToken(trx, account, request, undefined, now);
    const { id, name, preview, scopes, expiresAt } = minted.metadata;
    const entry = { action: "key_minted", subject: { kind: "token", id } } as const;
    await recordAct(trx, account.accountId, act, { ...entry, after: { name, scopes, expiresAt } }, now);
    await mailOwners(
      trx,
      config,
      account,
      [line`It has a new API key, ${named(name)} (${own(preview)}).`],
      now,
    );
    return minted;
  });
}

/**
 * Revokes a token and its descendants, at once, and mails the owners. One that is revoked stays so.
 * @throws Problem not_found {resource: "tokens", tokenId}
 */
export function revokeToken(
  { db, config }: OperatorDeps,
  account: AccountRef,
  id: string,
  act: Act,
): Promise<TokenMetadata> {
  const { accountId } = account;
  return inTransaction(db, async (trx, now) => {
    await accounts.holdAccount(trx, accountId);
    const before = await findKey(trx, account, id);
    if (before === undefined) throw notFound("tokens", "tokenId", id);
    const revoked = await tokens.revokeWithDescendants(trx, accountId, [id], now);
    const after = (await findKey(trx, account, id)) ?? before;
    if (revoked === 0) return after;
    const values = {
      before: { status: before.status },
      after: { status: after.status, tokensRevoked: revoked },
    };
    const entry = { action: "key_revoked", subject: { kind: "token", id }, ...values } as const;
    await recordAct(trx, accountId, act, entry, now);
    const others = revoked > 1 ? line`, with the keys that it had created: ${revoked} in all` : line``;
    const what = line`The API key ${named(before.name)} (${own(before.preview)}) is revoked${others}.`;
    await mailOwners(trx, config, account, [what], now);
    return after;
  });
}
