import type { CreditEntry, Credits } from "../../billing/credit-schemas.ts";
import type { TopUpRow } from "../../billing/top-up-service.ts";
import type { Billing } from "../../database/schema.ts";
import { type Html, html } from "../../lib/html.ts";
import { type Fault, field, hiddenField } from "../kit/forms.ts";
import { amount, time } from "../kit/wording.ts";

/** What the billing page says of an account's credits. */
export type CreditsView = {
  accountId: string;
  credits: Credits;
  /** The newest; those that are pending can be paid for. */
  topUps: readonly TopUpRow[];
  billing: Billing;
  /** Absent for a viewer. */
  topUpToken: string | undefined;
  fault: Fault | undefined;
};

/** The id of the field for a top-up's amount, of which each account has one. */
export const amountField = (accountId: string) => `top-up-${accountId}`;

const SETUPS: Record<Billing, string> = {
  card: "the card on file",
  credits_first: "credits if they cover the whole amount, otherwise the card on file",
};

export function creditsSection(view: CreditsView, heading: (text: string) => Html): Html {
  const { accountId, credits, topUps, billing, topUpToken, fault } = view;
  const pending = topUps.filter(({ status }) => status === "PENDING");
  return html`${heading("Credits")}
      <p>${amount(credits.availableCents, "usd")} available, ${amount(credits.reservedCents, "usd")} reserved for funded milestones.</p>
      <p>Fundings are paid from ${SETUPS[billing]}. Owners choose this in the <a href="/settings/policy">policy</a>.</p>
      ${pending.length > 0 && html`<ul class="rows">${pending.map(pendingRow)}</ul>`}
      ${
        topUpToken !== undefined &&
        html`<form method="post" action="/billing/top-ups">
        ${hiddenField("accountId", accountId)}
        ${hiddenField("form_token", topUpToken)}
        ${field({
          name: "amountUsd",
          id: amountField(accountId),
          label: "Add credits, in dollars",
          type: "text",
          autocomplete: "off",
          digits: "decimal",
          maxLength: 12,
          hint: "From 10 to 10,000. You enter a card on the next pages; the card on file is not charged.",
          fault,
        })}
        <button type="submit">Continue</button>
      </form>`
      }
      ${credits.recentEntries.length > 0 && html`<ul class="rows">${credits.recentEntries.map(entryRow)}</ul>`}`;
}

function pendingRow({ id, amountCents, currency, expiresAt }: TopUpRow): Html {
  return html`
        <li><a href="/top-ups/${id}">Pay for a top-up of ${amount(amountCents, currency)}</a>
          <span class="quiet">by ${time(expiresAt)}</span></li>`;
}

const TYPES: Record<string, string> = {
  TOP_UP: "Added",
  HOLD: "Reserved for a milestone",
  HOLD_RELEASE: "Released from a milestone",
  CAPTURE: "Paid out for a milestone",
  REFUND: "Refunded from a milestone",
  ADJUSTMENT: "Corrected",
};

function entryRow({ type, amountCents, createdAt, note }: CreditEntry): Html {
  const sign = amountCents > 0 ? "+" : amountCents < 0 ? "−" : "";
  return html`
        <li>${sign}${amount(Math.abs(amountCents), "usd")}
          <span class="quiet"><b>${TYPES[type] ?? type}</b>, ${time(new Date(createdAt))}${note !== null && html`: <bdi>${note}</bdi>`}</span></li>`;
}
