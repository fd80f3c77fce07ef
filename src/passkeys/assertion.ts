import { type AuthenticationResponseJSON, verifyAuthenticationResponse } from "@simplewebauthn/server";
import { decodeClientDataJSON } from "@simplewebauthn/server/helpers";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { RelyingParty } from "./relying-party.ts";

const bytes = (maxLength: number) => Type.String({ pattern: "^[A-Za-z0-9_-]+$", maxLength });

/** What `PublicKeyCredential.toJSON()` makes of an assertion; whatever else it holds is not looked at. */
const Assertion = Type.Object({
  id: bytes(1364),
  rawId: bytes(1364),
  type: Type.Literal("public-key"),
  response: Type.Object({
    clientDataJSON: bytes(4096),
    authenticatorData: bytes(4096),
    signature: bytes(8192),
    /** Whose it is, as the authenticator kept it. */
    userHandle: Type.Optional(bytes(86)),
  }),
});
export type Assertion = Static<typeof Assertion>;

/** Reads what a page's script sends as text. `undefined`: it is no assertion. */
export function readAssertion(text: string): Assertion | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Value.Check(Assertion, value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Why an answer is none, for the log: none of these holds anything that was sent. */
export type AssertionRefusal =
  | "other_credential"
  | "other_challenge"
  | "other_origin"
  | "framed_by_another_site"
  | "other_relying_party"
  | "nobody_present"
  | "person_not_verified"
  | "other_signature"
  | "unreadable";

export type VerifiedAssertion = { counter: number; backedUp: boolean };
export type AssertionCheck = { verified: VerifiedAssertion } | { refused: AssertionRefusal };

/**
 * Whether the assertion is the passkey's answer to this challenge, given on a page of ours, by somebody whom their
 * authenticator has recognised (WebAuthn §7.2). Whose the passkey is, whether the challenge was used before, and what its
 * counter says is for the caller to check.
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
      // With 0 the library compares no counters: of a synced passkey they may repeat.
      credential: { id: assertion.id, publicKey: new Uint8Array(passkey.public_key), counter: 0 },
    });
    // The library lets a page of ours pass that stands in a frame of somebody else's.
    if (decodeClientDataJSON(assertion.response.clientDataJSON).crossOrigin)
      return { refused: "framed_by_another_site" };
    if (!verified) return { refused: "other_signature" };
    const { newCounter: counter, credentialBackedUp: backedUp } = authenticationInfo;
    return { verified: { counter, backedUp } };
  } catch (error) {
    // It throws whatever it refuses, and asks nobody: no other fault can come from here.
    return { refused: refusalOf(error) };
  }
}

/** By the library's messages, the first that fits: it has no codes. */
const MESSAGES: readonly (readonly [RegExp, AssertionRefusal])[] = [
  [/cross-origin|top origin/, "framed_by_another_site"],
  [/response challenge/, "other_challenge"],
  [/response origin/, "other_origin"],
  [/RP ID/, "other_relying_party"],
  [/not present/, "nobody_present"],
  [/could not be verified/, "person_not_verified"],
];

/** Why the library refused an answer, or a new passkey. */
export function refusalOf(error: unknown): AssertionRefusal {
  const message = error instanceof Error ? `${error.name}: ${error.message}` : "";
  return MESSAGES.find(([pattern]) => pattern.test(message))?.[1] ?? "unreadable";
}
