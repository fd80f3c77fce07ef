import { hash, randomBytes } from "node:crypto";
import { byPerson, type NewEntry, recordAudit } from "../audit/service.ts";
import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { newId } from "../lib/ids.ts";
import { NO_ORIGIN, type Origin, type RequestOrigin } from "../lib/origin.ts";
import { addSeconds, HOUR_SECONDS } from "../lib/time.ts";
import { queueMail } from "../mail/service.ts";
import { passwordResetMail, resetMail } from "./mails.ts";
import * as people from "./person-store.ts";
import * as resets from "./reset-store.ts";
import { hashInTurn, type SessionConfig, type SignInDeps } from "./service.ts";
import { endSessions, lockSessionsOf } from "./session-service.ts";

const PREFIX = "ot_rst_";
const SECRET = /^ot_rst_[A-Za-z0-9_-]{43}$/;
const LASTS_SECONDS = HOUR_SECONDS;
/**
 * After this many links in 24 hours, no link is sent while an earlier one is still valid. So requests in a person's
 * name neither flood them nor keep them out.
 */
const LINKS_A_DAY = 10;

/**
 * Records a request for a new password, in one row, whether the email is known or not. The sweep finds that out
 * later, so that neither the response nor its timing reveals whether the email is known.
 * @throws Problem rate_limited {retryAfterSeconds}
 */
export async function requestReset(
  { db, attempts }: SignInDeps,
  email: string,
  origin: RequestOrigin,
): Promise<void> {
  await attempts.count(`reset:${email.trim().toLowerCase()}`, origin.address);
  await resets.insertRequest(db, newId(), email.trim().toLowerCase(), origin);
}

/**
 * Mails a reset link for each request of a known person who is below the limit, and deletes the other requests. One
 * request a transaction; several processes may run it at once.
 * @returns how many links were created
 */
export async function sweepResets({ db, config }: { db: Db; config: SessionConfig }): Promise<number> {
  for (let made = 0; ; ) {
    const done = await inTransaction(db, async (trx, now) => {
      const request = await resets.takeRequest(trx);
      if (request === undefined) return undefined;
      const user = await people.findPersonByEmail(trx, request.email);
      if (user === undefined || (await hasEnough(trx, user.id, now))) {
        await resets.deleteReset(trx, request.id);
        return 0;
      }
      const { secret, digest } = newResetSecret();
      const expiresAt = addSeconds(now, LASTS_SECONDS);
      await resets.fillReset(trx, request.id, { userId: user.id, digest, expiresAt });
      await recordAudit(trx, requested(user.id, request), now);
      await queueMail(trx, resetMail(config, user, secret), now, LASTS_SECONDS);
      return 1;
    });
    if (done === undefined) return made;
    made += done;
  }
}

async function hasEnough(trx: Trx, userId: string, now: Date): Promise<boolean> {
  const { lately, open } = await resets.countLinks(trx, userId, now);
  return lately >= LINKS_A_DAY && open > 0;
}

/**
 * Creates a reset link that an operator without mail hands over in person.
 * @returns the link; `undefined` when no person has that email
 */
export async function createResetLink(
  { db, config }: { db: Db; config: SessionConfig },
  email: string,
): Promise<string | undefined> {
  return inTransaction(db, async (trx, now) => {
    const user = await people.findPersonByEmail(trx, email);
    if (user === undefined) return undefined;
    const { secret, digest } = newResetSecret();
    const id = newId();
    await resets.insertRequest(trx, id, user.email, NO_ORIGIN);
    await resets.fillReset(trx, id, { userId: user.id, digest, expiresAt: addSeconds(now, LASTS_SECONDS) });
    const entry = { actor: { kind: "service" }, ofUser: user.id, action: "reset_link_printed" } as const;
    await recordAudit(trx, { ...entry, subject: { kind: "person", id: user.id }, origin: NO_ORIGIN }, now);
    return `${config.publicUrl}/reset/new?token=${secret}`;
  });
}

/** Whether the text has the form of a reset link's secret. */
export function isResetSecret(value: string): boolean {
  return SECRET.test(value);
}

/** The person whose password a link sets; `undefined` when the link is invalid. Changes nothing. */
export async function findResetPerson(
  { db }: SignInDeps,
  secret: string,
): Promise<people.PersonRow | undefined> {
  if (!isResetSecret(secret)) return undefined;
  const reset = await resets.findOpenReset(db, digestOf(secret), await readClock(db));
  return reset?.user_id == null ? undefined : people.findPerson(db, reset.user_id);
}

/**
 * Uses a link: sets the password, ends all sessions and other links of the person, mails them and records an audit
 * entry, in one transaction. Also deletes the person's inactive passkeys, which a reader of their mailbox could have
 * added with an earlier link.
 * @returns whether the link was still valid
 * @throws Problem unavailable {retryAfterSeconds}
 */
export async function resetPassword(
  deps: SignInDeps,
  secret: string,
  next: string,
  origin: RequestOrigin,
): Promise<boolean> {
  const person = await findResetPerson(deps, secret);
  if (person === undefined) return false;
  const hash = await hashInTurn(deps, "stranger", next);
  return inTransaction(deps.db, async (trx, now) => {
    const userId = person.id;
    await people.lockPerson(trx, userId);
    if (!(await resets.useReset(trx, digestOf(secret), now))) return false;
    if (!(await people.updatePassword(trx, userId, { hash }, now))) return false;
    await lockSessionsOf(trx, userId);
    await people.markPasswordUnverified(trx, userId, now);
    const passkeysRemoved = await people.deleteWaitingPasskeys(trx, userId);
    const sessionsEnded = await endSessions(trx, userId, null);
    const actor = byPerson({ userId, name: person.name });
    const detail = { sessionsEnded, passkeysRemoved };
    await recordAudit(trx, { actor, action: "password_reset", detail, origin }, now);
    await queueMail(trx, passwordResetMail(deps.config, person), now);
    return true;
  });
}

function requested(userId: string, { address, requestId }: Origin): NewEntry {
  const subject = { kind: "person", id: userId };
  const entry = { actor: { kind: "service" }, ofUser: userId, action: "reset_requested" } as const;
  return { ...entry, subject, origin: { address, requestId } };
}

function newResetSecret(): { secret: string; digest: Buffer } {
  const secret = `${PREFIX}${randomBytes(32).toString("base64url")}`;
  return { secret, digest: digestOf(secret) };
}

function digestOf(secret: string): Buffer {
  return hash("sha256", secret, "buffer");
}
