import { hash } from "node:crypto";
import type { Db } from "../database/connection.ts";
import { exactLimit } from "../database/exact-limits.ts";
import { addressBucket } from "../lib/addresses.ts";

export const ATTEMPTS_PER_EMAIL = 10;
export const ATTEMPTS_PER_ADDRESS = 50;
const WINDOW_SECONDS = 15 * 60;

export type Attempts = ReturnType<typeof createAttempts>;

/**
 * Counts attempts to prove who one is: 10 per e-mail and 50 per address pass in 15 minutes. What succeeds is
 * not counted.
 */
export function createAttempts(db: Db) {
  const emails = exactLimit(db, { name: "email", points: ATTEMPTS_PER_EMAIL, seconds: WINDOW_SECONDS });
  const addresses = exactLimit(db, {
    name: "address",
    points: ATTEMPTS_PER_ADDRESS,
    seconds: WINDOW_SECONDS,
  });

  return {
    /**
     * Counts one attempt, before it is made. Whoever is over the address's limit uses up nobody's e-mail.
     * @throws Problem rate_limited {retryAfterSeconds}
     */
    async count(email: string, address: string): Promise<void> {
      await addresses.count(addressBucket(address));
      await emails.count(emailKey(email));
    },
    /** Takes an attempt that succeeded back: the e-mail begins anew, the address has one more. */
    async forgive(email: string, address: string): Promise<void> {
      await emails.forget(emailKey(email));
      await addresses.giveBack(addressBucket(address));
    },
    /**
     * Counts one attempt with a passkey, of which nobody knows whose it is before it is checked. So whoever fails in a
     * person's name does not lock their passkeys out.
     * @throws Problem rate_limited {retryAfterSeconds}
     */
    countAddress(address: string): Promise<void> {
      return addresses.count(addressBucket(address));
    },
    /** Takes an attempt with a passkey back, as it succeeded. */
    forgiveAddress(address: string): Promise<void> {
      return addresses.giveBack(addressBucket(address));
    },
  };
}

function emailKey(email: string): string {
  return hash("sha256", email.trim().toLowerCase(), "base64url");
}
