import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { type PublicJwk, publicJwk } from "./signature.ts";

/** The key that signs receipts, and the public keys of all known signing keys. */
export type ReceiptKeys = { signing: KeyObject; published: readonly PublicJwk[] };

/** The PKCS #8 prefix of an Ed25519 seed (RFC 8410). */
const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");

/**
 * @param seeds 32 bytes each; the first one signs
 * @param retired public keys whose seeds are gone: their `x` from `/.well-known/jwks.json`
 */
export function openReceiptKeys(seeds: readonly Buffer[], retired: readonly string[]): ReceiptKeys {
  const keys = seeds.map((seed) =>
    createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: "der", type: "pkcs8" }),
  );
  const [signing] = keys;
  if (signing === undefined) throw new TypeError("no seed to sign receipts with");
  const old = retired.map((x) => createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" }));
  const all = [...keys, ...old].map(publicJwk);
  return { signing, published: [...new Map(all.map((jwk) => [jwk.kid, jwk])).values()] };
}
