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
 * Deletes an account that holds nothing but its first token and its feed, which the caller has deleted.
 * @returns `false`: the account was claimed or changed, and `trx` must be rolled back
 * @throws a foreign-key violation if the account holds anything else
 */
export async function removeUnclaimed(trx: Trx, accountId: string, tokenId: string): Promise<boolean> {
  const family = await tokens.listWithDescendants(trx, accountId, [tokenId]);
  await ownership.deleteTokens(trx, accountId, family);
  return ownership.deleteUnclaimedAccount(trx, accountId);
}
