import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import type { AuthenticationResponseJSON, RegistrationResponseJSON } from "@simplewebauthn/server";
import { isoCBOR } from "@simplewebauthn/server/helpers";
import { PUBLIC_URL } from "./service.ts";

/** What a test may have an authenticator, or the browser before it, say otherwise than an honest one. */
export type Lies = {
  /** Whether a person touched it, and whether it knows that it was its owner. */
  userPresent?: boolean;
  userVerified?: boolean;
  origin?: string;
  rpId?: string;
  counter?: number;
  type?: string;
  crossOrigin?: boolean;
  userHandle?: string;
  /** Signed with this key in place of the credential's. */
  key?: KeyObject;
};

const UP = 0x01;
const UV = 0x04;
const AT = 0x40;

/**
 * An authenticator with one passkey of ES256, and the browser before it: for tests that need right and wrong
 * assertions at will. Its counter stays at 0, as that of synced passkeys does, if no test sets one.
 */
export class Authenticator {
  readonly credentialId = randomBytes(32);
  readonly #keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  readonly #origin: string;
  readonly #rpId: string;

  constructor(origin: string = PUBLIC_URL) {
    this.#origin = origin;
    this.#rpId = new URL(origin).hostname;
  }

  get id(): string {
    return this.credentialId.toString("base64url");
  }

  get publicKey(): KeyObject {
    return this.#keys.publicKey;
  }

  get privateKey(): KeyObject {
    return this.#keys.privateKey;
  }

  /** The public key as the COSE key that a registration hands over. */
  get coseKey(): Buffer {
    const { x, y } = this.#keys.publicKey.export({ format: "jwk" });
    return Buffer.from(
      isoCBOR.encode(
        new Map<number, number | Uint8Array>([
          [1, 2],
          [3, -7],
          [-1, 1],
          [-2, new Uint8Array(Buffer.from(x ?? "", "base64url"))],
          [-3, new Uint8Array(Buffer.from(y ?? "", "base64url"))],
        ]),
      ),
    );
  }

  /** What `navigator.credentials.create` answers, with attestation `none`. */
  register(challenge: Buffer | string, lies: Lies = {}): RegistrationResponseJSON {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(this.credentialId.length);
    const credential = [Buffer.alloc(16), length, this.credentialId, this.coseKey];
    const authData = Buffer.concat([this.#head(lies, AT), ...credential]);
    const attestation = new Map<string, string | Map<string, never> | Uint8Array>([
      ["fmt", "none"],
      ["attStmt", new Map<string, never>()],
      ["authData", new Uint8Array(authData)],
    ]);
    return {
      id: this.id,
      rawId: this.id,
      type: "public-key",
      authenticatorAttachment: "platform",
      clientExtensionResults: {},
      response: {
        clientDataJSON: this.#clientData("webauthn.create", challenge, lies).toString("base64url"),
        attestationObject: Buffer.from(isoCBOR.encode(attestation)).toString("base64url"),
        transports: ["internal"],
      },
    };
  }

  /** What `navigator.credentials.get` answers. */
  assert(challenge: Buffer | string, lies: Lies = {}): AuthenticationResponseJSON {
    const authenticatorData = this.#head(lies, 0);
    const clientData = this.#clientData("webauthn.get", challenge, lies);
    const signed = Buffer.concat([authenticatorData, createHash("sha256").update(clientData).digest()]);
    return {
      id: this.id,
      rawId: this.id,
      type: "public-key",
      authenticatorAttachment: "platform",
      clientExtensionResults: {},
      response: {
        clientDataJSON: clientData.toString("base64url"),
        authenticatorData: authenticatorData.toString("base64url"),
        signature: sign("sha256", signed, lies.key ?? this.#keys.privateKey).toString("base64url"),
        ...(lies.userHandle === undefined ? {} : { userHandle: lies.userHandle }),
      },
    };
  }

  #head({ userPresent = true, userVerified = true, rpId = this.#rpId, counter = 0 }: Lies, more: number) {
    const head = Buffer.alloc(37);
    createHash("sha256").update(rpId).digest().copy(head);
    head[32] = (userPresent ? UP : 0) | (userVerified ? UV : 0) | more;
    head.writeUInt32BE(counter, 33);
    return head;
  }

  #clientData(type: string, challenge: Buffer | string, lies: Lies): Buffer {
    return Buffer.from(
      JSON.stringify({
        type: lies.type ?? type,
        challenge: typeof challenge === "string" ? challenge : challenge.toString("base64url"),
        origin: lies.origin ?? this.#origin,
        crossOrigin: lies.crossOrigin ?? false,
      }),
    );
  }
}
