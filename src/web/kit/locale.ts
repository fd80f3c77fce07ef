import Negotiator from "negotiator";
import { formatCents } from "../../lib/money.ts";
import { READER_LOCALE } from "../../lib/time.ts";

/** As `amount` and `amountAlone` write it. */
const AMOUNT = /<span class="amount">\$([\d,]+)\.(\d\d)( [A-Z]{3})?<\/span>/g;

/**
 * The reader's locale, in English as the pages are, with the signs, the clock and the order of dates of their region.
 * @param accepted the request's `Accept-Language`
 * @returns `en-DE` for `de`; where the region is not said, one whose dates cannot be misread
 */
export function readLocale(accepted: string | undefined): string {
  const [first = ""] = new Negotiator({ headers: { "accept-language": accepted } }).languages();
  try {
    const { language, region } = new Intl.Locale(first);
    if (language === "en" && region === undefined) return READER_LOCALE;
    const locale = `en-${new Intl.Locale(first).maximize().region}`;
    return Intl.NumberFormat.supportedLocalesOf(locale)[0] ?? READER_LOCALE;
  } catch {
    return READER_LOCALE;
  }
}

/** The page with each amount in the reader's signs. Text that people wrote cannot match: it is escaped. */
export function amountsIn(page: string, locale: string): string {
  return page.replaceAll(AMOUNT, (_, whole: string, cents: string, code = "") => {
    const value = Number(whole.replaceAll(",", "") + cents);
    return `<span class="amount">$${formatCents(value, locale)}${code}</span>`;
  });
}
