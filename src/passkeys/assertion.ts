import { type AuthenticationResponseJSON, verifyAuthenticationResponse } from "@simplewebauthn/server";
import { decodeClientDataJSON } from "@simplewebauthn/server/helpers";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { RelyingParty } from "./relying-party.ts";

const bytes = (maxLength: number) => Type.String({ pattern: "^[A-Za-z0-9_-]+$", maxLength });

/** The fields of `PublicKeyCredential.toJSON()` that an assertion needs; others are ignored. */
const Assertion = Type.Object({
  id: bytes(1364),
  rawId: bytes(1364),
  type: Type.Literal("public-key"),
  response: Type.Object({
    clientDataJSON: bytes(4096),
    authenticatorData: bytes(4096),
    signature: bytes(8192),
    /** The user handle that the authenticator stored. */
    userHandle: Type.Optional(bytes(86)),
  }),
});
export type Assertion = Static<typeof Assertion>;

/** Parses the text that a page's script sends. @returns `undefined` when it is no assertion */
export function readAssertion(text: string): Assertion | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Value.Check(Assertion, value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Why an answer was refused, for the log. Holds nothing that the client sent. */
export type AssertionRefusal =
  | "other_credential"
  | "other_challenge"
  | "other_origin"
  | "framed_by_another_site"
  | "other_relying_party"
  | "user_not_present"
  | "person_not_verified"
  | "other_signature"
  | "unreadable";

export type VerifiedAssertion = { counter: number; backedUp: boolean };
export type AssertionCheck = { verified: VerifiedAssertion } | { refused: AssertionRefusal };

/**
 * Checks that the assertion is the passkey's answer to this challenge, given on a page of this site with user
 * verification (WebAuthn §7.2). The caller checks whose the passkey is, whether the challenge was used before, and
 * the counter.
 */
export async function verifyAssertion(
  relyingParty: RelyingParty,
  passkey: { credential_id: Buffer; public_key: Buffer },
  assertion: Assertion,
  challenge: Buffer,
): Promise<AssertionCheck> {
  if (assertion.id !== passkey.credential_id.toString("base64url")) return { refused: "other_credential" };
  try {
    const { verified, authenticationInfo } = await verifyAuthenticationResponse({
      response: { ...assertion, clientExtensionResults: {} } satisfies AuthenticationResponseJSON,
      expectedChallenge: challenge.toString("base64url"),
      expectedOrigin: relyingParty.origin,
      expectedRPID: relyingParty.id,
      requireUserVerification: true,
      // With 0 the library compares no counters: a synced passkey may repeat its own.
      credential: { id: assertion.id, publicKey: new Uint8Array(passkey.public_key), counter: 0 },
    });
    // The library accepts a page of this site within another site's frame.
    if (decodeClientDataJSON(assertion.response.clientDataJSON).crossOrigin)
      return { refused: "framed_by_another_site" };
    if (!verified) return { refused: "other_signature" };
    const { newCounter: counter, credentialBackedUp: backedUp } = authenticationInfo;
    return { verified: { counter, backedUp } };
  } catch (error) {
    // The library throws for each refusal and does no I/O, so any error here is a refusal.
    return { refused: refusalOf(error) };
  }
}

/** Matched in order against the library's messages, as its errors have no codes. */
const MESSAGES: readonly (readonly [RegExp, AssertionRefusal])[] = [
  [/cross-origin|top origin/, "framed_by_another_site"],
  [/response challenge/, "other_challenge"],
  [/response origin/, "other_origin"],
  [/RP ID/, "other_relying_party"],
  [/not present/, "user_not_present"],
  [/could not be verified/, "person_not_verified"],
];

/** Why the library refused an answer or a new passkey. */
export function refusalOf(error: unknown): AssertionRefusal {
  const message = error instanceof Error ? `${error.name}: ${error.message}` : "";
  return MESSAGES.find(([pattern]) => pattern.test(message))?.[1] ?? "unreadable";
}
