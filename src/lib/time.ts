/** In milliseconds, as timers and `Date` take them. */
export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** In seconds, as `addSeconds`, SQL intervals and HTTP headers take them. */
export const MINUTE_SECONDS = 60;
export const HOUR_SECONDS = 60 * MINUTE_SECONDS;
export const DAY_SECONDS = 24 * HOUR_SECONDS;

/** `start` plus a number of seconds. */
export function addSeconds(start: Date, seconds: number): Date {
  return new Date(start.getTime() + seconds * SECOND);
}

/**
 * The latest of these times: `now`, unless the database's clock was set back before something that it follows. No time is
 * written before the one that it follows (a receipt whose signature is older than its request would never verify).
 */
export function latest(now: Date, ...earlier: readonly (Date | null | undefined)[]): Date {
  const times = earlier.map((time) => time?.getTime() ?? Number.NEGATIVE_INFINITY);
  return new Date(Math.max(now.getTime(), ...times));
}

/** A time for the wire: ISO 8601, UTC, milliseconds, `Z`; null stays null. */
export function isoOrNull(time: Date | null): string | null {
  return time === null ? null : time.toISOString();
}

const FOR_PEOPLE = {
  day: "numeric",
  month: "long",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  timeZoneName: "shortOffset",
} as const;

/** English, with the day before the month: for readers whose region is not known. */
export const READER_LOCALE = "en-GB";

/**
 * A time for people, with its zone said: `26 November 2026 at 07:36 UTC`, `26 November 2026 at 08:36 UTC+1`.
 * @param timeZone an IANA name
 */
export function formatTime(time: Date, timeZone = "UTC", locale = READER_LOCALE): string {
  return inUtc(new Intl.DateTimeFormat(locale, { ...FOR_PEOPLE, timeZone }).format(time));
}

const BY_WEEKDAY = { ...FOR_PEOPLE, weekday: "short", month: "short", year: undefined } as const;

/**
 * A time soon to come, for people to act by: `Thu 3 Dec, 05:50 UTC`.
 * @param timeZone an IANA name
 */
export function formatDeadline(time: Date, timeZone = "UTC", locale = READER_LOCALE): string {
  const said = new Intl.DateTimeFormat(locale, { ...BY_WEEKDAY, timeZone }).format(time);
  return inUtc(said.replace(/^(\p{L}+),/u, "$1"));
}

/** A month for people: `March 2026`. */
export function formatMonth(time: Date, timeZone = "UTC", locale = READER_LOCALE): string {
  return new Intl.DateTimeFormat(locale, { month: "long", year: "numeric", timeZone }).format(time);
}

function inUtc(said: string): string {
  return said.replace("GMT", "UTC").replace(/UTC\+0$/, "UTC");
}

const UNITS = [
  { unit: "day", milliseconds: DAY },
  { unit: "hour", milliseconds: HOUR },
  { unit: "minute", milliseconds: MINUTE },
] as const;

/** How long is left, for people, to the nearest of the largest unit that fits one and a half times: `3 days`. */
export function formatTimeLeft(milliseconds: number): string {
  const fits = UNITS.find((candidate) => milliseconds >= 1.5 * candidate.milliseconds);
  const { unit, milliseconds: length } = fits ?? UNITS[2];
  const count = Math.max(1, Math.round(milliseconds / length));
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}
