import { hashPassword, verifyPassword } from "better-auth/crypto";
import type { Logger } from "pino";
import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { newId } from "../lib/ids.ts";
import { Problem } from "../lib/problems.ts";
import { queueMail } from "../mail/service.ts";
import { type Attempts, createAttempts } from "./attempts.ts";
import { ADDRESS_HEADER, type Auth, createAuth, PASSWORD_AT_LEAST, PASSWORD_AT_MOST } from "./auth.ts";
import { cookieName, expiredCookie, readSessionToken, tokenDigest } from "./cookie.ts";
import { deriveKeys, type SessionKeys } from "./keys.ts";
import { passwordChangedMail } from "./mails.ts";
import { deleteWaitingPasskeys } from "./passkey-store.ts";
import { type RelyingParty, relyingPartyOf } from "./relying-party.ts";
import * as store from "./store.ts";

export { PASSWORD_AT_LEAST, PASSWORD_AT_MOST };
export type SessionConfig = { publicUrl: string; appName: string };

/** All that sign-in works with. Made once, by `openSessions`. */
export type SessionDeps = {
  db: Db;
  config: SessionConfig;
  keys: SessionKeys;
  auth: Auth;
  attempts: Attempts;
  /** What passkeys are bound to. Absent: there can be none. */
  relyingParty: RelyingParty | undefined;
  logger: Logger;
};

/** Where a request came from, as the server knows it. */
export type Caller = { address: string; userAgent: string; cookie: string | undefined };

const PROOF_LASTS = 5 * 60_000;

/** Puts sign-in together. The database is not asked. */
export function openSessions(
  db: Db,
  config: SessionConfig & { sessionSecrets: readonly Buffer[] },
  logger: Logger,
): SessionDeps {
  const keys = deriveKeys(config.sessionSecrets);
  const auth = createAuth({ db, keys, publicUrl: config.publicUrl, logger });
  const relyingParty = relyingPartyOf(config);
  return { db, config, keys, auth, attempts: createAttempts(db), relyingParty, logger };
}

/**
 * Signs a person in: a new session always, and the one that the browser brought ends. Whether the e-mail is
 * known shows neither in the answer nor in the work: better-auth hashes the password all the same.
 * @returns the cookies to set; `undefined` when e-mail and password do not go together
 * @throws Problem rate_limited {retryAfterSeconds}
 */
export async function signIn(
  deps: SessionDeps,
  { email, password }: { email: string; password: string },
  caller: Caller,
): Promise<string[] | undefined> {
  await deps.attempts.count(email, caller.address);
  const cookies = await startSession(deps, { email: email.trim(), password }, caller);
  if (cookies !== undefined) await deps.attempts.forgive(email, caller.address);
  return cookies;
}

/** A new session for whoever has the password; the one that the browser brought ends. */
export async function startSession(
  deps: SessionDeps,
  body: { email: string; password: string },
  caller: Caller,
): Promise<string[] | undefined> {
  const headers = new Headers({ "user-agent": caller.userAgent, [ADDRESS_HEADER]: caller.address });
  const checked = await store.findPasswordOf(deps.db, body.email);
  const answer = await deps.auth.api
    .signInEmail({ body, headers, returnHeaders: true })
    .catch((error: unknown) => {
      if (isRefusal(error)) return undefined;
      throw error;
    });
  if (answer === undefined) return undefined;
  const cookies = answer.headers.getSetCookie();
  // Whoever changed it while it was checked has ended the sessions that there were: this one came after.
  const stale = (await store.findPasswordOf(deps.db, body.email, { settled: true })) !== checked;
  const ended = await readSession(deps, stale ? cookies.join("; ") : caller.cookie);
  if (ended !== undefined) await store.deleteSession(deps.db, ended.sessionId);
  return stale ? undefined : cookies;
}

/** The live session that a `Cookie` header carries. A cookie without our signature is not looked up. */
export async function readSession(
  { db, config, keys }: SessionDeps,
  cookie: string | undefined,
): Promise<store.SessionRow | undefined> {
  const token = readSessionToken(cookie, cookieName(config.publicUrl), keys.cookies);
  return token === undefined ? undefined : store.findSession(db, tokenDigest(token));
}

/** Ends the session. @returns the cookie that takes the browser's away */
export async function signOut({ db, config }: SessionDeps, sessionId: string): Promise<string> {
  await store.deleteSession(db, sessionId);
  return expiredCookie(config.publicUrl);
}

/** Whether the last proof of presence is younger than 5 minutes. `now` is the database's time. */
export function isFresh(session: { provedAt: Date }, now: Date): boolean {
  return now.getTime() - session.provedAt.getTime() < PROOF_LASTS;
}

/**
 * Holds the person and their session, whose proof must be younger than 5 minutes: what matters begins with this, so
 * that no reset, and no end of the session, comes in between.
 * @throws Problem presence_lapsed, when the proof is older, or the session has ended
 */
export async function holdSession(
  trx: Trx,
  person: { userId: string; sessionId: string },
  now: Date,
): Promise<store.HeldSession> {
  const session = await store.lockSession(trx, person);
  if (session === undefined || !isFresh(session, now)) throw new Problem("presence_lapsed");
  return session;
}

/** Whether somebody signs in with that e-mail. */
export async function isKnown(db: Db, email: string): Promise<boolean> {
  return (await store.findUserByEmail(db, email)) !== undefined;
}

/** Hashes a password for `addPerson`. Slow on purpose: before the transaction, not in it. */
export { hashPassword };

