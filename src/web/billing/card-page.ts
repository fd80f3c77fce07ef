import type { CardSetup } from "../../billing/processor.ts";
import { type Html, html } from "../../lib/html.ts";
import { hiddenField } from "../kit/forms.ts";
import type { Page } from "../kit/layout.ts";
import { cardName, mentioned } from "../kit/wording.ts";

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
        <button type="submit">Pay with this card from now on</button>
      </form>`;
}
