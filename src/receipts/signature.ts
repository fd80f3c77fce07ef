import { createPublicKey, hash, type KeyObject, sign, verify } from "node:crypto";
import { canonicalText } from "../lib/canonical.ts";
import type { Receipt } from "./schemas.ts";

/** A public key as `/.well-known/jwks.json` shows it. */
export type PublicJwk = { kty: "OKP"; crv: "Ed25519"; x: string; kid: string; use: "sig"; alg: "EdDSA" };

const TYPE = "countersign-receipt";
const SIGNATURE_BYTES = 64;

/** @param key an Ed25519 key, private or public */
export function publicJwk(key: KeyObject): PublicJwk {
  const { x } = (key.type === "private" ? createPublicKey(key) : key).export({ format: "jwk" });
  if (key.asymmetricKeyType !== "ed25519" || x === undefined) throw new TypeError("not an Ed25519 key");
  return { kty: "OKP", crv: "Ed25519", x, kid: thumbprint(x), use: "sig", alg: "EdDSA" };
}

/** RFC 7638. */
function thumbprint(x: string): string {
  return hash("sha256", canonicalText({ crv: "Ed25519", kty: "OKP", x }), "base64url");
}

/** A flattened JWS over the receipt's RFC 8785 form, with detached payload (RFC 7515, appendix F). */
export function signReceipt(receipt: Omit<Receipt, "signature">, key: KeyObject): Receipt {
  const header = protectedHeader(publicJwk(key).kid);
  const signature = sign(null, signingInput(header, receipt), key).toString("base64url");
  return { ...receipt, signature: { protected: header, signature } };
}

/** The key that signed the receipt exactly as it is; `undefined` when none of them did. */
export function findSigner(
  { signature, ...receipt }: Receipt,
  keys: readonly KeyObject[],
): KeyObject | undefined {
  const bytes = Buffer.from(signature.signature, "base64url");
  // Accepts one encoding only: decoders ignore base64url's spare bits, so other texts give the same bytes.
  if (bytes.length !== SIGNATURE_BYTES || bytes.toString("base64url") !== signature.signature)
    return undefined;
  return keys.find((key) => {
    const header = protectedHeader(publicJwk(key).kid);
    return header === signature.protected && verify(null, signingInput(header, receipt), key, bytes);
  });
}

/** Written and compared, never parsed: a header with another algorithm is another text. */
function protectedHeader(kid: string): string {
  return Buffer.from(JSON.stringify({ alg: "EdDSA", kid, typ: TYPE })).toString("base64url");
}

function signingInput(header: string, receipt: object): Buffer {
  return Buffer.from(`${header}.${Buffer.from(canonicalText(receipt)).toString("base64url")}`);
}
