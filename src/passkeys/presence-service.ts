import {
  generateAuthenticationOptions,
  type PublicKeyCredentialRequestOptionsJSON,
} from "@simplewebauthn/server";
import type { Db, Trx } from "../database/connection.ts";
import type { PasskeyProof } from "../database/schema.ts";
import { SECOND } from "../lib/time.ts";
import type { Assertion } from "./assertion.ts";
import { CHALLENGE_SECONDS } from "./challenge.ts";
import type { RelyingParty } from "./relying-party.ts";
import { listOwnPasskeys, listPasskeys, lockPasskey, type PasskeyRow } from "./store.ts";
import { type Checking, checkUse, logRefusal, recordUse } from "./use-service.ts";

export { type Assertion, readAssertion } from "./assertion.ts";
export { CHALLENGE_SECONDS } from "./challenge.ts";
export type { RelyingParty } from "./relying-party.ts";
export { type Checking, logRefusal } from "./use-service.ts";

/** Whether the person has an active passkey to prove their presence with, only inactive ones, or none. */
export async function findPasskeys(db: Db, userId: string): Promise<"some" | "waiting" | "none"> {
  if ((await listPasskeys(db, userId)).length > 0) return "some";
  return (await listOwnPasskeys(db, userId)).length > 0 ? "waiting" : "none";
}

/**
 * The options of `navigator.credentials.get` for an answer by one of the person's active passkeys, with user
 * verification.
 * @returns `undefined` when they have none
 */
export async function askForPasskey(
  db: Db,
  relyingParty: RelyingParty,
  userId: string,
  challenge: Buffer,
): Promise<PublicKeyCredentialRequestOptionsJSON | undefined> {
  const passkeys = await listPasskeys(db, userId);
  return passkeys.length === 0 ? undefined : requestOptions(relyingParty, passkeys, challenge);
}

/**
 * The options of `navigator.credentials.get` for an answer to this challenge by one of these passkeys, or by any of
 * this site when none is given. Requires user verification.
 */
export function requestOptions(
  relyingParty: RelyingParty,
  passkeys: readonly PasskeyRow[],
  challenge: Buffer,
): Promise<PublicKeyCredentialRequestOptionsJSON> {
  return generateAuthenticationOptions({
    rpID: relyingParty.id,
    challenge: new Uint8Array(challenge),
    userVerification: "required",
    timeout: CHALLENGE_SECONDS * SECOND,
    allowCredentials: passkeys.map(({ credential_id, transports }) => ({
      id: credential_id.toString("base64url"),
      // As the authenticator reported them when it was added; browsers ignore unknown values.
      transports: transports as AuthenticatorTransport[],
    })),
  });
}

/**
 * Checks that an active passkey of the person has answered the challenge, and records its use. Runs in the
 * transaction that the answer counts in: the lock keeps the passkey from being removed, and two answers from using
 * one counter value. Takes about a millisecond of CPU; does no network I/O.
 * @returns the whole proof; `undefined` when it is refused, and the log says why
 */
export async function provePasskey(
  trx: Trx,
  checking: Checking,
  userId: string,
  answer: { assertion: Assertion; challenge: Buffer },
  now: Date,
): Promise<PasskeyProof | undefined> {
  const { assertion } = answer;
  const passkey = await lockPasskey(trx, userId, Buffer.from(assertion.id, "base64url"));
  if (passkey === undefined) return logRefusal(checking, "unknown_or_inactive_credential");
  const use = await checkUse(checking, passkey, answer);
  if (use === undefined) return undefined;
  await recordUse(trx, checking, passkey, use, now);
  const { authenticatorData, clientDataJSON, signature } = assertion.response;
  return {
    kind: "passkey",
    provedAt: now.toISOString(),
    credentialId: assertion.id,
    publicKey: passkey.public_key.toString("base64url"),
    authenticatorData,
    clientDataJSON,
    signature,
    rpId: checking.relyingParty.id,
    origin: checking.relyingParty.origin,
  };
}
