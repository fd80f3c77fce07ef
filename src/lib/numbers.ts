import { randomInt } from "node:crypto";

/** How far numbers jump at least when what was given before may have been lost. */
export const JUMP = 1_000_000_000;
const MICROSECONDS = 1_000;

/**
 * Where numbers go on once the database may have lost some that were given (a fail-over, a restore): after `last` plus `jump`,
 * and not before `clock`. One backup can be restored twice, and what was numbered after the first time is then lost too: so
 * the time is in it, and, for two restores soon after each other, chance. Below 2^53 for two hundred years.
 */
export function drawJump(now: Date): { jump: number; clock: number } {
  return { jump: JUMP + randomInt(JUMP), clock: now.getTime() * MICROSECONDS };
}
