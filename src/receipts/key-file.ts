import { createPublicKey, type KeyObject } from "node:crypto";
import { publicJwk } from "./signature.ts";

/** Why a file holds no key to check receipts with, as text for people. */
export class NoKey extends Error {
  override name = "NoKey";
}

/**
 * Reads public Ed25519 keys from a JWK, a JWK set as at `/.well-known/jwks.json`, or PEM.
 * @param thumbprint RFC 7638; returns only the key with this thumbprint, so that the file's origin need not be
 * trusted
 * @throws NoKey
 */
export function readPublicKeys(text: string, thumbprint?: string): KeyObject[] {
  const keys = text.trimStart().startsWith("{") ? fromJson(text) : [fromPem(text)];
  const right = keys.filter((key) => thumbprint === undefined || publicJwk(key).kid === thumbprint);
  if (right.length > 0) return right;
  throw new NoKey(
    thumbprint === undefined
      ? "it holds no Ed25519 key"
      : `it holds no key whose thumbprint is ${thumbprint}`,
  );
}

function fromPem(text: string): KeyObject {
  if (text.includes("PRIVATE KEY"))
    throw new NoKey("it holds a private key, which checking receipts must not need");
  const key = toKey(() => createPublicKey(text));
  if (key === undefined) throw new NoKey("it is neither a JWK, a JWK set, nor a public key in PEM");
  return key;
}

function fromJson(text: string): KeyObject[] {
  let value: { keys?: unknown };
  try {
    value = JSON.parse(text);
  } catch {
    throw new NoKey("it is not JSON");
  }
  const jwks: unknown[] = Array.isArray(value.keys) ? value.keys : [value];
  if (jwks.some((jwk) => typeof jwk === "object" && jwk !== null && "d" in jwk))
    throw new NoKey("it holds a private key, which checking receipts must not need");
  return jwks
    .map((jwk) => toKey(() => createPublicKey({ key: jwk as Record<string, string>, format: "jwk" })))
    .filter((key) => key !== undefined);
}

/** @returns `undefined` when it is no key, or no Ed25519 key */
function toKey(read: () => KeyObject): KeyObject | undefined {
  try {
    const key = read();
    return key.asymmetricKeyType === "ed25519" ? key : undefined;
  } catch {
    return undefined;
  }
}
