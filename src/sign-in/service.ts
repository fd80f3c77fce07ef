import type { Logger } from "pino";
import { byPerson, recordAudit } from "../audit/service.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { newId } from "../lib/ids.ts";
import type { RequestOrigin } from "../lib/origin.ts";
import { type Addressee, queueMail } from "../mail/service.ts";
import { countSignIn } from "../metrics/metrics.ts";
import { type Actor, holdActor, inSession, renewSession } from "./actor-service.ts";
import { type Attempts, createAttempts } from "./attempt-limits.ts";
import { type Background, createBackground } from "./background.ts";
import { readDevice } from "./device-cookie.ts";
import { passwordChangedMail } from "./mails.ts";
import { createPasswordQueue, type PasswordLane, type PasswordQueue } from "./password-queue.ts";
import { PASSWORD_AT_MOST } from "./password-rules.ts";
import { assertArgon2, hashPassword, verifyPassword } from "./passwords.ts";
import * as people from "./person-store.ts";
import { deriveKeys, type SessionKeys } from "./session-keys.ts";
import {
  type Caller,
  cookieFor,
  endFormer,
  endSessions,
  mailNewPlace,
  readSession,
  startSession,
} from "./session-service.ts";

export {
  type Actor,
  assertActs,
  type Held,
  holdActor,
  inSession,
  isFresh,
  renewSession,
} from "./actor-service.ts";
export type { NewToken } from "./cookie.ts";
export { readDevice } from "./device-cookie.ts";
export { PASSWORD_AT_LEAST, PASSWORD_AT_MOST, passwordFault } from "./password-rules.ts";
export { hashPassword } from "./passwords.ts";
export { findPerson, findPersonByEmail, lockPerson, markPasswordUnverified } from "./person-store.ts";
export type { SessionKeys } from "./session-keys.ts";
export {
  type Caller,
  cookieFor,
  endFormer,
  endOtherSessions,
  endSessions,
  holdFormer,
  listOpenSessions,
  mailNewPlace,
  type OpenSession,
  readSession,
  signOut,
  startSession,
} from "./session-service.ts";

export type SessionConfig = { publicUrl: string; appName: string };

/** What sign-in works with; created once, by `openSignIn`. */
export type SignInDeps = {
  db: Db;
  config: SessionConfig;
  keys: SessionKeys;
  attempts: Attempts;
  passwords: PasswordQueue;
  /** Writes that no response waits for. Shutdown lets them finish before it closes the database. */
  background: Background;
  logger: Logger;
};

/**
 * Wires up sign-in. Does no I/O.
 * @throws StartError when this Node cannot compute Argon2id
 */
export function openSignIn(
  db: Db,
  config: SessionConfig & { sessionSecrets: readonly Buffer[]; threadPoolSize: number },
  logger: Logger,
): SignInDeps {
  assertArgon2();
  const keys = deriveKeys(config.sessionSecrets);
  const passwords = createPasswordQueue(config.threadPoolSize);
  const background = createBackground(logger);
  return { db, config, keys, attempts: createAttempts(db), passwords, background, logger };
}

/**
 * Signs a person in with a new session, and ends the session that the browser brought. Neither the response nor the
 * work before it reveals whether the email is known. The session starts in a transaction that locks the checked
 * password, so that a concurrent change of password ends this session too.
 * @returns the cookie to set; `undefined` when email and password don't match
 * @throws Problem rate_limited, unavailable {retryAfterSeconds}
 */
