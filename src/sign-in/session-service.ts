import { byPerson, recordAudit } from "../audit/service.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { browserName } from "../lib/browser-name.ts";
import { newId } from "../lib/ids.ts";
import type { RequestOrigin } from "../lib/origin.ts";
import { DAY_SECONDS, formatTime } from "../lib/time.ts";
import { placeOf, readZone } from "../lib/time-zone.ts";
import { queueMail } from "../mail/service.ts";
import { countSignIn } from "../metrics/metrics.ts";
import { type Actor, holdActor } from "./actor-service.ts";
import {
  cookieName,
  expiredCookie,
  type NewToken,
  newToken,
  readSessionTokens,
  sessionCookie,
  tokenDigest,
} from "./cookie.ts";
import { readDevice } from "./device-cookie.ts";
import { newPlaceMail, sessionCopiedMail } from "./mails.ts";
import type { SessionKeys } from "./session-keys.ts";
import * as store from "./session-store.ts";

/** A session ends after 7 days at the latest, and after 12 idle hours (`session-store.ts`). */
const SESSION_SECONDS = 7 * DAY_SECONDS;

type Deps = { db: Db; config: { publicUrl: string; appName: string }; keys: SessionKeys };
type Person = { userId: string; name: string };

/** Where a request came from, as the server saw it, and the cookies that it carried. */
export type Caller = { origin: RequestOrigin; userAgent: string; cookie: string | undefined };

/** The `Set-Cookie` of a session's token. */
export function cookieFor({ config, keys }: Pick<Deps, "config" | "keys">, { token }: NewToken): string {
  return sessionCookie(config.publicUrl, token, keys.cookies[0] ?? "", SESSION_SECONDS);
}

/**
 * The live session of a `Cookie` header. Prefers the cookie with a session's current token. Otherwise takes a token
 * replaced within the last minute, which only reads. An older token means that the cookie was copied: the session
 * ends, and the person is mailed (docs/contract.md §7). A cookie without a valid signature costs no query.
 */
export async function readSession(
  deps: Deps,
  cookie: string | undefined,
  origin: RequestOrigin,
): Promise<store.SessionRow | undefined> {
  const { db, config, keys } = deps;
  const tokens = readSessionTokens(cookie, cookieName(config.publicUrl), keys.cookies);
  if (tokens.length === 0) return undefined;
  const digests = tokens.map(tokenDigest);
  const found = await store.findSessions(db, digests);
  const inOrder = (session: store.SessionRow) => digests.findIndex((one) => one.equals(session.tokenDigest));
  const sessions = found.toSorted((a, b) => inOrder(a) - inOrder(b));
  const good =
    sessions.find(({ token }) => token === "current") ?? sessions.find(({ token }) => token === "reads");
  if (good === undefined) for (const copied of sessions) await endCopied(deps, copied, origin);
  return good;
}

/** Whether a `Cookie` header carries a validly signed token, of a live session or not. Costs no query. */
export function carriesSession(
  { config, keys }: Pick<Deps, "config" | "keys">,
  cookie: string | undefined,
): boolean {
  return readSessionTokens(cookie, cookieName(config.publicUrl), keys.cookies).length > 0;
}

async function endCopied(
  { db, config }: Deps,
  { sessionId, userId, email, name, tokenDigest: previous }: store.SessionRow,
  origin: RequestOrigin,
): Promise<void> {
  await inTransaction(db, async (trx, now) => {
    if (!(await store.deleteReplaced(trx, sessionId, previous))) return;
    const subject = { kind: "person", id: userId };
    const entry = { actor: { kind: "service" }, ofUser: userId, action: "session_copied" } as const;
    await recordAudit(trx, { ...entry, subject, detail: { sessionId }, origin }, now);
    await queueMail(trx, sessionCopiedMail(config, { email, name }), now);
  });
}

/**
 * Starts a session, within the transaction that verified the person. The only writer of new sessions.
 * @param how.trusted whether an active passkey was used
 */
