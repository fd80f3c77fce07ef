import { type RegistrationResponseJSON, verifyRegistrationResponse } from "@simplewebauthn/server";
import {
  COSEALG,
  decodeAttestationObject,
  decodeClientDataJSON,
  isoCBOR,
} from "@simplewebauthn/server/helpers";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { isUuid } from "../lib/ids.ts";
import { type AssertionRefusal, refusalOf } from "./assertion.ts";
import type { RelyingParty } from "./relying-party.ts";

/** ES256, EdDSA and RS256: every authenticator has one of them, and common libraries verify them. */
export const ALGORITHMS = [COSEALG.ES256, COSEALG.EdDSA, COSEALG.RS256];

const bytes = (maxLength: number) => Type.String({ pattern: "^[A-Za-z0-9_-]+$", maxLength });

/** The fields of `PublicKeyCredential.toJSON()` that a new passkey needs; others are ignored. */
const Registration = Type.Object({
  id: bytes(1364),
  rawId: bytes(1364),
  type: Type.Literal("public-key"),
  response: Type.Object({
    clientDataJSON: bytes(4096),
    attestationObject: bytes(16_384),
    transports: Type.Optional(Type.Array(Type.String({ maxLength: 32 }), { maxItems: 10 })),
  }),
});
export type Registration = Static<typeof Registration>;

/** A passkey as its authenticator created it. */
export type NewPasskey = {
  credentialId: Buffer;
  publicKey: Buffer;
  counter: number;
  transports: string[];
  deviceType: "singleDevice" | "multiDevice";
  backedUp: boolean;
  aaguid: string | null;
};

/** Parses the text that a page's script sends. @returns `undefined` when it is no new passkey */
export function readRegistration(text: string): Registration | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Value.Check(Registration, value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Checks that this is a new passkey that answers the challenge, created on a page of this site with user verification
 * (WebAuthn §7.1).
 */
export async function verifyRegistration(
  relyingParty: RelyingParty,
  registration: Registration,
  challenge: Buffer,
): Promise<{ made: NewPasskey } | { refused: AssertionRefusal }> {
  const { clientDataJSON, attestationObject, transports = [] } = registration.response;
  try {
    const { verified, registrationInfo } = await verifyRegistrationResponse({
      response: {
        ...registration,
        clientExtensionResults: {},
        response: { clientDataJSON, attestationObject: withoutStatement(attestationObject) },
      } satisfies RegistrationResponseJSON,
      expectedChallenge: challenge.toString("base64url"),
      expectedOrigin: relyingParty.origin,
      expectedRPID: relyingParty.id,
      requireUserVerification: true,
      supportedAlgorithmIDs: ALGORITHMS,
    });
    if (decodeClientDataJSON(clientDataJSON).crossOrigin) return { refused: "framed_by_another_site" };
    if (!verified) return { refused: "other_signature" };
    const { credential, credentialDeviceType, credentialBackedUp, aaguid } = registrationInfo;
    if (credential.id !== registration.id) return { refused: "other_credential" };
    const made = {
      credentialId: Buffer.from(credential.id, "base64url"),
      publicKey: Buffer.from(credential.publicKey),
      counter: credential.counter,
      transports,
      deviceType: credentialDeviceType,
      backedUp: credentialBackedUp,
      aaguid: isUuid(aaguid) ? aaguid : null,
    };
    return { made };
  } catch (error) {
    // The library throws for each refusal and does no I/O, so any error here is a refusal.
    return { refused: refusalOf(error) };
  }
}

/**
 * We ask for no statement about the authenticator's make, and look at none that comes all the same: to check one, the
 * library would ask addresses that stand in it.
 */
function withoutStatement(attestationObject: string): string {
  const object = decodeAttestationObject(new Uint8Array(Buffer.from(attestationObject, "base64url")));
  const plain = new Map<string, string | Uint8Array | Map<string, never>>([
    ["fmt", "none"],
    ["attStmt", new Map<string, never>()],
    ["authData", object.get("authData")],
  ]);
  return Buffer.from(isoCBOR.encode(plain)).toString("base64url");
}
