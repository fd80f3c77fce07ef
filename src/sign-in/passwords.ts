import { argon2, argon2Sync, randomBytes, timingSafeEqual } from "node:crypto";
import { StartError } from "../lib/start-error.ts";

/** OWASP's parameters for Argon2id: 19 MiB, 2 passes, 1 lane. */
const MEMORY_KIB = 19_456;
const PASSES = 2;
const PARALLELISM = 1;
const SALT_BYTES = 16;
const HASH_BYTES = 32;

/** The highest parameters that a stored hash may have, so that no row can exhaust memory or time. */
const AT_MOST = { memory: 65_536, passes: 4, parallelism: 4 };
/** A hash in the PHC string format. */
const PHC =
  /^\$argon2id\$v=19\$m=(\d{1,6}),t=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/;

type Parameters = { memory: number; passes: number; parallelism: number };

/**
 * Hashes a password with Argon2id in libuv's thread pool. Normalises it to Unicode NFKC first, so that keyboards that
 * encode it differently give the same hash.
 * @returns the hash as a PHC string
 */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const parameters = { memory: MEMORY_KIB, passes: PASSES, parallelism: PARALLELISM };
  const derived = await derive(password, salt, HASH_BYTES, parameters);
  return `$argon2id$v=19$m=${MEMORY_KIB},t=${PASSES},p=${PARALLELISM}$${base64(salt)}$${base64(derived)}`;
}

/**
 * Whether the password matches the hash.
 * @param phc `undefined`: there is no hash; the same work is done, and the result is `false`
 */
export async function verifyPassword(phc: string | undefined, password: string): Promise<boolean> {
  const stored = phc === undefined ? undefined : readPhc(phc);
  if (stored === undefined) {
    await hashPassword(password);
    return false;
  }
  const { salt, hash, ...parameters } = stored;
  return timingSafeEqual(await derive(password, salt, hash.length, parameters), hash);
}

/** @throws StartError when this Node cannot compute Argon2id */
export function assertArgon2(): void {
  try {
    const smallest = { parallelism: 1, tagLength: 4, memory: 8, passes: 1 };
    argon2Sync("argon2id", { message: "", nonce: Buffer.alloc(8), ...smallest });
  } catch {
    throw new StartError("This Node cannot compute Argon2id. Use a Node built with OpenSSL 3.2 or later.");
  }
}

function readPhc(phc: string): (Parameters & { salt: Buffer; hash: Buffer }) | undefined {
  const [, m, t, p, salt = "", hash = ""] = PHC.exec(phc) ?? [];
  const memory = Number(m);
  const passes = Number(t);
  const parallelism = Number(p);
  const bounded =
    parallelism >= 1 &&
    parallelism <= AT_MOST.parallelism &&
    passes >= 1 &&
    passes <= AT_MOST.passes &&
    memory >= 8 * parallelism &&
    memory <= AT_MOST.memory;
  if (!bounded) return undefined;
  return {
    memory,
    passes,
    parallelism,
    salt: Buffer.from(salt, "base64"),
    hash: Buffer.from(hash, "base64"),
  };
}

function derive(password: string, nonce: Buffer, tagLength: number, parameters: Parameters): Promise<Buffer> {
  const message = password.normalize("NFKC");
  return new Promise((resolve, reject) => {
    argon2("argon2id", { message, nonce, tagLength, ...parameters }, (error, derived) =>
      error === null ? resolve(derived) : reject(error),
    );
  });
}

function base64(bytes: Buffer): string {
  return bytes.toString("base64").replaceAll("=", "");
}
