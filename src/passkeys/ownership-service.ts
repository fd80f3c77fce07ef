import { listOwners } from "../accounts/member-service.ts";
import type { Trx } from "../database/connection.ts";
import { Problem } from "../lib/problems.ts";
import type { Held } from "../sign-in/service.ts";
import { findPasskeys } from "./presence-service.ts";
import { listPasskeys } from "./store.ts";

/**
 * Refuses a person who came in by a mailed link and has an active passkey that they have not used. An earlier reader
 * of their mailbox or invitation could have added it, and would confirm in the account that they join. The caller
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

/**
 * Asserts that an owner of the account could confirm in it, if it accepts passkeys only.
 * @throws Problem passkey_missing
 */
export async function assertOwnerHasPasskey(trx: Trx, accountId: string): Promise<void> {
  for (const { userId } of await listOwners(trx, accountId))
    if (userId !== null && (await findPasskeys(trx, userId)) === "some") return;
  throw new Problem("passkey_missing");
}
