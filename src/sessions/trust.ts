import { listMemberships } from "../accounts/service.ts";
import type { Trx } from "../database/connection.ts";
import { Problem } from "../lib/problems.ts";
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
