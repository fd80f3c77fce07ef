import type { HumanApproval } from "../../approvals/human-service.ts";
import type { Signing, TypedFrom } from "../../approvals/second-signer-service.ts";
import { canPay } from "../../approvals/statement-rules.ts";
import type { PaymentRow } from "../../billing/payment-service.ts";
import { type Html, html } from "../../lib/html.ts";
import { sumOf } from "../../lib/statement.ts";
import { type Fault, field, hiddenField, passwordField } from "../kit/forms.ts";
import { amount, amountAlone } from "../kit/wording.ts";
import { actWords, warning } from "./act-words.ts";

/** A decision's form: what it is bound to, and where it goes. */
export type DecisionForm = { nonce: string; digest: string; source: string; token: string };

/** How the person who confirms proves their presence. */
export type PresenceAsked =
  | { by: "session" }
  | { by: "password"; email: string }
  /** If set, that person's password can replace the passkey. */
  | { by: "passkey"; elsePassword: string | undefined }
  /** The account demands a passkey, and they have none. */
  | { by: "passkey-to-add" }
  /** The account requires a passkey, and the person's passkeys are inactive. */
  | { by: "passkey-that-waits" }
  /** The account demands a passkey, and none can be used at this service's address. */
  | { by: "nothing-here" };

export type DecisionForms = {
  confirm: DecisionForm;
  decline: DecisionForm;
  presence: PresenceAsked;
  /** Why the amount is typed; absent where it is not. */
  typedFrom: TypedFrom | undefined;
  /** What was typed last. */
  typedAmount: string | undefined;
};

type View = {
  approval: HumanApproval;
  payment: PaymentRow | undefined;
  signing: Signing | undefined;
  hasSigned: boolean;
  fault: Fault | undefined;
};

/** Whether a confirmation is kept until a second person confirms too. */
function isFirstOfTwo({ signing }: View): boolean {
  return signing?.required === 2 && signing.first === undefined;
}

/** Whether the operator has stopped all confirmations, of this account or of all. */
export function isHalted({ frozen, paymentsPaused }: HumanApproval): boolean {
  return frozen || paymentsPaused;
}

/** The banner of a page that would pay while the account is frozen or payments are paused. */
export function haltBanner(approval: HumanApproval): Html | null {
  if (!isHalted(approval)) return null;
  return approval.frozen
    ? html`<p class="notice wrong"><strong>This account is frozen.</strong> The operator of this service has frozen it: nothing
        can be confirmed until they end that. You can still decline.</p>`
    : html`<p class="notice wrong"><strong>Payments are paused.</strong> The operator of this service has paused all payments:
        nothing can be confirmed until they resume. You can still decline.</p>`;
}

/** The confirm and decline forms. Without a card, or a required passkey, only decline. */
export function decisionForms(view: View, forms: DecisionForms): Html {
  const { approval, payment } = view;
  const { id, card } = approval;
  const words = actWords(approval);
  const undone = warning(approval);
  const declining = html`<form class="declining" method="post" action="/approvals/${id}/decline">
          ${hidden(forms.decline)}
          ${field({ name: "note", label: "Reason", hint: "Optional. The account’s members and agents can read it.", type: "text", autocomplete: "off", maxLength: 500, optional: true, fault: view.fault })}
          <button class="second decline" type="submit">Decline</button>
          <p class="quiet">If you decline, ${words.declined} It can be requested again.</p>
        </form>`;
  if (isHalted(approval) || view.hasSigned) return html`<div class="choices">${declining}</div>`;
  if (!canPay(approval)) {
    return html`<div class="choices">
        <a class="button" href="/billing?approval=${id}">Add a card</a>
        ${declining}
      </div>`;
  }
  return html`<p><strong>What happens next:</strong> ${isFirstOfTwo(view) && "another owner or approver must confirm too. Then "}${words.confirmed}${
    undone !== undefined && html` <strong>${undone}</strong>`
  }</p>
      ${beforehand(forms.presence)}
      <div class="choices decision">
        ${confirming(view, forms)}
        ${
          payment?.status === "refused" && card !== null && payment.cardId === card.id
            ? html`<a class="button second" href="/billing?approval=${id}">Use another card</a>`
            : null
        }
        ${declining}
      </div>
      ${forms.presence.by === "passkey" && html`<p class="quiet said" id="co-sign-said" role="status"></p>`}`;
}

