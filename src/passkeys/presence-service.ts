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

/** Whether the person has a passkey that they can prove their presence with, or only some that do not count yet. */
export async function findPasskeys(db: Db, userId: string): Promise<"some" | "waiting" | "none"> {
  if ((await listPasskeys(db, userId)).length > 0) return "some";
  return (await listOwnPasskeys(db, userId)).length > 0 ? "waiting" : "none";
}

/**
 * What `navigator.credentials.get` is to ask for: an answer to this challenge by one of the person's passkeys, which
 * must recognise them. `undefined`: they have none.
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
 * What `navigator.credentials.get` is to ask for: an answer to this challenge, by one of the passkeys named, or, where
 * none is, by any that the person has for us. It must recognise them.
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
      // What its authenticator said when it was added; browsers pass over what they do not know.
      transports: transports as AuthenticatorTransport[],
    })),
  });
}

/**
 * Checks that a passkey of this person's has answered the challenge, and writes down that it was used. Within the
 * transaction that its answer counts in: the passkey is held, so that it is not removed meanwhile, and no two answers
 * count the same counter. It calculates (about a millisecond) and asks nobody.
 * @returns the proof whole; `undefined`: it is none, and the log says why
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
