import { HOUR_SECONDS, MINUTE_SECONDS } from "../lib/time.ts";

/** How long after each failed attempt the next one is made (docs/contract.md §3): the last is 75 h 36 min after the first. */
export const WAITS: readonly number[] = [
  1 * MINUTE_SECONDS,
  5 * MINUTE_SECONDS,
  30 * MINUTE_SECONDS,
  120 * MINUTE_SECONDS,
  5 * HOUR_SECONDS,
  10 * HOUR_SECONDS,
  14 * HOUR_SECONDS,
  20 * HOUR_SECONDS,
  24 * HOUR_SECONDS,
];

const SLOW_MILLISECONDS = 5_000;
const GONE = 410;

/** The part of an outcome that the rules depend on. */
type Attempt = { ok: boolean; status: number | null; milliseconds: number; timedOut: boolean };

export type Verdict = {
  status: "PENDING" | "DELIVERED" | "FAILED";
  /** When to try again, in seconds from now; null: never. */
  waitSeconds: number | null;
  /** Whether the receiver has unsubscribed. */
  gone: boolean;
  /** Whether the receiver belongs in the slow lane: it took half of the time-out or more. */
  slow: boolean;
};

/**
 * The state of a delivery after an attempt.
 * @param attempts how many were completed before this one
 */
export function judge(attempts: number, { ok, status, milliseconds, timedOut }: Attempt): Verdict {
  const gone = status === GONE;
  const slow = timedOut || milliseconds >= SLOW_MILLISECONDS;
  if (ok) return { status: "DELIVERED", waitSeconds: null, gone, slow };
  const waitSeconds = gone ? null : (WAITS[attempts] ?? null);
  return { status: waitSeconds === null ? "FAILED" : "PENDING", waitSeconds, gone, slow };
}
