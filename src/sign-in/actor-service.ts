import { assertMember } from "../accounts/member-service.ts";
import type { Permission } from "../accounts/roles.ts";
import { assertNotFrozen, holdAccount } from "../accounts/service.ts";
import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { Problem } from "../lib/problems.ts";
import { MINUTE } from "../lib/time.ts";
import { type NewToken, newToken } from "./cookie.ts";
import { lockPerson } from "./person-store.ts";
import * as sessions from "./session-store.ts";

const PROOF_LASTS = 5 * MINUTE;

/** Who acts: a person, by their session and the token that their request carried. */
export type Actor = { userId: string; sessionId: string; tokenDigest: Buffer };

export type Need = {
  /** Whether the last proof of presence must be younger than 5 minutes. */
  fresh?: boolean;
  /** `token`: the act replaces the session's token. `factors`: it changes what the person signs in with, too. */
  changes?: "token" | "factors";
  /**
   * Where they act, and which members may. `alone`: what belongs to the account changes one at a time; `unfrozen`: not
   * while the account is frozen.
   */
  account?: { id: string; may: Permission; alone?: boolean; unfrozen?: boolean };
};

/** Who acts, as they are while the transaction holds them. */
export type Held = {
  provedAt: Date;
  /** Whether the session counts for as much as a passkey. */
  trusted: boolean;
  /** Whether a passkey that counts was used in this very session. */
  byPasskey: boolean;
  /** Whether the person's password was set by a mailed link, and nothing has vouched for it since. */
  passwordByLink: boolean;
};

/**
 * Holds who acts, in the transaction that acts for them (invariant 13), before anything else is locked: the session,
 * by its id and the token that the request carried, and, where they act in an account, the account and the member
 * (invariant 11). Until the transaction ends, the session is not ended, its token not replaced, the member not removed
 * and the role not changed.
 * @param now the transaction's time
 * @throws Problem session_ended, session_replaced when the token was replaced meanwhile, presence_lapsed, not_found
 * when they are no member, not_permitted when their role does not allow it, account_frozen
 */
export async function holdActor(trx: Trx, actor: Actor, need: Need, now: Date): Promise<Held> {
  if (need.changes === "factors") {
    await lockPerson(trx, actor.userId);
    await sessions.lockSessionsOf(trx, actor.userId);
  }
  const session = await sessions.lockSession(trx, actor, { alone: need.changes !== undefined });
  if (session === undefined) throw new Problem("session_ended");
  if (!session.tokenDigest.equals(actor.tokenDigest)) throw new Problem("session_replaced");
  if (need.fresh === true && !isFresh(session, now)) throw new Problem("presence_lapsed");
  const { account } = need;
  if (account?.alone) await holdAccount(trx, account.id);
  if (account?.unfrozen) await assertNotFrozen(trx, account.id);
  if (account !== undefined) await assertMember(trx, account.id, actor.userId, account.may);
  const { vouched, passwordByLink } = await sessions.readVouching(trx, actor.userId);
  const { provedAt, trusted } = session;
  return { provedAt, trusted: trusted || vouched, byPasskey: trusted, passwordByLink };
}

/** Runs `work` in a transaction that holds who acts. @throws as `holdActor` and `work` */
export function inSession<T>(
  db: Db,
  actor: Actor,
  need: Need,
  work: (trx: Trx, now: Date, held: Held) => Promise<T>,
): Promise<T> {
  return inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    return work(trx, now, await holdActor(trx, actor, need, now));
  });
}

/**
 * Makes sure that a person may act, right before something outside the database is asked for them.
 * @throws as `holdActor`
 */
export function assertActs(db: Db, actor: Actor, account: NonNullable<Need["account"]>): Promise<void> {
  return inSession(db, actor, { account }, async () => {});
}

/**
 * Gives the session of who acts another token, after they have proved that they are there, or changed what they sign
 * in with. The session keeps its id; the token before reads for a minute, and changes nothing. Whoever calls holds the
 * actor with `changes`.
 * @param how.proved whether they have proved that they are there; `trusted`: by a passkey that counts
 * @throws Problem session_replaced
 */
export async function renewSession(
  trx: Trx,
  actor: Actor,
  how: { proved: boolean; trusted: boolean },
  now: Date,
): Promise<NewToken> {
  const next = newToken();
  const change = { current: actor.tokenDigest, next: next.digest, ...how };
  if (!(await sessions.replaceToken(trx, actor.sessionId, change, now)))
    throw new Problem("session_replaced");
  return next;
}

/** Whether the last proof of presence is younger than 5 minutes. `now` is the database's time. */
export function isFresh(session: { provedAt: Date }, now: Date): boolean {
  return now.getTime() - session.provedAt.getTime() < PROOF_LASTS;
}
