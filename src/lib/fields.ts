import { dollarsToCents, MAX_AMOUNT_CENTS } from "./money.ts";
import { isVisible } from "./names.ts";
import { badField } from "./problems.ts";

/**
 * A field in dollars → whole cents.
 * @param minimum in cents
 * @throws Problem bad_request {field}
 */
export function centsOf(field: string, dollars: number, minimum: number): number {
  const cents = dollarsToCents(dollars);
  if (cents !== undefined && cents >= minimum && cents <= MAX_AMOUNT_CENTS) return cents;
  throw badField(
    field,
    `\`${field}\` must be dollars from ${minimum / 100} to ${MAX_AMOUNT_CENTS / 100}, with at most two decimals.`,
  );
}

/**
 * A field that holds a name which people read.
 * @throws Problem bad_request {field} for a name that shows nothing, and for control characters
 */
export function nameOf(field: string, text: string): string {
  if (isVisible(text)) return textOf(field, text);
  throw badField(field, `\`${field}\` must have a character that can be seen.`);
}

/**
 * A field that holds a date or a time. A date is its first instant, UTC.
 * @throws Problem bad_request {field} for what has the form of one and is none, such as a leap second, and for what in
 * UTC lies outside the years 0 to 9999, which ISO 8601 has no agreed form for
 */
export function timeOf(field: string, text: string): Date {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) throw badField(field, `\`${field}\` must be a date or a time.`);
  const year = time.getUTCFullYear();
  if (year < 0 || year > 9999) throw badField(field, `\`${field}\` must lie in the years 0 to 9999, in UTC.`);
  return time;
}

/** Control characters: most take six bytes in JSON, and none is visible in what a person signs. */
const CONTROL = /(?![\t\n\r])\p{Cc}/u;

/**
 * A field of text that people read.
 * @throws Problem bad_request {field} for control characters; line breaks and tabs are none
 */
export function textOf(field: string, text: string): string {
  if (!CONTROL.test(text)) return text;
  throw badField(
    field,
    `\`${field}\` must be text without control characters other than line breaks and tabs.`,
  );
}
