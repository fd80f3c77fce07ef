import { listMemberships } from "../accounts/service.ts";
import type { Trx } from "../database/connection.ts";
import { Problem } from "../lib/problems.ts";
import { listPasskeys } from "./passkey-store.ts";
import { lockSession } from "./store.ts";

/**
 * Keeps the members of an account that confirms with passkeys only from sessions that are not trusted: else whoever
 * reads a mailbox, or knows a password, would make somebody else a member, who confirms in their place. Whoever calls
 * holds the account.
 * @throws Problem passkey_proof_required; presence_lapsed, when the session has ended
 */
export async function assertTrusted(
  trx: Trx,
  person: { userId: string; sessionId: string },
  accountId: string,
): Promise<void> {
  const session = await lockSession(trx, person);
  if (session === undefined) throw new Problem("presence_lapsed");
  const memberships = await listMemberships(trx, person.userId);
  const demands = memberships.some((own) => own.accountId === accountId && own.coSign === "passkey");
  if (demands && !session.trusted) throw new Problem("passkey_proof_required");
}

/**
 * Keeps whoever has come in by a mailed link from joining an account while passkeys stand in their name that they have
 * not used: those of somebody who had their mailbox, or their invitation, before them would confirm there. Whoever calls
 * holds the account.
 * @throws Problem own_passkey_required; presence_lapsed, when the session has ended
 */
export async function assertPasskeysAreTheirs(
  trx: Trx,
  person: { userId: string; sessionId: string },
): Promise<void> {
  const session = await lockSession(trx, person);
  if (session === undefined) throw new Problem("presence_lapsed");
  if (session.trusted || !session.passwordByLink) return;
  if ((await listPasskeys(trx, person.userId)).length > 0) throw new Problem("own_passkey_required");
}
