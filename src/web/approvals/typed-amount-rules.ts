import { formatAmount, formatCents } from "../../lib/money.ts";

/** Either sign of a decimal, with one or two places: `1000`, `1000.5`, `1000,50`. */
const PLAIN = /^(\d+)(?:[.,](\d{1,2}))?$/;
/** Thousands set apart, by commas, points, or spaces and apostrophes: `1,000.00`, `1.000,00`, `1 000,00`. */
const GROUPED = [
  /^(\d{1,3}(?:,\d{3})+)(?:\.(\d{1,2}))?$/,
  /^(\d{1,3}(?:\.\d{3}){2,})(?:,(\d{1,2}))?$/,
  /^(\d{1,3}\.\d{3}),(\d{1,2})$/,
  /^(\d{1,3}(?:[ '’]\d{3})+)(?:[.,](\d{1,2}))?$/,
];
/** Thousands in India: `12,34,567.89`. */
const INDIAN = /^(\d{1,2}(?:,\d{2})*,\d{3})(?:\.(\d{1,2}))?$/;
/** One thousand to some, and one to others. */
const AMBIGUOUS = /^\d{1,3}\.\d{3}$/;
/** The same for readers whose page does not write `1,000`. */
const AMBIGUOUS_TO_COMMAS = /^\d{1,3}[.,]\d{3}$/;

/**
 * What is wrong with the amount that a person typed for a large payment, for them to read; `undefined`: nothing.
 * The expected amount does not influence how the text is parsed.
 * @param locale the reader's, whose thousands may be set apart as their page does
 */
export function typedAmountFault(
  text: string | undefined,
  { amountCents, currency }: { amountCents: number; currency: string },
  locale = "en-US",
): string | undefined {
  const expected = formatAmount(amountCents, currency, locale);
  const ambiguous = formatCents(0, locale) === "0,00" ? AMBIGUOUS_TO_COMMAS : AMBIGUOUS;
  const typed = bare(text ?? "", currency);
  if (typed === "") return `Type the amount in full: ${expected}. Nothing was confirmed.`;
  if (ambiguous.test(typed)) {
    return `“${typed}” can be read in two ways. Type it with its cents: ${expected}. Nothing was confirmed.`;
  }
  const cents = centsOf(typed, formatCents(10_000_000, locale) === "1,00,000.00");
  if (cents === undefined)
    return `This does not read as an amount. Type it as ${expected}. Nothing was confirmed.`;
  if (cents === amountCents) return undefined;
  return `You typed ${formatAmount(cents, currency, locale)}, and this payment is ${expected}. Nothing was confirmed.`;
}

/** The amount that was typed, in cents; `undefined`: it reads as none, or in two ways. */
export function readAmount(text: string, currency: string): number | undefined {
  const typed = bare(text, currency);
  return AMBIGUOUS.test(typed) ? undefined : centsOf(typed);
}

/** Without the currency, which may stand on either side, and with one kind of space. */
function bare(text: string, currency: string): string {
  const code = currency.toUpperCase();
  const plain = text.normalize("NFKC").replaceAll(/\s+/g, " ").toUpperCase().trim();
  return plain
    .replace(new RegExp(`^(?:${code}|US)? ?\\$?`), "")
    .replace(new RegExp(`\\$? ?(?:${code})?$`), "")
    .trim();
}

function centsOf(typed: string, indian = false): number | undefined {
  for (const form of [PLAIN, ...GROUPED, ...(indian ? [INDIAN] : [])]) {
    const [, whole, decimals = ""] = form.exec(typed) ?? [];
    if (whole === undefined) continue;
    const cents = Number(whole.replaceAll(/\D/g, "")) * 100 + Number(decimals.padEnd(2, "0"));
    return Number.isSafeInteger(cents) ? cents : undefined;
  }
  return undefined;
}
