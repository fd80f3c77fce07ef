import type { CardSetup } from "../../billing/processor.ts";
import type { PaymentMethod } from "../../billing/schemas.ts";
import { cardName } from "../../lib/card-name.ts";
import { type Html, html } from "../../lib/html.ts";
import { type Fault, faultSummary, hiddenField } from "../kit/forms.ts";
import type { Page } from "../kit/layout.ts";
import { type Prover, presenceField, presenceScript } from "../kit/presence.ts";
import { mentioned } from "../kit/wording.ts";

export type CardView = {
  accountName: string;
  setup: CardSetup;
  publishableKey: string;
  /** Where Stripe sends the browser back to: this page. */
  returnUrl: string;
  /** Where its form goes once the card is given, and what lets it. */
  path: string;
  formToken: string;
  approval: string | undefined;
  /** The person comes back from their bank, which did not let the card through. */
  refused: boolean;
};

/** `/billing/cards/{setupId}`: Stripe's form for a card; when it is filled in, the card to be put on file. */
export function cardPage(view: CardView): Page {
  const { setup, accountName, approval } = view;
  const back = approval === undefined ? "/billing" : `/approvals/${approval}`;
  const shown = setup.card === undefined ? cardForm(view) : keepForm(view, setup.card);
  return {
    title: "Add a card",
    ...(setup.card === undefined ? { script: "card.js", stripe: true } : { script: "send.js" }),
    body: html`
      <p>The card pays for what members of <strong>${mentioned(accountName)}</strong> confirm, and for nothing else.</p>
      ${shown}
      <p><a href="${back}">Back without a new card</a></p>`,
  };
}

function cardForm({ setup, publishableKey, returnUrl, refused }: CardView): Html {
  const fault = refused ? "The bank could not confirm that it was you. Try again, or use another card." : "";
  return html`<noscript><p class="notice wrong"><strong>This page needs JavaScript.</strong> The card’s number goes from your
        browser to Stripe, and never to us; Stripe’s form for it does not work without. All other pages do.</p></noscript>
      <form id="card" data-publishable-key="${publishableKey}" data-client-secret="${setup.clientSecret}"
        data-return-url="${returnUrl}">
        <p class="fault" id="card-said" role="alert"${fault === "" && html` hidden`}>${fault}</p>
        <div id="card-fields"></div>
        <button type="submit" disabled>Add card and make it the default</button>
      </form>
      <p class="quiet">Stripe takes the card’s details, and keeps them for us.</p>`;
}

function keepForm({ path, formToken, approval }: CardView, card: NonNullable<CardSetup["card"]>): Html {
  return html`<p class="notice">Stripe has taken the <strong>${cardName(card)}</strong>.</p>
      <form method="post" action="${path}" data-send>
        ${hiddenField("form_token", formToken)}
        ${approval === undefined ? null : hiddenField("approval", approval)}
        <button type="submit">Add card and make it the default</button>
      </form>`;
}

export type CardRemoval = {
  accountId: string;
  accountName: string;
  card: PaymentMethod;
  /** The card that becomes the default; absent: none is left. */
  next: PaymentMethod | undefined;
  /** Pending requests that the card on file would pay for. */
  pending: number;
  formToken: string;
  fault?: Fault | undefined;
};

export const REMOVAL = "/billing/remove-card";
export const REMOVAL_PASSWORD = "password";

/** `/billing/remove-card`: asks before a card is removed, and says what becomes of what it would pay. */
export function cardRemovalPage(human: Prover, view: CardRemoval): Page {
  const { accountId, accountName, card, formToken, fault } = view;
  return {
    title: `Remove the ${cardName(card)}?`,
    ...presenceScript(human),
    body: html`
      ${faultSummary(fault)}
      <p>It’s removed from <strong>${mentioned(accountName)}</strong>, and from the payment processor. ${consequence(view)}</p>
      <p>A payment that’s already under way isn’t affected. Money that was charged before can still be refunded to the card.</p>
      <form method="post" action="${REMOVAL}">
        ${hiddenField("accountId", accountId)}
        ${hiddenField("cardId", card.id)}
        ${hiddenField("form_token", formToken)}
        ${presenceField(human, REMOVAL_PASSWORD, fault)}
        <div class="choices">
          <button type="submit">Remove card</button>
          <a class="button second" href="/billing">Keep card</a>
        </div>
        <p class="quiet">The owners will be notified by email.</p>
      </form>`,
  };
}

function consequence({ card, next, pending }: CardRemoval): Html {
  const requests = pending === 1 ? "1 pending request" : `${pending} pending requests`;
  if (next === undefined)
    return html`No other card is on file. Until one is added, agents can’t request payments${
      pending > 0 && html`, and <b>${requests} can’t be confirmed</b>`
    }.`;
  if (!card.isDefault) return html`The ${cardName(next)} goes on paying for what you confirm.`;
  return html`The <b>${cardName(next)}</b> becomes the default and pays for what you confirm${
    pending > 0 && html`, ${requests} included. Their pages name it before anyone confirms`
  }.`;
}
