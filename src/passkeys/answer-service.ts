import { hash } from "node:crypto";
import type { PublicKeyCredentialRequestOptionsJSON } from "@simplewebauthn/server";
import { readClock } from "../database/clock.ts";
import type { Trx } from "../database/connection.ts";
import type { Origin } from "../lib/origin.ts";
import { Problem } from "../lib/problems.ts";
import type { Assertion } from "./assertion.ts";
import { type Ceremony, type Challenge, newChallenge, readChallenge } from "./challenge.ts";
import { requestOptions } from "./presence-service.ts";
import type { SessionDeps } from "./session-deps.ts";
import * as passkeys from "./store.ts";
import { checkUse, logRefusal, type PasskeyRefusal, recordUse } from "./use-service.ts";

/**
 * The options of `navigator.credentials.get` for an answer by one of these passkeys, or by any passkey of this site
 * when none is given. Requires user verification.
 * @throws Problem passkeys_unavailable
 */
export async function askForAnswer(
  { db, keys, relyingParty }: SessionDeps,
  ceremony: Ceremony,
  allowed: readonly passkeys.PasskeyRow[],
): Promise<PublicKeyCredentialRequestOptionsJSON> {
  if (relyingParty === undefined) throw new Problem("passkeys_unavailable");
  return requestOptions(relyingParty, allowed, newChallenge(keys, ceremony, await readClock(db)));
}

/**
 * Checks an answer to a challenge of the ceremony, records the use and uses the challenge up.
 * @returns the passkey, locked; `undefined` when the answer is refused: nothing is written, and the log says why
 * @param userId whose passkey it must be; absent at sign-in, where the passkey names the person
 */
export async function checkAnswer(
  trx: Trx,
  { keys, relyingParty, logger }: SessionDeps,
  { ceremony, userId, origin }: { ceremony: Ceremony; userId?: string; origin: Origin },
  assertion: Assertion | undefined,
  now: Date,
): Promise<passkeys.PasskeyRow | undefined> {
  const refuse = (reason: PasskeyRefusal, passkeyId?: string): undefined =>
    logRefusal({ logger, origin }, reason, passkeyId);
  if (assertion === undefined) return refuse("unreadable");
  const { clientDataJSON, userHandle } = assertion.response;
  const challenge = readChallenge(keys, ceremony, clientDataJSON, now);
  if (challenge === undefined || relyingParty === undefined) return refuse("challenge_unknown_or_expired");
  const passkey = await passkeys.lockCredential(trx, Buffer.from(assertion.id, "base64url"));
  if (passkey === undefined) return refuse("unknown_credential");
  const { id, user_id: whose } = passkey;
  if (userId !== undefined && whose !== userId) return refuse("of_another_person", id);
  // An authenticator may leave the user handle out only where the request named the passkeys.
  if (userId === undefined && userHandle === undefined) return refuse("user_handle_absent", id);
  if (userHandle !== undefined && userHandle !== userHandleOf(whose).toString("base64url"))
    return refuse("user_handle_of_another_person", id);
  const answer = { assertion, challenge: challenge.bytes };
  const use = await checkUse({ relyingParty, logger, origin }, passkey, answer);
  if (use === undefined) return undefined;
  if (!(await useChallenge(trx, challenge))) return refuse("challenge_answered_before", id);
  await recordUse(trx, { origin }, passkey, use, now);
  return passkey;
}

/** Uses a challenge up. @returns `false` when it was used before */
export function useChallenge(trx: Trx, { bytes, expiresAt }: Challenge): Promise<boolean> {
  return passkeys.answerChallenge(trx, hash("sha256", bytes, "buffer"), expiresAt);
}

/** The user handle that an authenticator stores and returns at sign-in. Holds no name and no email. */
export function userHandleOf(userId: string): Buffer {
  return Buffer.from(userId, "utf8");
}

/** Whether a passkey is active: it counts for more than a password. */
export function isActive({ active_from }: Pick<passkeys.PasskeyRow, "active_from">, now: Date): boolean {
  return active_from !== null && active_from <= now;
}
