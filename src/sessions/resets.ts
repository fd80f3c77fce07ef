import { hash, randomBytes } from "node:crypto";
import { hashPassword } from "better-auth/crypto";
import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { newId } from "../lib/ids.ts";
import { addSeconds } from "../lib/time.ts";
import { queueMail } from "../mail/service.ts";
import { passwordResetMail, resetMail } from "./mails.ts";
import { deleteWaitingPasskeys } from "./passkey-store.ts";
import * as resets from "./reset-store.ts";
import type { SessionConfig, SessionDeps } from "./service.ts";
import * as store from "./store.ts";

const PREFIX = "ot_rst_";
const SECRET = /^ot_rst_[A-Za-z0-9_-]{43}$/;
const LASTS_SECONDS = 60 * 60;
/**
 * So many links in 24 hours go out as they are asked for; from then on none while one can still be used. So whoever asks in
 * a person's name neither floods them nor keeps them out.
 */
const LINKS_A_DAY = 10;

/**
 * Notes that somebody wants a new password. The same one row for every e-mail: whether it is known is found
 * out afterwards, by the sweep, so that neither answer nor work can tell.
 * @throws Problem rate_limited {retryAfterSeconds}
 */
export async function requestReset(
  { db, attempts }: SessionDeps,
  email: string,
  address: string,
): Promise<void> {
  await attempts.count(`reset:${email.trim().toLowerCase()}`, address);
  await resets.insertRequest(db, newId(), email.trim().toLowerCase());
}

/**
 * Mails a link to whoever asked, is known and has not had enough of them, and forgets the others. One request a transaction; any number of
 * processes may run it at once.
 * @returns how many links were made
 */
export async function sweepResets({ db, config }: { db: Db; config: SessionConfig }): Promise<number> {
  for (let made = 0; ; ) {
    const done = await inTransaction(db, async (trx) => {
      const now = await readClock(trx);
      const request = await resets.takeRequest(trx);
      if (request === undefined) return undefined;
      const user = await store.findUserByEmail(trx, request.email);
      if (user === undefined || (await hasEnough(trx, user.id, now))) {
        await resets.deleteReset(trx, request.id);
        return 0;
      }
      const { secret, digest } = newResetSecret();
      const expiresAt = addSeconds(now, LASTS_SECONDS);
      await resets.fillReset(trx, request.id, { userId: user.id, digest, expiresAt });
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
 * Makes a reset link to hand over in person, for an operator without mail.
 * @returns the link; `undefined` when nobody signs in with that e-mail
 */
export async function createResetLink(
  { db, config }: { db: Db; config: SessionConfig },
  email: string,
): Promise<string | undefined> {
  return inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    const user = await store.findUserByEmail(trx, email.trim());
    if (user === undefined) return undefined;
    const { secret, digest } = newResetSecret();
    const id = newId();
    await resets.insertRequest(trx, id, user.email);
    await resets.fillReset(trx, id, { userId: user.id, digest, expiresAt: addSeconds(now, LASTS_SECONDS) });
    const entry = { id: newId(), userId: user.id, action: "reset_link_printed", address: null };
    await store.insertAudit(trx, entry, now);
    return `${config.publicUrl}/reset/new?token=${secret}`;
  });
}

/** Whether a link still works. Changes nothing. */
export async function isResetOpen({ db }: SessionDeps, secret: string): Promise<boolean> {
  if (!SECRET.test(secret)) return false;
  return (await resets.findOpenReset(db, digestOf(secret), await readClock(db))) !== undefined;
}

/**
 * Uses a link up: sets the password, ends every session and every other link of the person, mails them, and
 * leaves a trace, all or nothing. Passkeys that were added after an earlier link, and that nobody has consented to, go
 * too: whoever reads the mail first shall not stay.
 * @returns whether the link still worked
 */
export async function resetPassword(
  { db, config }: SessionDeps,
  secret: string,
  next: string,
  address: string,
): Promise<boolean> {
  if (!SECRET.test(secret)) return false;
  const digest = digestOf(secret);
  if ((await resets.findOpenReset(db, digest, await readClock(db))) === undefined) return false;
  const password = await hashPassword(next);
  return inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    const userId = await resets.useReset(trx, digest, now);
    const user = userId && (await store.findUser(trx, userId));
    if (!user) return false;
    const expected = await store.findPassword(trx, user.id);
    if (!(await store.updatePassword(trx, user.id, { expected, password }, now))) return false;
    await store.markUnvouched(trx, user.id, now);
    const passkeysRemoved = await deleteWaitingPasskeys(trx, user.id);
    const ended = await store.deleteSessions(trx, user.id, null);
    const entry = { id: newId(), userId: user.id, action: "password_reset", address };
    await store.insertAudit(trx, { ...entry, detail: { sessionsEnded: ended, passkeysRemoved } }, now);
    await queueMail(trx, passwordResetMail(config, user), now);
    return true;
  });
}

function newResetSecret(): { secret: string; digest: Buffer } {
  const secret = `${PREFIX}${randomBytes(32).toString("base64url")}`;
  return { secret, digest: digestOf(secret) };
}

function digestOf(secret: string): Buffer {
  return hash("sha256", secret, "buffer");
}
