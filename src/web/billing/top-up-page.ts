import type { TopUpRow } from "../../billing/top-up-service.ts";
import type { TopUpAsker } from "../../database/schema.ts";
import { type Html, html } from "../../lib/html.ts";
import { type Fault, faultSummary, field, hiddenField } from "../kit/forms.ts";
import type { Page } from "../kit/layout.ts";
import { amount, mentioned, time } from "../kit/wording.ts";

export type TopUpView = {
  topUp: TopUpRow;
  accountName: string;
  /** Its time has passed. */
  over: boolean;
  frozen: boolean;
  paused: boolean;
  /** The processor's name for people. */
  payPage: string;
  /** Absent for a viewer. */
  payToken: string | undefined;
  lookToken: string;
  /** The person comes back from the processor's page. */
  returned: boolean;
};

/** `/top-ups/{id}`: what would be paid, and the way to the processor's own page (docs/contract.md §5). */
export function topUpPage(view: TopUpView): Page {
  const { topUp, accountName, returned } = view;
  const asksAgain = returned && topUp.status === "PENDING";
  return {
    title: "Add credits",
    ...(asksAgain ? { script: "send.js" } : {}),
    body: html`
      <dl class="terms">
        <div><dt>Amount</dt><dd>${amount(topUp.amountCents, topUp.currency)}</dd></div>
        <div><dt>Account</dt><dd>${mentioned(accountName)}</dd></div>
        <div><dt>Requested by</dt><dd>${whoAsked(topUp.askedBy)}, ${time(topUp.createdAt)}</dd></div>
      </dl>
      ${asksAgain ? lookForm(view, "Check for the payment", true) : standing(view)}
      <p><a href="/billing">Back to billing</a></p>`,
  };
}

function standing(view: TopUpView): Html {
  const { topUp, over, frozen, paused, payToken } = view;
  if (topUp.status === "COMPLETED")
    return html`<p class="notice" role="status"><strong>Paid.</strong> The credits are available since ${time(topUp.completedAt ?? topUp.createdAt)}.</p>`;
  if (topUp.status === "EXPIRED" || over)
    return html`<p class="notice"><strong>This top-up has expired.</strong> Nothing can be paid for it any more. If you had paid just
        before, the credits appear here, usually within a minute.</p>`;
  if (frozen)
    return html`<p class="notice wrong"><strong>This account is frozen by the operator.</strong> No credits can be added.</p>`;
  if (paused)
    return html`<p class="notice wrong"><strong>The operator has paused all payments.</strong> Try again later.</p>`;
  if (payToken === undefined)
    return html`<p class="notice">You can view this but not pay for it. Ask an owner or approver.</p>`;
  return payable(view, payToken);
}

function payable(view: TopUpView, payToken: string): Html {
  const { topUp, payPage } = view;
  const until = html`<p class="quiet">Pay by ${time(topUp.expiresAt)}. You enter the card there; the card on file is not charged.</p>`;
  if (topUp.sessionUrl === null)
    return html`<form method="post" action="/top-ups/${topUp.id}/checkout">
        ${hiddenField("form_token", payToken)}
        <button type="submit">Continue to payment</button>
      </form>
      ${until}`;
  return html`<div class="choices">
        <a class="button" href="${topUp.sessionUrl}">Pay on ${payPage}</a>
        ${lookForm(view, "I've paid: check now", false)}
      </div>
      ${until}`;
}

function lookForm({ topUp, lookToken }: TopUpView, label: string, sendsItself: boolean): Html {
  return html`<form method="post" action="/top-ups/${topUp.id}/look"${sendsItself && html` data-send`}>
        ${hiddenField("form_token", lookToken)}
        <button${!sendsItself && html` class="second"`} type="submit">${label}</button>
      </form>`;
}

function whoAsked(asker: TopUpAsker): Html {
  if (asker.kind === "token") return html`the API key ${mentioned(asker.name)} (${asker.preview})`;
  return asker.kind === "person" ? mentioned(asker.name) : html`a request that was lost`;
}

/** The sandbox's page that stands in for Stripe's Checkout. */
export function sandboxCheckoutPage(
  session: { id: string; amountCents: number; currency: string; returnPath: string },
  token: Html,
  fault: Fault | undefined,
): Page {
  return {
    title: "The sandbox's payment page",
    body: html`
      ${faultSummary(fault)}
      <p>Stripe would now ask for a card. This page takes test cards only, and no real money moves.</p>
      <p>To pay: ${amount(session.amountCents, session.currency)}</p>
      <form method="post" action="/sandbox/checkout/${session.id}">
        ${token}
        ${field({
          name: "number",
          label: "Number of a test card",
          type: "text",
          autocomplete: "off",
          digits: true,
          maxLength: 23,
          hint: html`<code>4242 4242 4242 4242</code> pays, <code>4000 0000 0000 0002</code> is declined`,
          fault,
        })}
        <button type="submit">Pay</button>
      </form>
      <p><a href="${session.returnPath}">Back without paying</a></p>`,
  };
}
