import type { PayeeHistory } from "../../approvals/contract-money-service.ts";
import type { Asker } from "../../database/schema.ts";
import { askerWords } from "../../lib/asker.ts";
import { cardName } from "../../lib/card-name.ts";
import { type Html, html } from "../../lib/html.ts";
import { formatAmount } from "../../lib/money.ts";
import { brief, whole } from "../../lib/names.ts";
import type { Source } from "../../lib/statement.ts";
import { formatDeadline, formatMonth, formatTime, formatTimeLeft } from "../../lib/time.ts";

/** Longer than this, a quoted text may fill more than its box, which then scrolls. */
const QUOTE_FITS = { characters: 200, lines: 4 };

/** A user-supplied name in full, isolated so that it cannot reorder the text around it. */
export function named(name: string): Html {
  return html`<bdi>${whole(name)}</bdi>`;
}

/** The same within a sentence, where it may not drown out what the sentence says. */
export function mentioned(name: string, atMost?: number): Html {
  return html`<bdi>${brief(name, atMost)}</bdi>`;
}

/** The full stop of a sentence that ends with the name, which may bring its own: `Maria G.` */
export function fullStopAfter(name: string): "" | "." {
  return brief(name).endsWith(".") ? "" : ".";
}

/** Who stands behind an API key; nothing where that is not known. */
export function standsBehind(asker: Asker | null): Html | null {
  if (asker === null) return null;
  const { words, name } = askerWords(asker);
  return html`${words}${name !== null && mentioned(name)}`;
}

/** An amount that neither breaks nor can be misread: `$1,200.00 USD`. */
export function amount(cents: number, currency: string): Html {
  return html`<span class="amount">${formatAmount(cents, currency)}</span>`;
}

/** The same without its currency, beside an amount that says it. */
export function amountAlone(cents: number): Html {
  return html`<span class="amount">${formatAmount(cents, "usd").replace(/ USD$/, "")}</span>`;
}

/** The outcome of an approval that ended without a decision. */
export function closedWord({ result }: { result: Record<string, unknown> | null }): string {
  if (typeof result?.reason !== "string") return "Expired";
  return result.reason === "withdrawn" ? "Withdrawn" : "Closed";
}

export function time(at: Date): Html {
  return html`<time datetime="${at.toISOString()}">${formatTime(at)}</time>`;
}

/** A time to act by, with its weekday: `Thu 3 Dec, 05:50 UTC`. */
export function deadline(at: Date): Html {
  return html`<time class="deadline" datetime="${at.toISOString()}">${formatDeadline(at)}</time>`;
}

/** How long is left to act by it, in brackets that keep together: `(3 days left)`. */
export function timeLeft(until: Date, now: Date): Html {
  return html`<span class="whole">(${formatTimeLeft(until.getTime() - now.getTime())} left)</span>`;
}

/** A month of the past: `March 2026`. */
function month(at: Date): Html {
  return html`<time class="month" datetime="${at.toISOString()}">${formatMonth(at)}</time>`;
}

/** `First payment to them`, or how much the account has paid them out, and holds for them. */
export function payeeHistoryWords({ paidOut, paidOutCents, since, held, heldCents }: PayeeHistory): Html {
  const escrow = held > 0 && html`; ${amount(heldCents, "usd")} held in escrow`;
  if (paidOut === 0)
    return html`<b>${held > 0 ? "Not paid out before" : "First payment to them"}</b>${escrow}`;
  const times = paidOut === 1 ? "once" : `${paidOut} times`;
  return html`Paid out ${times}, ${amount(paidOutCents, "usd")}${since && html` since ${month(since)}`}${escrow}`;
}

/** What pays, or has paid: `Visa card ending in 4242`, or the credits. */
export function sourceName(source: Source): string {
  return source.kind === "credits" ? "credits of the account" : cardName(source);
}

/**
 * Text that an agent, a payee or the operator wrote: marked as theirs, inert, and in a box that scrolls, so that it
 * cannot push the form out of sight.
 */
export function quote(text: string, { saysWhose = true }: { saysWhose?: boolean } = {}): Html {
  const long = text.length > QUOTE_FITS.characters || text.split("\n").length > QUOTE_FITS.lines;
  const size = long && html`${text.length.toLocaleString("en-US")} characters, scroll to read them all`;
  const caption = saysWhose
    ? html`Written by the account’s operator or agent${size && html`: ${size}`}`
    : size;
  return html`<figure class="quote">
          ${caption && html`<figcaption>${caption}</figcaption>`}
          <div${long && html` tabindex="0" role="region" aria-label="The description, as it was written"`}><blockquote dir="auto">${whole(text)}</blockquote></div>
        </figure>`;
}

/** Makes a section's heading. */
export type Heading = (text: string) => Html;

/** The headings inside one account's part of a page: below the account's name, where the page shows several. */
export function headingsIn(several: boolean): Heading {
  return (text) => (several ? html`<h3>${text}</h3>` : html`<h2>${text}</h2>`);
}
