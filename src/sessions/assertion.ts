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

export type VerifiedAssertion = { counter: number; backedUp: boolean };

/**
 * Whether the assertion is the passkey's answer to this challenge, given on a page of ours, by somebody whom
 * their authenticator has recognised (WebAuthn §7.2). It does not know whose the passkey is, or whether the challenge
 * was used before: those are the caller's.
 * @returns what to write down of it; `undefined`: it is not
 */
export async function verifyAssertion(
  relyingParty: RelyingParty,
  passkey: { credential_id: Buffer; public_key: Buffer; counter: number },
  assertion: Assertion,
  challenge: Buffer,
): Promise<VerifiedAssertion | undefined> {
  if (assertion.id !== passkey.credential_id.toString("base64url")) return undefined;
  try {
    const { verified, authenticationInfo } = await verifyAuthenticationResponse({
      response: { ...assertion, clientExtensionResults: {} } satisfies AuthenticationResponseJSON,
      expectedChallenge: challenge.toString("base64url"),
      expectedOrigin: relyingParty.origin,
      expectedRPID: relyingParty.id,
      requireUserVerification: true,
      credential: {
        id: assertion.id,
        publicKey: new Uint8Array(passkey.public_key),
        counter: passkey.counter,
      },
    });
    // The library lets a page of ours pass that stands in a frame of somebody else's.
    if (!verified || decodeClientDataJSON(assertion.response.clientDataJSON).crossOrigin) return undefined;
    return { counter: authenticationInfo.newCounter, backedUp: authenticationInfo.credentialBackedUp };
  } catch {
    // It throws whatever it refuses, and asks nobody: no other fault can come from here.
    return undefined;
  }
}