export async function startSession(
  trx: Trx,
  person: Person,
  caller: Caller,
  how: { by: "password" | "passkey" | "invitation" | "claim"; trusted: boolean },
  now: Date,
): Promise<NewToken> {
  const token = newToken();
  const id = newId();
  const { origin, userAgent } = caller;
  const zone = readZone(caller.cookie);
  const session = { id, digest: token.digest, userId: person.userId, userAgent, zone, trusted: how.trusted };
  await store.insertSession(trx, { ...session, address: origin.address }, now);
  countSignIn(how.by, "succeeded");
  const subject = { kind: "session", id };
  const entry = { actor: byPerson(person), action: "signed_in", subject, origin } as const;
  await recordAudit(trx, { ...entry, detail: { by: how.by } }, now);
  return token;
}

/**
 * Mails a person that a browser which they had not signed in with before has. The caller has started the session, and
 * does not call this when they join.
 */
export async function mailNewPlace(
  trx: Trx,
  deps: Pick<Deps, "config" | "keys">,
  person: { email: string; name: string },
  caller: Caller,
  now: Date,
): Promise<void> {
  if (readDevice(deps, caller.cookie)?.knows(person.email)) return;
  const zone = readZone(caller.cookie);
  const place = {
    browser: browserName(caller.userAgent),
    near: placeOf(zone),
    address: caller.origin.address,
  };
  await queueMail(trx, newPlaceMail(deps.config, person, { ...place, at: formatTime(now, zone) }), now);
}

/** Locks the session that a browser brought to its next sign-in. */
export async function holdFormer(trx: Trx, former: store.SessionRow | undefined): Promise<void> {
  if (former?.token === "current") await store.lockSession(trx, former, { alone: true });
}

/** Ends that session, unless its token was replaced: a replaced token changes nothing. */
export async function endFormer(trx: Trx, former: store.SessionRow | undefined): Promise<void> {
  if (former?.token === "current") await store.deleteCurrent(trx, former.sessionId, former.tokenDigest);
}

/**
 * Ends the session.
 * @returns the `Set-Cookie` that deletes the session cookie
 * @throws Problem session_replaced; session_ended
 */
export async function signOut(
  { db, config }: Deps,
  person: Person & Actor,
  origin: RequestOrigin,
): Promise<string> {
  await inTransaction(db, async (trx, now) => {
    await holdActor(trx, person, { changes: "token" }, now);
    await store.deleteSession(trx, person.sessionId);
    const subject = { kind: "session", id: person.sessionId };
    await recordAudit(trx, { actor: byPerson(person), action: "signed_out", subject, origin }, now);
  });
  return expiredCookie(config.publicUrl);
}

/** Ends the person's other sessions. @throws Problem session_ended, session_replaced */
export async function endOtherSessions(
  { db }: Deps,
  person: Person & Actor,
  origin: RequestOrigin,
): Promise<void> {
  await inTransaction(db, async (trx, now) => {
    await holdActor(trx, person, { changes: "factors" }, now);
    const detail = { sessionsEnded: await store.endSessions(trx, person.userId, person.sessionId) };
    await recordAudit(trx, { actor: byPerson(person), action: "sessions_ended", detail, origin }, now);
  });
}

export { endSessions, lockSessionsOf } from "./session-store.ts";

export type OpenSession = {
  current: boolean;
  userAgent: string;
  zone: string;
  address: string;
  startedAt: Date;
  seenAt: Date;
};

/** The places where the person is signed in, last seen first. */
export async function listOpenSessions(
  { db }: Deps,
  person: { userId: string; sessionId: string },
): Promise<OpenSession[]> {
  return (await store.listSessions(db, person.userId)).map((row) => ({
    current: row.id === person.sessionId,
    userAgent: row.user_agent ?? "",
    zone: row.zone ?? "UTC",
    address: row.address ?? "",
    startedAt: row.started_at,
    seenAt: row.seen_at,
  }));
}
