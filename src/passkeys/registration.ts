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

/** ES256, EdDSA and RS256: one of them is in every authenticator, and anybody can check them later. */
export const ALGORITHMS = [COSEALG.ES256, COSEALG.EdDSA, COSEALG.RS256];

const bytes = (maxLength: number) => Type.String({ pattern: "^[A-Za-z0-9_-]+$", maxLength });

/** What `PublicKeyCredential.toJSON()` makes of a new passkey; whatever else it holds is not looked at. */
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

/** A passkey as its authenticator hands it over. */
export type NewPasskey = {
  credentialId: Buffer;
  publicKey: Buffer;
  counter: number;
  transports: string[];
  deviceType: "singleDevice" | "multiDevice";
  backedUp: boolean;
  aaguid: string | null;
};

/** Reads what a page's script sends as text. `undefined`: it is no new passkey. */
export function readRegistration(text: string): Registration | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Value.Check(Registration, value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Whether it is a new passkey's answer to this challenge, made on a page of ours, by somebody whom their authenticator
 * has recognised (WebAuthn §7.1).
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
    // It throws whatever it refuses, and asks nobody: no other fault can come from here.
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
