import type { HumanApproval, readPageContext } from "../../approvals/human-service.ts";
import { payingSource } from "../../approvals/source-rules.ts";
import { Html, html } from "../../lib/html.ts";
import { type Source, sumOf } from "../../lib/statement.ts";
import {
  amount,
  amountAlone,
  named,
  payeeHistoryWords,
  quote,
  sourceName,
  standsBehind,
  time,
} from "../kit/wording.ts";

type Context = Awaited<ReturnType<typeof readPageContext>>;

/**
 * What is confirmed or declined, as it stood when the agent asked.
 * @param paidFrom what was signed for last; while the approval waits, what would pay is shown
 */
export function approvalTerms(approval: HumanApproval, context: Context, paidFrom: Source | null): Html {
  const { amountCents, currency } = sumOf(approval.terms);
  return html`<dl class="terms">
        ${row("Amount", html`<strong>${amount(amountCents, currency)}</strong>`)}
        ${approval.type === "contract_end" ? refundRows(approval) : payeeRows(approval, context)}
        ${row("Contract", contract(approval, context))}
        ${source(approval, paidFrom)}
        ${approval.state !== "waiting" && row("Requested by", html`${named(approval.tokenName)}${behind(approval.asker)}`)}
      </dl>`;
}

type Of<T extends HumanApproval["type"]> = Extract<HumanApproval, { type: T }>;

/** Its name, which leads to its page, and how much of it is funded, in the currency of the amount above it. */
function contract({ contractTitle, contractId, accountId }: HumanApproval, context: Context): Html {
  const funded = context.heldCents + context.paidOutCents;
  return html`<a href="/contracts/${contractId}?account=${accountId}">${named(contractTitle)}</a>
          <span class="quiet">${amountAlone(funded)} of ${amountAlone(context.totalCents)} funded</span>`;
}

function payeeRows(
  { terms, milestoneName, state }: Of<"milestone_fund" | "milestone_approve">,
  { country, history }: Context,
): Html {
  // Shows earlier payments to the payee only while the approval is open: later the sum would include this payment.
  const before = history !== null && (state === "waiting" || state === "executing");
  // A release says below what it is paid from.
  const said = before && payeeHistoryWords("payout" in terms ? { ...history, held: 0 } : history);
  return html`${row("To", html`<strong>${named(terms.payee.displayName)}</strong>${country !== null && html`, ${countryName(country)}`}${said && html`<span class="quiet">${said}</span>`}`)}
        ${wideRow(
          html`For, <span class="quiet">${WRITTEN_BY}</span>`,
          html`${milestoneName !== null && html`<strong>${named(milestoneName)}</strong>`}
          ${quote(terms.description, { saysWhose: false })}`,
        )}`;
}

const COUNTRIES = new Intl.DisplayNames("en", { type: "region", fallback: "none" });

/** A country's name by its code; what is no code stays as it is. */
function countryName(country: string): Html {
  return named((/^[A-Z]{2}$/.test(country) ? COUNTRIES.of(country) : undefined) ?? country);
}

const WRITTEN_BY = "as written by the operator or an agent";

/** Each refund that is signed, equal ones together; the references name the milestone of each. */
function refundRows({ terms, accountName }: Of<"contract_end">): Html {
  const equal = Map.groupBy(terms.refunds, ({ amountCents, to }) => `${amountCents} ${to}`);
  const refunds = [...equal.values()].map((group) => {
    const [{ amountCents, currency, to }] = group as [(typeof terms.refunds)[number]];
    const times = group.length > 1 && `${group.length} × `;
    return html`<li>${times}${amount(amountCents, currency)} ${to === "card" ? "to the card that paid it" : "to the account’s credits"}</li>`;
  });
  return html`${row("To", html`<strong>${named(accountName)}</strong>`)}
        ${wideRow(html`Refunds`, html`<ul>${refunds}</ul><span class="quiet">A refund that a bank rejects becomes credits.</span>`)}`;
}

function source(approval: HumanApproval, paidFrom: Source | null): Html | null {
  const { type, state, availableCents, terms } = approval;
  if (type !== "milestone_fund") return row("Paid from", "The money held in escrow");
  if (state === "waiting") {
    const paying = payingSource(approval);
    const available =
      paying?.kind === "credits" && html`, ${amount(availableCents, sumOf(terms).currency)} available`;
    return row("Paid from", paying === null ? "No card on file" : html`${sourceName(paying)}${available}`);
  }
  if (paidFrom === null || state === "expired") return null;
  return row("Paid from", sourceName(paidFrom));
}

/** Ids for looking the approval up elsewhere. Collapsed, but on the page, because every signed term must be shown. */
export function approvalReferences(approval: HumanApproval): Html {
  const { id, organizationId, terms, result, tokenPreview, createdAt } = approval;
  const ids = [
    detail("requested on", time(createdAt)),
    detail("key", tokenPreview),
    detail("approval", id),
    detail("account", organizationId),
    "refunds" in terms ? null : detail("payee", terms.payee.userId),
    "refunds" in terms ? null : detail("payout account", payoutAccount(terms)),
    "refunds" in terms ? null : detail("milestone", terms.milestoneId),
    "refunds" in terms
      ? terms.refunds.map(({ milestoneId }) => detail("refund of milestone", milestoneId))
      : null,
    detail("contract", terms.contractId),
    detail("job", terms.jobId),
    detail("invoice", result?.invoiceId),
    detail("payment", result?.paymentIntentId),
    detail("payout", result?.payoutTransactionId),
  ];
  return html`<details class="references">
        <summary>References</summary>
        <p>${ids}</p>
      </details>`;
}

function payoutAccount(terms: Of<"milestone_fund" | "milestone_approve">["terms"]): string | null {
  return "payout" in terms ? terms.payout.account : terms.payee.payoutAccount;
}

function row(name: string, value: Html | string): Html {
  return html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
}

function wideRow(name: Html, value: Html): Html {
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
