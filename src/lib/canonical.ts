import { hash } from "node:crypto";
import canonicalize from "canonicalize";

/** The RFC 8785 form of `value`: one text for the same content, whatever the order of its keys. */
export function canonicalText(value: object): string {
  const text = canonicalize(value);
  if (text === undefined) throw new TypeError("only JSON values have a canonical form");
  return text;
}

/** SHA-256 over the RFC 8785 form of `value`. */
export function canonicalDigest(value: object): Buffer {
  return hash("sha256", canonicalText(value), "buffer");
}
