import type { Trx } from "../database/connection.ts";
import { newId } from "../lib/ids.ts";
import * as ownership from "./ownership-store.ts";
import { claimAccount, lockAccount } from "./store.ts";
import * as tokens from "./token-store.ts";

/**
 * Assigns the first owner to an unclaimed account, and revokes all its tokens: the owner decides which programs act from
 * then on.
 * @returns the owner's member id; `undefined` when the account was claimed already
 */
export async function assignOwner(
  trx: Trx,
  accountId: string,
  person: { userId: string; email: string; name: string },
  now: Date,
): Promise<string | undefined> {
  const account = await lockAccount(trx, accountId);
  if (account === undefined || account.claimed_at !== null) return undefined;
  const memberId = await ownership.saveOwner(trx, accountId, { id: newId(), ...person }, now);
  await ownership.revokeAllTokens(trx, accountId, now);
  await claimAccount(trx, accountId, now);
  return memberId;
}

/**
 * Removes an account in which there is nothing but what made it: the token that it began with and its feed, which the
 * caller has removed.
 * @returns `false`: there is more, and `trx` is to be undone
 * @throws a foreign key's violation for whatever else belongs to the account
 */
export async function removeUnclaimed(trx: Trx, accountId: string, tokenId: string): Promise<boolean> {
  const family = await tokens.listWithDescendants(trx, accountId, [tokenId]);
  await ownership.deleteTokens(trx, accountId, family);
  return ownership.deleteUnclaimedAccount(trx, accountId);
}
