/** The processor's bounds for one payment, in cents (docs/contract.md §0). */
export const MIN_AMOUNT_CENTS = 50;
export const MAX_AMOUNT_CENTS = 99_999_999;

/**
 * Dollars as they stand on the wire → whole cents; `undefined` when there are more than two decimals.
 * Exact: `cents / 100` is the double nearest to the decimal, which is what JSON.parse made of it.
 */
export function dollarsToCents(dollars: number): number | undefined {
  const cents = Math.round(dollars * 100);
  return Number.isSafeInteger(cents) && cents / 100 === dollars ? cents : undefined;
}

/** Whole cents → dollars for the wire, with at most two decimals. */
export function centsToDollars(cents: number): number {
  return cents / 100;
}

/**
 * Whole cents → an amount for people that cannot be misread: `$1,200.00 USD`, `$1.200,00 USD`.
 * @param locale whose signs set thousands and cents apart
 */
export function formatAmount(cents: number, currency: string, locale = "en-US"): string {
  return `$${formatCents(cents, locale)} ${currency.toUpperCase()}`;
}

/** The same without its currency: `1,200.00`. */
export function formatCents(cents: number, locale: string): string {
  return new Intl.NumberFormat(locale, { minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(
    cents / 100,
  );
}