export async function signIn(
  deps: SignInDeps,
  { email, password }: { email: string; password: string },
  caller: Caller,
): Promise<string | undefined> {
  const { db, attempts, passwords } = deps;
  const { origin } = caller;
  const device = readDevice(deps, caller.cookie);
  passwords.assertRoom(device?.knows(email) ? "known" : "stranger");
  const counted = await attempts.count(email, origin.address, device);
  const { person, hash: checked, now } = await people.findSignIn(db, email);
  const right = await matches(deps, counted.lane, checked, password);
  if (person === undefined || checked === undefined || !right) {
    noteRefusedSignIn(deps, person, origin, now);
    return undefined;
  }
  const former = await readSession(deps, caller.cookie, origin);
  const token = await inTransaction(db, async (trx, now) => {
    // A trigger records the sign-in with the person, who is locked first (invariant 11).
    await people.lockPerson(trx, person.id);
    if (!(await people.holdPassword(trx, person.id, checked))) return undefined;
    await endFormer(trx, former);
    const who = { userId: person.id, name: person.name };
    await mailNewPlace(trx, deps, person, caller, now);
    return startSession(trx, who, caller, { by: "password", trusted: false }, now);
  });
  if (token === undefined) return undefined;
  await counted.forgive();
  return cookieFor(deps, token);
}

/**
 * Records a refused sign-in: an audit entry for a known person, otherwise a log line without the email. The response
 * waits for neither, as its timing would reveal who is known.
 */
function noteRefusedSignIn(
  { db, background, logger }: SignInDeps,
  person: people.PersonRow | undefined,
  origin: RequestOrigin,
  now: Date,
): void {
  countSignIn("password", "refused");
  if (person === undefined) {
    logger.info(origin, "sign-in refused: unknown email");
    return;
  }
  const subject = { kind: "person", id: person.id };
  const entry = { actor: { kind: "service" }, ofUser: person.id, action: "sign_in_refused" } as const;
  background.start("recording a refused sign-in", () =>
    inTransaction(db, (trx) => recordAudit(trx, { ...entry, subject, origin }, now)),
  );
}

/** Hashes a new password when a slot is free. Call it before the transaction that stores it, not within. */
export function hashInTurn({ passwords }: SignInDeps, lane: PasswordLane, password: string): Promise<string> {
  return passwords.run(lane, () => hashPassword(password));
}

/**
 * Creates a person who signs in with a password.
 * @returns their user id; `undefined` when the email has a sign-in already
 */
export async function addPerson(
  trx: Trx,
  { email, name, hash }: { email: string; name: string; hash: string },
  now: Date,
): Promise<string | undefined> {
  const id = newId();
  if (!(await people.insertPerson(trx, { id, email, name }))) return undefined;
  await people.insertPassword(trx, id, hash, now);
  return id;
}

/** A signed-in person. */
export type Person = Actor & Addressee;

/** A proof of presence: its time, and the token that the session has from then on. */
export type Proved = { provedAt: Date; tokenDigest: Buffer; cookie: string };

/**
 * Proves presence by password, and replaces the session's token.
 * @returns `undefined` when the password is wrong
 * @throws Problem rate_limited, unavailable {retryAfterSeconds}; session_ended, session_replaced
 */
export async function provePassword(
  deps: SignInDeps,
  person: Person,
  password: string,
  origin: RequestOrigin,
): Promise<Proved | undefined> {
  const checked = await checkOwnPassword(deps, person, password, origin);
  if (checked === undefined) return undefined;
  return inTransaction(deps.db, async (trx, now) => {
    if (!(await people.holdPassword(trx, person.userId, checked))) return undefined;
    await holdActor(trx, person, { changes: "token" }, now);
    const token = await renewSession(trx, person, { proved: true, trusted: false }, now);
    await recordProof(trx, person, { action: "presence_proved", by: "password" }, origin, now);
    return { provedAt: now, tokenDigest: token.digest, cookie: cookieFor(deps, token) };
  });
}

/**
 * Checks the password of a signed-in person. Counted by person alone, as strangers can use up the attempts of that
 * email and address.
 * @returns the hash that it matched; `undefined` when it is wrong
 */
