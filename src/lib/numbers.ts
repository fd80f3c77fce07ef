/** How far numbers jump at least when what was given before may have been lost. */
export const JUMP = 1_000_000_000;

/**
 * Where numbers go on once the database may have lost some that were given (a fail-over, a restore): beyond all of them. The
 * clock is in it because one backup can be restored twice: what was numbered after the first time is then lost, too. In
 * milliseconds it stays ahead of up to a thousand numbers a second, and below 2^53 for ever.
 */
export function jumpPast(last: number, now: Date): number {
  return Math.max(last + JUMP, now.getTime());
}
