import type { PaymentRow, ReversalRow } from "../../billing/payment-service.ts";
import type { PaymentMethod } from "../../billing/schemas.ts";
import { type Html, html } from "../../lib/html.ts";
import { banner, type Fault, faultSummary, field, hiddenField } from "../kit/forms.ts";
import type { Page } from "../kit/layout.ts";
import { type Prover, presenceField, presenceScript } from "../kit/presence.ts";
import { reversalWords } from "../kit/reversals.ts";
import { amount, cardName, mentioned, time } from "../kit/wording.ts";
import { type CreditsView, creditsSection } from "./credits-section.ts";

/** One account's part of the billing page. */
export type BillingSection = {
  accountId: string;
  accountName: string;
  cards: readonly PaymentMethod[];
  payments: readonly PaymentRow[];
  /** What has gone back of them. */
  reversals: readonly ReversalRow[];
  /** Absent for a viewer, who sees and cannot change. */
  formToken: string | undefined;
  credits: CreditsView;
};

export type BillingView = {
  human: Prover;
  sections: readonly BillingSection[];
  /** Cards are added by the numbers of test cards; else on the processor's own form. */
  sandbox: boolean;
  /** The approval that the person comes from, and goes back to with another card. */
  approval?: string | undefined;
  /** Names one of the banners; unknown ones show nothing. */
  said?: string | undefined;
  fault?: Fault | undefined;
};

const BANNERS: Record<string, string> = {
  added: "Card added. It pays for what you confirm from now on. The owners have been notified by email.",
  removed: "Card removed. It won’t be charged again. The owners have been notified by email.",
};

/** `/billing`: the card on file, how to add, replace and remove it, and the payments made (docs/contract.md §7). */
export function billingPage(view: BillingView): Page {
  const { human, sections, approval, said, fault } = view;
  return {
    title: "Billing",
    ...presenceScript(human),
    body: html`
      ${banner(said === undefined ? undefined : BANNERS[said])}
      ${faultSummary(fault)}
      <p>A card is charged only after a member has confirmed an approval, and exactly what that approval says.</p>
      ${approval === undefined ? null : html`<p><a href="/approvals/${approval}">Back to the approval</a></p>`}
      ${sections.map((section) => account(section, view))}`,
  };
}

/** The id of the password's field of the form that adds a card. */
export function cardProofField(accountId: string): string {
  return `card-password-${accountId}`;
}

/** The id of the field for a card's number, of which each account has one. */
export function numberField(accountId: string): string {
  return `number-${accountId}`;
}

function account(section: BillingSection, view: BillingView): Html {
  const { accountName, cards, payments, formToken } = section;
  const several = view.sections.length > 1;
  const heading = (text: string): Html => (several ? html`<h3>${text}</h3>` : html`<h2>${text}</h2>`);
  return html`${several ? html`<h2>${mentioned(accountName)}</h2>` : null}
      ${heading("Cards on file")}
      ${cards.length === 0 ? html`<p>None yet. Agents cannot ask for a payment before there is one.</p>` : cardList(section)}
      ${formToken === undefined ? null : html`${heading("Add a card")}${(view.sandbox ? addTestCard : addCard)(section, formToken, view)}`}
      ${creditsSection(section.credits, heading)}
      ${heading("Payments")}
      ${payments.length === 0 ? html`<p class="quiet">None yet.</p>` : paymentList(section)}`;
}

function cardList({ cards, accountId, formToken }: BillingSection): Html {
  return html`<ul class="rows">${cards.map(
    (card) => html`
        <li class="choices">
          <p><strong>${cardName(card)}</strong>
            <span class="quiet">Valid until ${String(card.expMonth).padStart(2, "0")}/${card.expYear}${card.isDefault && html`. <b>Pays for what you confirm</b>`}</span></p>
          ${
            formToken &&
            html`<a class="button second" href="${removalPath(accountId, card.id)}" aria-label="Remove the ${cardName(card)}">Remove</a>`
          }
        </li>`,
  )}</ul>`;
}

/** Asks before a card is removed. */
export function removalPath(accountId: string, cardId: string): string {
  return `/billing/remove-card?${new URLSearchParams({ accountId, cardId })}`;
}

function addCard(
  { accountId }: BillingSection,
  formToken: string,
  { human, approval, fault }: BillingView,
): Html {
  return html`<form method="post" action="/billing/new-card">
        ${hiddenField("accountId", accountId)}
        ${hiddenField("form_token", formToken)}
        ${approval === undefined ? null : hiddenField("approval", approval)}
        ${presenceField(human, cardProofField(accountId), fault)}
        <button type="submit">Add a card</button>
      </form>`;
}

function addTestCard(
  { accountId }: BillingSection,
  formToken: string,
  { human, approval, fault }: BillingView,
): Html {
  return html`<form method="post" action="/billing/add-card">
        ${hiddenField("accountId", accountId)}
        ${hiddenField("form_token", formToken)}
        ${approval === undefined ? null : hiddenField("approval", approval)}
        ${field({
          name: "number",
          id: numberField(accountId),
          label: "Number of a test card",
          type: "text",
          autocomplete: "off",
          digits: true,
          maxLength: 23,
          hint: testCards,
          fault,
        })}
        ${presenceField(human, cardProofField(accountId), fault)}
        <button type="submit">Add card and make it the default</button>
      </form>`;
}

const testCards = html`This is the sandbox: no real cards, no real money.
            <ul class="numbers">
              <li><code>4242 4242 4242 4242</code> pays</li>
              <li><code>4000 0000 0000 0002</code> is declined</li>
              <li><code>4000 0000 0000 9995</code> insufficient funds</li>
              <li><code>4000 0027 6000 3184</code> requires bank verification</li>
            </ul>`;

const STATUSES: Record<PaymentRow["status"], string> = {
  created: "Under way",
  submitted: "Under way",
  unknown: "Under way",
  action_required: "Waiting for your bank",
  succeeded: "Paid",
  refused: "Refused, no money moved",
};

const MOVED: Record<PaymentRow["kind"], string> = {
  charge: "Charged",
  payout: "Paid out to the payee",
  refund: "Refunded to the card",
};

function paymentList({ payments, reversals }: BillingSection): Html {
  const ofPayment = Map.groupBy(reversals, ({ paymentId }) => paymentId);
  return html`<ul class="rows">${payments.map((row) => {
    const back = reversalWords(ofPayment.get(row.id) ?? []);
    return html`
        <li>
          <a href="/approvals/${row.approvalId}">${amount(row.amountCents, row.currency)}</a>
          <span class="quiet"><b>${row.status === "succeeded" ? MOVED[row.kind] : STATUSES[row.status]}${back && `, ${back}`}</b>, ${time(row.resolvedAt ?? row.createdAt)}</span>
        </li>`;
  })}</ul>`;
}
