import { hash, randomBytes } from "node:crypto";
import { bytesToUuid, uuidToBytes } from "./ids.ts";

const SECRET = /^([A-Za-z0-9_-]{43})([A-Za-z0-9_-]{22})$/;
const SECRET_BYTES = 32;

/** What a presented secret says of itself: whose account to look in, and the digest to look for. */
export type Credential = { accountId: string; digest: Buffer };

/** A secret that was just made. `value` is shown once; only `digest` and `preview` are kept. */
export type NewSecret = { value: string; digest: Buffer; preview: string };

/**
 * Makes a bearer secret for an account: prefix, 43 characters of randomness, 22 that encode the account's
 * internal UUID, so that looking it up goes to one place (docs/contract.md §0).
 */
export function newSecret(prefix: string, accountId: string): NewSecret {
  const random = randomBytes(SECRET_BYTES).toString("base64url");
  const value = `${prefix}${random}${uuidToBytes(accountId).toString("base64url")}`;
  return {
    value,
    digest: digestOf(value),
    preview: `${prefix}${random.slice(0, 4)}********${random.slice(-4)}`,
  };
}

/** Reads a presented secret; `undefined` when it cannot be one. Asks nothing of the database. */
export function readSecret(prefix: string, value: string): Credential | undefined {
  if (!value.startsWith(prefix)) return undefined;
  const account = SECRET.exec(value.slice(prefix.length))?.[2];
  if (account === undefined) return undefined;
  return { accountId: bytesToUuid(Buffer.from(account, "base64url")), digest: digestOf(value) };
}

function digestOf(value: string): Buffer {
  return hash("sha256", value, "buffer");
}
