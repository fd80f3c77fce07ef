import type { Trx } from "../database/connection.ts";
import { Problem } from "../lib/problems.ts";
import type { Held } from "../sign-in/service.ts";
import { listPasskeys } from "./store.ts";

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
