import { listMemberships } from "../accounts/service.ts";
import type { Trx } from "../database/connection.ts";
import { Problem } from "../lib/problems.ts";
import type { Held } from "../sign-in/service.ts";
import { listPasskeys } from "./passkey-store.ts";

/**
 * Keeps the members of an account that confirms with passkeys only from sessions that are not trusted: else whoever
 * reads a mailbox, or knows a password, would make somebody else a member, who confirms in their place. Whoever calls
 * holds the account.
 * @throws Problem passkey_proof_required
 */
export async function assertTrusted(
  trx: Trx,
  { trusted }: Held,
  userId: string,
  accountId: string,
): Promise<void> {
  const memberships = await listMemberships(trx, userId);
  const demands = memberships.some((own) => own.accountId === accountId && own.coSign === "passkey");
  if (demands && !trusted) throw new Problem("passkey_proof_required");
}

/**
 * Keeps whoever has come in by a mailed link from joining an account while passkeys stand in their name that they have
 * not used: those of somebody who had their mailbox, or their invitation, before them would confirm there. Whoever calls
 * holds the account.
 * @throws Problem own_passkey_required
 */
export async function assertPasskeysAreTheirs(
  trx: Trx,
  { trusted, passwordByLink }: Held,
  userId: string,
): Promise<void> {
  if (trusted || !passwordByLink) return;
  if ((await listPasskeys(trx, userId)).length > 0) throw new Problem("own_passkey_required");
}
