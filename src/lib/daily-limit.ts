import { Problem } from "./problems.ts";
import { addSeconds, DAY_SECONDS, SECOND } from "./time.ts";

/**
 * Asserts a limit on what an account may do within 24 hours.
 * @param recent how many there were in the last 24 hours, and when the first of them was
 * @throws Problem rate_limited {retryAfterSeconds: when the first of them no longer counts}
 */
export function assertDailyLimit(
  { count, first }: { count: number; first: Date | null },
  atMost: number,
  now: Date,
  message?: string,
): void {
  if (count < atMost) return;
  const free = addSeconds(first ?? now, DAY_SECONDS);
  const retryAfterSeconds = Math.ceil((free.getTime() - now.getTime()) / SECOND);
  throw new Problem("rate_limited", { retryAfterSeconds }, message);
}
