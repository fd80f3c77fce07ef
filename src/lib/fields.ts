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
 * A field that people will read something or somebody by.
 * @throws Problem bad_request {field} for what shows nothing
 */
export function nameOf(field: string, text: string): string {
  if (isVisible(text)) return text;
  throw badField(field, `\`${field}\` must have a character that can be seen.`);
}

/**
 * A field that holds a date or a time. A date is its first instant, UTC.
 * @throws Problem bad_request {field} for what has the form of one and is none, such as a leap second
 */
export function timeOf(field: string, text: string): Date {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) throw badField(field, `\`${field}\` must be a date or a time.`);
  return time;
}
