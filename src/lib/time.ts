/** Milliseconds in a second, for readers. */
export const SECOND = 1_000;

/** `start` plus a number of seconds. */
export function addSeconds(start: Date, seconds: number): Date {
  return new Date(start.getTime() + seconds * SECOND);
}

/** A time for the wire: ISO 8601, UTC, milliseconds, `Z`; null stays null. */
export function isoOrNull(time: Date | null): string | null {
  return time === null ? null : time.toISOString();
}
