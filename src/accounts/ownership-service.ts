import type { Trx } from "../database/connection.ts";
import { newId } from "../lib/ids.ts";
import type { Credential } from "../lib/secrets.ts";
import * as ownership from "./ownership-store.ts";
import { claimAccount, lockAccount } from "./store.ts";
import * as tokens from "./token-store.ts";

/**
 * Gives an account that nobody has claimed to its first owner. Every token dies that spoke for it until then: the
 * owner says anew who does.
 * @returns the owner's member id; `undefined` when it was claimed already
 */
export async function giveToOwner(
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
 * Revokes the token that a secret is, and every token that it minted (CONTRACT.md §6).
 * @returns whether there was a live one
 */
export async function revokeSecret(trx: Trx, credential: Credential, now: Date): Promise<boolean> {
  const { accountId } = credential;
  const id = await ownership.findLiveToken(trx, credential);
  if (id === undefined) return false;
  // With the account held nothing is minted meanwhile.
  await lockAccount(trx, accountId);
  const family = await tokens.listWithOffspring(trx, accountId, [id]);
  return (await tokens.revokeTokens(trx, accountId, family, now)) > 0;
}

/**
 * Removes an account in which there is nothing but what made it: the token that it began with and its feed, which the
 * caller has removed.
 * @returns `false`: there is more, and `trx` is to be undone
 * @throws a foreign key's violation for whatever else belongs to the account
 */
export async function removeUnclaimed(trx: Trx, accountId: string, tokenId: string): Promise<boolean> {
  const family = await tokens.listWithOffspring(trx, accountId, [tokenId]);
  await ownership.deleteTokens(trx, accountId, family);
  return ownership.deleteUnclaimedAccount(trx, accountId);
}
