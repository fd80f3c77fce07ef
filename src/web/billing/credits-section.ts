import type { CreditEntry, Credits } from "../../billing/credit-schemas.ts";
import type { TopUpRow } from "../../billing/top-up-service.ts";
import type { Billing } from "../../database/schema.ts";
import { type Html, html } from "../../lib/html.ts";
import type { Human } from "../../sign-in/gate.ts";
import { choice, type Fault, field, hiddenField } from "../kit/forms.ts";
import { signedForm, signingField, signingNeedsScript } from "../kit/signing.ts";
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
  /** Absent for all but owners. */
  setup: { human: Human; signs: boolean; formToken: string } | undefined;
  fault: Fault | undefined;
};

/** The ids of the forms' fields, of which each account has its own. */
export const creditFields = (accountId: string) => ({
  amount: `top-up-${accountId}`,
  password: `setup-password-${accountId}`,
});

const SETUPS = [
  ["card", "The card on file"],
  ["credits_first", "Credits first, the card where they don’t cover the whole amount"],
] as const;

export function creditsSection(view: CreditsView, heading: (text: string) => Html): Html {
  const { accountId, credits, topUps, topUpToken, fault } = view;
  const pending = topUps.filter(({ status }) => status === "PENDING");
  return html`${heading("Credits")}
      <p>${amount(credits.availableCents, "usd")} available, ${amount(credits.reservedCents, "usd")} reserved for funded milestones.</p>
      ${setup(view)}
      ${pending.length > 0 && html`<ul class="rows">${pending.map(pendingRow)}</ul>`}
      ${
        topUpToken !== undefined &&
        html`<form method="post" action="/billing/top-ups">
        ${hiddenField("accountId", accountId)}
        ${hiddenField("form_token", topUpToken)}
        ${field({
          name: "amountUsd",
          id: creditFields(accountId).amount,
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

function setup({ accountId, billing, setup: changing, fault }: CreditsView): Html {
  const [, words] = SETUPS.find(([value]) => value === billing) ?? SETUPS[0];
  if (changing === undefined) return html`<p>Fundings are paid from: ${words}.</p>`;
  const { human, signs, formToken } = changing;
  return html`<form method="post" action="/billing/setup"${signedForm("/billing/setup", signs)}>
        ${signingNeedsScript(signs)}
        ${hiddenField("account_id", accountId)}
        ${hiddenField("from", billing)}
        ${hiddenField("form_token", formToken)}
        ${choice({ name: "to", id: `setup-${accountId}`, label: "Fundings are paid from", options: SETUPS, value: billing })}
        ${signingField(human, signs, creditFields(accountId).password, fault)}
        <button class="second" type="submit">Change what pays</button>
      </form>`;
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
