import { hash } from "node:crypto";
import canonicalize from "canonicalize";

/** SHA-256 over the RFC 8785 form of `value`: the same for the same content, whatever the order of its keys. */
export function canonicalDigest(value: object): Buffer {
  const text = canonicalize(value);
  if (text === undefined) throw new TypeError("only JSON values have a canonical form");
  return hash("sha256", text, "buffer");
}