/** What stands in the way of confirming, or may. */
function beforehand(presence: PresenceAsked): Html | undefined {
  switch (presence.by) {
    case "passkey":
      return presence.elsePassword === undefined
        ? html`<noscript><p class="notice wrong"><strong>Confirming here needs JavaScript.</strong> This account confirms
        with passkeys only, and a browser asks for them by a script. You can decline without.</p></noscript>`
        : undefined;
    case "passkey-to-add":
      return html`<p class="notice"><strong>This account confirms with passkeys only.</strong> You have none yet: add one with your
        fingerprint, face or PIN, and you’ll return here.</p>`;
    case "passkey-that-waits":
      return html`<p class="notice"><strong>Your passkey cannot confirm yet.</strong> <a href="/settings/security">Security</a> says
        what it waits for. Another owner or approver can confirm meanwhile: this account confirms with passkeys only.</p>`;
    case "nothing-here":
      return html`<p class="notice wrong"><strong>This cannot be confirmed here.</strong> The account confirms with
        passkeys only, and browsers use none at this address. The operator of this service can change that: passkeys need
        https and a domain name. You can decline.</p>`;
    default:
      return undefined;
  }
}

function confirming(view: View, { confirm, presence, typedFrom, typedAmount }: DecisionForms): Html | null {
  const { approval, fault } = view;
  const { id } = approval;
  const sum = sumOf(approval.terms);
  const verb = isFirstOfTwo(view) ? "Confirm" : actWords(approval).button;
  if (presence.by === "nothing-here" || presence.by === "passkey-that-waits") return null;
  if (presence.by === "passkey-to-add") {
    return html`<a class="button" href="/settings/security/passkeys/new?return_to=/approvals/${id}">Add a passkey</a>`;
  }
  const byPasskey = presence.by === "passkey";
  // Disabled until the passkey script enables it. If a password can replace the passkey, the form works without script.
  const waits = byPasskey && presence.elsePassword === undefined;
  return html`<form method="post" action="/approvals/${id}/confirm" data-busy="${isFirstOfTwo(view) ? "Confirming" : actWords(approval).doing}"${byPasskey && html` data-co-sign="/approvals/${id}/challenge"`}>
          ${hidden(confirm)}
          ${typedFrom !== undefined && amountField(approval, typedFrom, typedAmount, fault)}
          ${presence.by === "password" && presentPassword(presence.email, fault)}
          <button type="submit"${waits && " disabled"}>${verb} ${amount(sum.amountCents, sum.currency)}</button>
          ${byPasskey && html`<p class="quiet">Your device asks for your passkey, which signs these terms.</p>`}
          ${byPasskey && presence.elsePassword !== undefined && elsePassword(presence.elsePassword, fault)}
        </form>`;
}

function amountField(
  { terms }: HumanApproval,
  typedFrom: TypedFrom,
  value: string | undefined,
  fault: Fault | undefined,
): Html {
  const { amountCents, currency } = sumOf(terms);
  return field({
    name: "amount",
    label: html`Type ${amount(amountCents, currency)} to confirm`,
    hint: whyTyped(amountCents, typedFrom),
    type: "text",
    autocomplete: "off",
    digits: "decimal",
    maxLength: 100,
    value: value ?? "",
    fault,
  });
}

/** Why the amount is typed: from which sum on, and how the account reaches it. */
function whyTyped(cents: number, { fromCents, latelyCents }: TypedFrom): Html {
  const rule = html`From ${amountAlone(fromCents)} on, the amount is typed.`;
  if (latelyCents === 0) return rule;
  return html`With this it’s ${amountAlone(latelyCents + cents)} in 24 hours. ${rule}`;
}

/** In place of the passkey, for people who have it on another device. */
function elsePassword(email: string, fault: Fault | undefined): Html {
  return html`<details${fault?.field === "password" && " open"}>
            <summary>Use your password instead</summary>
            ${presentPassword(email, fault, true)}
            <button class="second" type="submit">Confirm with your password</button>
          </details>`;
}

function presentPassword(email: string, fault: Fault | undefined, optional?: true): Html {
  return passwordField(email, {
    name: "password",
    label: "Confirm with your password",
    autocomplete: "current-password",
    ...(optional ? { optional } : { hint: "You won’t be asked again for 5 minutes." }),
    fault,
  });
}

function hidden({ nonce, digest, source, token }: DecisionForm): Html {
  return html`${hiddenField("nonce", nonce)}${hiddenField("digest", digest)}${source !== "" && hiddenField("source", source)}${hiddenField("form_token", token)}`;
}