/**
 * Makes a person who signs in with a password.
 * @returns their user id; `undefined` when the e-mail has a sign-in already
 */
export async function addPerson(
  trx: Trx,
  { email, name, password }: { email: string; name: string; password: string },
): Promise<string | undefined> {
  const id = newId();
  if (!(await store.insertUser(trx, { id, email, name }))) return undefined;
  await store.insertPassword(trx, newId(), id, password);
  return id;
}

/** Leaves a trace of what a person did, in the transaction that does it. */
export function leaveTrace(trx: Trx, entry: Omit<store.AuditEntry, "id">, now: Date): Promise<void> {
  return store.insertAudit(trx, { id: newId(), ...entry }, now);
}

type Person = { userId: string; email: string; name: string; sessionId: string };

/**
 * Proves presence by the password: counted like an attempt to sign in, and apart from those, as anybody can fail to
 * sign in under that e-mail.
 * @returns when it was proved, by the database's clock; `undefined` when the password is wrong
 * @throws Problem rate_limited {retryAfterSeconds}
 */
export async function provePassword(
  { db, attempts }: SessionDeps,
  person: Person,
  password: string,
  address: string,
): Promise<Date | undefined> {
  const counted = `proof:${person.userId}`;
  await attempts.count(counted, address);
  if (!(await matchesPassword(await store.findPassword(db, person.userId), password))) return undefined;
  await attempts.forgive(counted, address);
  return store.markProved(db, person.sessionId);
}

/** What is wrong with a password that somebody wants, for them to read; `undefined`: nothing. */
export function passwordFault(password: string): string | undefined {
  const { length } = password;
  if (length < PASSWORD_AT_LEAST) {
    return `Use at least ${PASSWORD_AT_LEAST} characters: three or four words that do not belong together are good.`;
  }
  if (length > PASSWORD_AT_MOST) return `Use at most ${PASSWORD_AT_MOST} characters.`;
  return undefined;
}

/**
 * Changes the password of a signed-in person, who has typed the present one: their other sessions end, they
 * are mailed, and the audit has it (CONTRACT.md §7). Passkeys that do not count yet go too: only the password that was
 * stood behind them, and whoever knew it could have added them.
 * @returns `false` when `current` is wrong
 * @throws Problem rate_limited {retryAfterSeconds}, presence_lapsed
 */
export async function changePassword(
  deps: SessionDeps,
  person: Person,
  { current, next }: { current: string; next: string },
  address: string,
): Promise<boolean> {
  const expected = await store.findPassword(deps.db, person.userId);
  if ((await provePassword(deps, person, current, address)) === undefined) return false;
  const password = await hashPassword(next);
  return inTransaction(deps.db, async (trx) => {
    const now = await readClock(trx);
    if (!(await store.updatePassword(trx, person.userId, { expected, password }, now))) return false;
    // Nobody adds a passkey meanwhile, or signs in with one that goes.
    await holdSession(trx, person, now);
    await store.markVouched(trx, person);
    const passkeysRemoved = await deleteWaitingPasskeys(trx, person.userId);
    const ended = await store.deleteSessions(trx, person.userId, person.sessionId);
    const entry = { id: newId(), userId: person.userId, action: "password_changed", address };
    await store.insertAudit(trx, { ...entry, detail: { sessionsEnded: ended, passkeysRemoved } }, now);
    await queueMail(trx, passwordChangedMail(deps.config, person, { passkeysRemoved }), now);
    return true;
  });
}

/** Gives a person another password without asking for the present one: the demo's, at each start. */
export async function setPassword(db: Db, userId: string, next: string): Promise<void> {
  const password = await hashPassword(next);
  await inTransaction(db, async (trx) => {
    const expected = await store.findPassword(trx, userId);
    await store.updatePassword(trx, userId, { expected, password }, await readClock(trx));
  });
}

/** Ends the person's other sessions. */
export async function endOtherSessions(deps: SessionDeps, person: Person, address: string): Promise<void> {
  await inTransaction(deps.db, async (trx) => {
    const now = await readClock(trx);
    const ended = await store.deleteSessions(trx, person.userId, person.sessionId);
    const entry = { id: newId(), userId: person.userId, action: "sessions_ended", address };
    await store.insertAudit(trx, { ...entry, detail: { sessionsEnded: ended } }, now);
  });
}

export type OpenSession = {
  current: boolean;
  userAgent: string;
  address: string;
  startedAt: Date;
  seenAt: Date;
};

/** Where the person is signed in, the place seen last first. */
export async function listOpenSessions(
  { db }: SessionDeps,
  person: Person & { now: Date },
): Promise<OpenSession[]> {
  return (await store.listSessions(db, person.userId, person.now)).map((row) => ({
    current: row.id === person.sessionId,
    userAgent: row.user_agent ?? "",
    address: row.ip_address ?? "",
    startedAt: row.started_at,
    seenAt: row.seen_at,
  }));
}

async function matchesPassword(hash: string | null, password: string): Promise<boolean> {
  if (hash !== null && password.length <= PASSWORD_AT_MOST) return verifyPassword({ hash, password });
  await hashPassword(password.slice(0, PASSWORD_AT_MOST));
  return false;
}

/** better-auth's own refusals (unknown e-mail, wrong password, unreadable e-mail) are 4xx. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof Error &&
    "statusCode" in error &&
    typeof error.statusCode === "number" &&
    error.statusCode < 500
  );
}
