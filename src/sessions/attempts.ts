import { hash } from "node:crypto";
import { RateLimiterPostgres, RateLimiterRes } from "rate-limiter-flexible";
import type { Db } from "../database/connection.ts";
import { addressBucket } from "../lib/addresses.ts";
import { Problem } from "../lib/problems.ts";
import { runQuery } from "./store.ts";

export const ATTEMPTS_PER_EMAIL = 10;
export const ATTEMPTS_PER_ADDRESS = 50;
const WINDOW_SECONDS = 15 * 60;

export type Attempts = ReturnType<typeof createAttempts>;

/**
 * Counts attempts to prove who one is, exactly, in Postgres: however many come at once and to however many
 * processes, 10 per e-mail and 50 per address pass in 15 minutes. What succeeds is not counted.
 */
export function createAttempts(db: Db) {
  const storeClient = { query: (query: { text: string; values: unknown[] }) => runQuery(db, query) };
  const limiter = (keyPrefix: string, points: number) =>
    new RateLimiterPostgres({
      storeClient,
      storeType: "client",
      schemaName: "auth",
      tableName: "attempts",
      tableCreated: true,
      clearExpiredByTimeout: false,
      keyPrefix,
      points,
      duration: WINDOW_SECONDS,
    });
  const emails = limiter("email", ATTEMPTS_PER_EMAIL);
  const addresses = limiter("address", ATTEMPTS_PER_ADDRESS);

  return {
    /**
     * Counts one attempt, before it is made. Whoever is over the address's limit uses up nobody's e-mail.
     * @throws Problem rate_limited {retryAfterSeconds}
     */
    async count(email: string, address: string): Promise<void> {
      await consume(addresses, addressBucket(address));
      await consume(emails, emailKey(email));
    },
    /** Takes an attempt that succeeded back: the e-mail begins anew, the address has one more. */
    async forgive(email: string, address: string): Promise<void> {
      await emails.delete(emailKey(email));
      await addresses.reward(addressBucket(address), 1);
    },
  };
}

async function consume(limiter: RateLimiterPostgres, key: string): Promise<void> {
  try {
    await limiter.consume(key);
  } catch (error) {
    if (!(error instanceof RateLimiterRes)) throw error;
    throw new Problem("rate_limited", { retryAfterSeconds: Math.ceil(error.msBeforeNext / 1_000) });
  }
}

function emailKey(email: string): string {
  return hash("sha256", email.trim().toLowerCase(), "base64url");
}