async function checkOwnPassword(
  deps: SignInDeps,
  person: Person,
  password: string,
  origin: RequestOrigin,
): Promise<string | undefined> {
  const { db, attempts } = deps;
  deps.passwords.assertRoom("known");
  const counted = await attempts.countProof(person.userId);
  const checked = await people.findPassword(db, person.userId);
  if (await matches(deps, "known", checked, password)) {
    await counted.forgive();
    return checked;
  }
  const refused = { action: "presence_refused", by: "password" } as const;
  await inSession(db, person, {}, (trx, now) => recordProof(trx, person, refused, origin, now));
  return undefined;
}

/** Records that a person has proved their presence, or failed to. */
export async function recordProof(
  trx: Trx,
  person: { userId: string; name: string; sessionId: string },
  { action, by }: { action: "presence_proved" | "presence_refused"; by: "password" | "passkey" },
  origin: RequestOrigin,
  now: Date,
): Promise<void> {
  const subject = { kind: "session", id: person.sessionId };
  await recordAudit(trx, { actor: byPerson(person), action, subject, detail: { by }, origin }, now);
}

/** Records that a passkey did not prove what a person sent with it. */
export async function recordRefusedPasskey(db: Db, person: Person, origin: RequestOrigin): Promise<void> {
  const refused = { action: "presence_refused", by: "passkey" } as const;
  await inSession(db, person, {}, (trx, now) => recordProof(trx, person, refused, origin, now));
}

/**
 * Changes the password of a signed-in person, who has typed the current one (docs/contract.md §7). Ends their other
 * sessions, replaces this one's token, mails them and records an audit entry. Also deletes their inactive passkeys:
 * only the old password vouched for those, so a person who knew it could have added them.
 * @returns the cookie to set; `undefined` when `current` is wrong
 * @throws Problem rate_limited, unavailable {retryAfterSeconds}; session_ended, session_replaced
 */
export async function changePassword(
  deps: SignInDeps,
  person: Person,
  { current, next }: { current: string; next: string },
  origin: RequestOrigin,
): Promise<string | undefined> {
  const expected = await checkOwnPassword(deps, person, current, origin);
  if (expected === undefined) return undefined;
  const hash = await hashInTurn(deps, "known", next);
  return inTransaction(deps.db, async (trx, now) => {
    await people.lockPerson(trx, person.userId);
    if (!(await people.updatePassword(trx, person.userId, { hash, expected }, now))) return undefined;
    // Blocks adding a passkey, and signing in with one that is deleted here, until the transaction ends.
    const { byPasskey } = await holdActor(trx, person, { changes: "factors" }, now);
    if (byPasskey) await people.markPasswordVerified(trx, person.userId);
    const passkeysRemoved = await people.deleteWaitingPasskeys(trx, person.userId);
    const sessionsEnded = await endSessions(trx, person.userId, person.sessionId);
    const token = await renewSession(trx, person, { proved: true, trusted: false }, now);
    const detail = { sessionsEnded, passkeysRemoved };
    await recordAudit(trx, { actor: byPerson(person), action: "password_changed", detail, origin }, now);
    await queueMail(trx, passwordChangedMail(deps.config, person, { passkeysRemoved }), now);
    return cookieFor(deps, token);
  });
}

/** Sets a person's password without the current one: the demo does, at each start. */
export async function setPassword(db: Db, userId: string, next: string): Promise<void> {
  const hash = await hashPassword(next);
  await inTransaction(db, (trx, now) => people.updatePassword(trx, userId, { hash }, now));
}

/**
 * Whether the password matches, computed when a slot is free. Cuts overlong passwords, so that their length costs no
 * time.
 */
async function matches(
  { passwords }: SignInDeps,
  lane: PasswordLane,
  hash: string | undefined,
  password: string,
): Promise<boolean> {
  const tooLong = password.length > PASSWORD_AT_MOST;
  const work = () => verifyPassword(tooLong ? undefined : hash, password.slice(0, PASSWORD_AT_MOST));
  return passwords.run(lane, work);
}
