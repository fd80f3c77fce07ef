import { assertMember } from "../accounts/member-service.ts";
import type { Permission } from "../accounts/roles.ts";
import { assertNotFrozen, holdAccount } from "../accounts/service.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction, together } from "../database/transaction.ts";
import { Problem } from "../lib/problems.ts";
import { MINUTE } from "../lib/time.ts";
import { type NewToken, newToken } from "./cookie.ts";
import { lockPerson } from "./person-store.ts";
import * as sessions from "./session-store.ts";

const PROOF_LASTS = 5 * MINUTE;

/** The person who acts: their session, and the token that the request carried. */
export type Actor = { userId: string; sessionId: string; tokenDigest: Buffer };

export type Need = {
  /** Requires a proof of presence younger than 5 minutes. */
  fresh?: boolean;
  /** `token`: the act replaces the session's token. `factors`: it also changes what the person signs in with. */
  changes?: "token" | "factors";
  /**
   * The account, and the permission that the member needs there. `alone`: locks the account, for changes to what
   * belongs to it. `unfrozen`: refuses while the account is frozen.
   */
  account?: { id: string; may: Permission; alone?: boolean; unfrozen?: boolean };
};

/** The actor, as they are while the transaction holds them. */
export type Held = {
  provedAt: Date;
  /** Whether the session is trusted like a passkey. */
  trusted: boolean;
  /** Whether an active passkey was used in this session. */
  byPasskey: boolean;
  /** Whether a mailed link set the person's password, and no passkey has vouched for it since. */
  passwordByLink: boolean;
};

/**
 * Holds the actor in the transaction that acts for them (invariant 13), before it locks anything else. Locks the
 * session and, where an account is named, the account and the member (invariant 11). Until the transaction ends, the
 * session cannot end, its token cannot be replaced, and the member's role cannot change.
 * @param now the transaction's time
 * @throws Problem session_ended, session_replaced when the token was replaced meanwhile, presence_expired, not_found
 * when they are no member, not_permitted when their role does not allow it, account_frozen
 */
export async function holdActor(trx: Trx, actor: Actor, need: Need, now: Date): Promise<Held> {
  if (need.changes === "factors") {
    await lockPerson(trx, actor.userId);
    await sessions.lockSessionsOf(trx, actor.userId);
  }
  const { account } = need;
  const [{ provedAt, trusted }, , , , { vouched, passwordByLink }] = await together(
    holdSession(trx, actor, need, now),
    account?.alone ? holdAccount(trx, account.id) : undefined,
    account?.unfrozen ? assertNotFrozen(trx, account.id) : undefined,
    account === undefined ? undefined : assertMember(trx, account.id, actor.userId, account.may),
    sessions.readVouching(trx, actor.userId),
  );
  return { provedAt, trusted: trusted || vouched, byPasskey: trusted, passwordByLink };
}

async function holdSession(
  trx: Trx,
  actor: Actor,
  { fresh, changes }: Need,
  now: Date,
): Promise<sessions.LockedSession> {
  const session = await sessions.lockSession(trx, actor, { alone: changes !== undefined });
  if (session === undefined) throw new Problem("session_ended");
  if (!session.tokenDigest.equals(actor.tokenDigest)) throw new Problem("session_replaced");
  if (fresh === true && !isFresh(session, now)) throw new Problem("presence_expired");
  return session;
}

/** Runs `work` in a transaction that holds the actor. @throws as `holdActor` and `work` */
export function inSession<T>(
  db: Db,
  actor: Actor,
  need: Need,
  work: (trx: Trx, now: Date, held: Held) => Promise<T>,
): Promise<T> {
  return inTransaction(db, async (trx, now) => {
    return work(trx, now, await holdActor(trx, actor, need, now));
  });
}

/**
 * Checks that a person may act, right before a call outside the database is made for them.
 * @throws as `holdActor`
 */
export function assertActs(db: Db, actor: Actor, account: NonNullable<Need["account"]>): Promise<void> {
  return inSession(db, actor, { account }, async () => {});
}

/**
 * Replaces the token of the actor's session, after a proof of presence or a change of a factor. The session keeps its
 * id. The old token reads for a minute and changes nothing. The caller holds the actor with `changes`.
 * @param how.proved whether the person has proved their presence; `trusted`: with an active passkey
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

/**
 * Whether the last proof of presence is younger than 5 minutes. A proof from the future is not: it was made before the
 * database's clock was set back, and its age is unknown.
 * @param now the database's time, read after `session`'s proof was recorded
 */
export function isFresh(session: { provedAt: Date }, now: Date): boolean {
  const age = now.getTime() - session.provedAt.getTime();
  return age >= 0 && age < PROOF_LASTS;
}
