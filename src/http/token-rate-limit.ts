import { sql } from "kysely";
import type { Db } from "../database/connection.ts";
import { countRateLimited } from "../metrics/metrics.ts";
import { KnownCredentials } from "./known-credentials.ts";

const WINDOW_SECONDS = 60;
const WINDOW = WINDOW_SECONDS * 1_000;
const KEPT_WINDOWS = 3;

/** A bucket after a hit or a look. */
export type Allowance = {
  allowed: boolean;
  limit: number;
  remaining: number;
  /** Whole seconds until the window ends. */
  resetSeconds: number;
};

type Count = { window: number; total: number; unsent: number };

/**
 * Fixed windows of a minute, counted in this process and shared with the others about once a second
 * (docs/contract.md §0). No request waits for a count, so a caller on n processes can overshoot by what these
 * let through within one second.
 */
export class RateLimits {
  /** Credentials that an address over its limit may still use. */
  readonly known = new KnownCredentials();
  readonly #counts = new Map<string, Count>();

  /** Counts one request of `bucket` against `limit` a minute. */
  hit(bucket: string, limit: number, now = Date.now()): Allowance {
    const count = this.#count(bucket, now);
    count.total += 1;
    count.unsent += 1;
    const after = allowance(count.total, limit, now);
    // A bucket is a limit's name and whom it counts.
    if (!after.allowed) countRateLimited(bucket.slice(0, bucket.indexOf(":")));
    return after;
  }

  /** Whether one more request would be allowed, without counting it. */
  look(bucket: string, limit: number, now = Date.now()): Allowance {
    return allowance(
      (this.#counts.get(bucket)?.window === windowOf(now) ? this.#count(bucket, now).total : 0) + 1,
      limit,
      now,
    );
  }

  /** Adds the counts since the last call to the shared ones, and reads those of other processes. */
  async share(db: Db, now = Date.now()): Promise<void> {
    // First, so that counts do not pile up while the database is away and the rest fails.
    this.#forget(now);
    await this.known.share(db, now);
    const sent = [...this.#counts]
      .filter(([, count]) => count.unsent > 0)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    if (sent.length === 0) return;
    const hits = sent.map(([, count]) => count.unsent);
    const shared = await addHits(
      db,
      sent.map(([bucket]) => bucket),
      sent.map(([, count]) => new Date(count.window)),
      hits,
    );
    for (const [i, [bucket, count]] of sent.entries()) {
      count.unsent -= hits[i] ?? 0;
      count.total = Math.max(count.total, (shared.get(`${bucket} ${count.window}`) ?? 0) + count.unsent);
    }
  }

  #count(bucket: string, now: number): Count {
    const window = windowOf(now);
    const known = this.#counts.get(bucket);
    if (known !== undefined && known.window === window) return known;
    const count = { window, total: 0, unsent: 0 };
    this.#counts.set(bucket, count);
    return count;
  }

  #forget(now: number): void {
    for (const [bucket, count] of this.#counts) if (count.window < windowOf(now)) this.#counts.delete(bucket);
  }
}

/** Deletes windows that have passed. */
export async function forgetOldWindows(db: Db, now = Date.now()): Promise<void> {
  await db
    .deleteFrom("rate_windows")
    .where("window_start", "<", new Date(now - KEPT_WINDOWS * WINDOW))
    .execute();
}

/** The headers of the current IETF draft: what is allowed, and what is left. */
export function rateLimitHeaders(
  policy: string,
  { limit, remaining, resetSeconds }: Allowance,
): Record<string, string> {
  return {
    "ratelimit-policy": `"${policy}";q=${limit};w=${WINDOW_SECONDS}`,
    ratelimit: `"${policy}";r=${remaining};t=${resetSeconds}`,
  };
}

async function addHits(
  db: Db,
  buckets: string[],
  windows: Date[],
  hits: number[],
): Promise<Map<string, number>> {
  const { rows } = await sql<{ bucket: string; window_start: Date; hits: number }>`
    insert into rate_windows (bucket, window_start, hits)
    select * from unnest(${buckets}::text[], ${windows}::timestamptz[], ${hits}::integer[])
    on conflict (bucket, window_start) do update set hits = rate_windows.hits + excluded.hits
    returning bucket, window_start, hits`.execute(db);
  return new Map(rows.map((row) => [`${row.bucket} ${row.window_start.getTime()}`, row.hits]));
}

function windowOf(now: number): number {
  return now - (now % WINDOW);
}

function allowance(total: number, limit: number, now: number): Allowance {
  return {
    allowed: total <= limit,
    limit,
    remaining: Math.max(0, limit - total),
    resetSeconds: Math.ceil((WINDOW - (now % WINDOW)) / 1_000),
  };
}
