import { CompiledQuery } from "kysely";
import { RateLimiterPostgres, RateLimiterRes } from "rate-limiter-flexible";
import { Problem } from "../lib/problems.ts";
import { countRateLimited } from "../metrics/metrics.ts";
import type { Db } from "./connection.ts";

export type ExactLimit = {
  /**
   * Counts one, before it is done.
   * @returns how many that makes in the window
   * @throws Problem rate_limited {retryAfterSeconds}
   */
  count(key: string): Promise<number>;
  /** Takes one back. */
  giveBack(key: string): Promise<void>;
  /** Resets the key's count. */
  forget(key: string): Promise<void>;
};

/**
 * A limit that holds exactly, however many come at once and to however many processes: counted in Postgres, in
 * windows that begin with a key's first use and go by the processes' clocks (docs/contract.md §0).
 */
export function exactLimit(
  db: Db,
  { name, points, seconds }: { name: string; points: number; seconds: number },
): ExactLimit {
  const limiter = new RateLimiterPostgres({
    storeClient: {
      query: ({ text, values }: { text: string; values: unknown[] }) =>
        db.executeQuery(CompiledQuery.raw(text, values)),
    },
    storeType: "client",
    schemaName: "auth",
    tableName: "attempts",
    tableCreated: true,
    clearExpiredByTimeout: false,
    keyPrefix: name,
    points,
    duration: seconds,
  });
  return {
    async count(key) {
      try {
        return (await limiter.consume(key)).consumedPoints;
      } catch (error) {
        if (!(error instanceof RateLimiterRes)) throw error;
        countRateLimited(name);
        throw new Problem("rate_limited", { retryAfterSeconds: Math.ceil(error.msBeforeNext / 1_000) });
      }
    },
    async giveBack(key) {
      await limiter.reward(key, 1);
    },
    async forget(key) {
      await limiter.delete(key);
    },
  };
}
