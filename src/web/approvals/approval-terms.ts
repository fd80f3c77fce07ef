import type { HumanApproval } from "../../approvals/human-service.ts";
import { Html, html } from "../../lib/html.ts";
import { formatTimeLeft } from "../../lib/time.ts";
import { amount, cardName, named, quote, standsBehind, time } from "../kit/wording.ts";

/**
 * What is confirmed or declined, as it stood when the agent asked.
 * @param paidFrom the card that was signed for last; while the approval waits, the card on file is shown
 */
export function approvalTerms(
  approval: HumanApproval,
  paidFrom: { brand: string; last4: string } | null,
): Html {
  const { terms } = approval;
  return html`<dl class="terms">
        ${row("Amount", html`<strong>${amount(terms.amountCents, terms.currency)}</strong> in full`)}
        ${row("To", html`<strong>${named(terms.payee.displayName)}</strong>${detail("account", terms.payee.payoutAccount)}`)}
        ${wideRow(
          "For",
          html`${approval.milestoneName !== null && html`<strong>${named(approval.milestoneName)}</strong>`}
          ${quote(terms.description)}`,
        )}
        ${row("Contract", named(approval.contractTitle))}
        ${source(approval, paidFrom)}
        ${row("Asked by", html`${named(approval.tokenName)}${behind(approval.asker)}${detail("key", approval.tokenPreview)}${detail("on", time(approval.createdAt))}`)}
        ${approval.state === "waiting" && row("Decide by", html`${time(approval.expiresAt)}, in about ${timeLeft(approval)}`)}
      </dl>`;
}

function source(
  { state, card }: HumanApproval,
  paidFrom: { brand: string; last4: string } | null,
): Html | null {
  if (state === "waiting") return row("Paid from", card === null ? "No card on file" : cardName(card));
  if (paidFrom === null || state === "expired") return null;
  return row("Paid from", cardName(paidFrom));
}

/** What people need who look it up elsewhere, out of the way of those who decide; so that all is shown that is signed. */
export function approvalReferences({ id, organizationId, terms, result }: HumanApproval): Html {
  const ids = [
    detail("approval", id),
    detail("account", organizationId),
    detail("payee", terms.payee.userId),
    detail("milestone", terms.milestoneId),
    detail("contract", terms.contractId),
    detail("job", terms.jobId),
    detail("invoice", result?.invoiceId),
    detail("payment", result?.paymentIntentId),
  ];
  return html`<details class="references">
        <summary>References</summary>
        <p>${ids}</p>
      </details>`;
}

function timeLeft({ now, expiresAt }: HumanApproval): string {
  return formatTimeLeft(expiresAt.getTime() - now.getTime());
}

function row(name: string, value: Html | string): Html {
  return html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
}

function wideRow(name: string, value: Html): Html {
  return html`<div class="wide"><dt>${name}</dt><dd>${value}</dd></div>`;
}

function behind(asker: HumanApproval["asker"]): Html | null {
  return asker && html`<span class="quiet">${standsBehind(asker)}</span>`;
}

/** Something that goes with it, on a line of its own: an id, or a time. */
function detail(name: string, value: unknown): Html | null {
  if (value instanceof Html) return html`<span class="quiet">${name} ${value}</span>`;
  return typeof value === "string"
    ? html`<span class="quiet">${name} <code>${named(value)}</code></span>`
    : null;
}
