import { hash } from "node:crypto";
import type { PublicKeyCredentialRequestOptionsJSON } from "@simplewebauthn/server";
import { readClock } from "../database/clock.ts";
import type { Trx } from "../database/connection.ts";
import { Problem } from "../lib/problems.ts";
import { type Assertion, verifyAssertion } from "./assertion.ts";
import { type Ceremony, type Challenge, newChallenge, readChallenge } from "./challenge.ts";
import * as passkeys from "./passkey-store.ts";
import { requestOptions } from "./presence-service.ts";
import type { SessionDeps } from "./service.ts";

/**
 * What `navigator.credentials.get` is to ask for: an answer by one of these passkeys, or by any that the person has
 * for us, which must recognise them.
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
 * The passkey that has answered a challenge of the ceremony, held; what it said is written down, and the challenge is
 * used up. `undefined`: none has, and nothing is written.
 * @param userId whose it must be; absent at sign-in, where it is the passkey that says so
 */
export async function checkAnswer(
  trx: Trx,
  { keys, relyingParty }: SessionDeps,
  { ceremony, userId }: { ceremony: Ceremony; userId?: string },
  assertion: Assertion,
  now: Date,
): Promise<passkeys.PasskeyRow | undefined> {
  const { clientDataJSON, userHandle } = assertion.response;
  const challenge = readChallenge(keys, ceremony, clientDataJSON, now);
  if (challenge === undefined || relyingParty === undefined) return undefined;
  const passkey = await passkeys.lockCredential(trx, Buffer.from(assertion.id, "base64url"));
  if (passkey === undefined) return undefined;
  if (userId === undefined ? userHandle === undefined : passkey.user_id !== userId) return undefined;
  // Only where we have named the passkeys may an authenticator leave it out.
  if (userHandle !== undefined && userHandle !== userHandleOf(passkey.user_id).toString("base64url"))
    return undefined;
  const verified = await verifyAssertion(relyingParty, passkey, assertion, challenge.bytes);
  if (verified === undefined || !(await useChallenge(trx, challenge))) return undefined;
  await passkeys.markPasskeyUsed(trx, passkey.id, verified, now);
  return passkey;
}

/** Uses a challenge up. `false`: it was before. */
export function useChallenge(trx: Trx, { bytes, expiresAt }: Challenge): Promise<boolean> {
  return passkeys.answerChallenge(trx, hash("sha256", bytes, "buffer"), expiresAt);
}

/** What an authenticator keeps of whose a passkey is, and hands over at sign-in: no name, no e-mail. */
export function userHandleOf(userId: string): Buffer {
  return Buffer.from(userId, "utf8");
}

/** Whether a passkey counts for more than a password by then. */
export function counts({ trusted_from }: Pick<passkeys.PasskeyRow, "trusted_from">, now: Date): boolean {
  return trusted_from !== null && trusted_from <= now;
}
