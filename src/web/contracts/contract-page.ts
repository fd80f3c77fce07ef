import type {
  ContractMoney,
  MilestoneMoney,
  PendingApproval,
} from "../../approvals/contract-money-service.ts";
import { cardName } from "../../lib/card-name.ts";
import { type Html, html } from "../../lib/html.ts";
import { hiddenField } from "../kit/forms.ts";
import type { Page } from "../kit/layout.ts";
import { amount, mentioned, named, payeeHistoryWords, time } from "../kit/wording.ts";
import { CONTRACTS } from "./contracts-page.ts";
import { historyOf } from "./history-page.ts";

/** The tokens of the forms on a contract's page. */
export type ContractForms = {
  fund(milestoneId: string): string;
  release(milestoneId: string): string;
  end: string;
};

export type ContractView = {
  contract: ContractMoney;
  /** Absent for a viewer, who decides nothing. */
  forms: ContractForms | undefined;
  /** Why the last request was rejected, and what to do next. */
  problem?: Html | undefined;
  /** Whether the person has just ended it. */
  ended?: boolean;
};

/** `/contracts/{id}`: its milestones, where their money is, and its history (docs/contract.md §8). */
export function contractPage({ contract, forms, problem, ended }: ContractView): Page {
  const { title, status, milestones, approvals } = contract;
  // What the person could ask for now; whether it can be done is checked when they do.
  const open = status === "active" && !contract.frozen && !contract.paymentsPaused ? forms : undefined;
  return {
    title,
    heading: html`${mentioned(title)}`,
    body: html`
      ${problem && html`<p class="notice wrong" role="alert">${problem}</p>`}
      ${ended && html`<p class="notice done" role="status">The contract has ended.</p>`}
      ${halted(contract)}
      ${terms(contract)}
      <h2>Milestones</h2>
      ${
        milestones.length === 0
          ? html`<p class="quiet">No milestones yet.</p>`
          : html`<ul class="rows">${milestones.map((milestone) => milestoneItem(milestone, contract, open))}</ul>`
      }
      ${ending(contract, open)}
      <h2>History</h2>
      ${approvals.length === 0 ? html`<p class="quiet">Nothing has been requested yet.</p>` : historyOf(approvals)}
      <p><a href="${CONTRACTS}">All contracts</a></p>`,
  };
}

/** `/contracts/{id}/end`: what ending it does, before the person asks for it. */
export function endPage(contract: ContractMoney, token: string): Page {
  const held = contract.milestones.filter(({ status }) => status === "ACTIVE_FUNDED");
  const sum = held.reduce((total, { amountCents }) => total + amountCents, 0);
  return {
    title: `End ${contract.title}?`,
    heading: html`End ${mentioned(contract.title)}?`,
    body: html`
      ${
        held.length === 0
          ? html`<p>No money is held in escrow under this contract, so it ends at once. Its pending approvals are closed.</p>`
          : html`<p>${amount(sum, held[0]?.currency ?? "usd")} is held in escrow under this contract. You confirm the refunds on
        the next page; nothing moves before that.</p>`
      }
      <p>A contract that has ended cannot be opened again.</p>
      <form method="post" action="${CONTRACTS}/${contract.id}/end">
        ${hiddenField("account_id", contract.accountId)}
        ${hiddenField("form_token", token)}
        <button type="submit">${held.length === 0 ? "End contract" : "Continue to the refunds"}</button>
      </form>
      <p><a href="${CONTRACTS}/${contract.id}?account=${contract.accountId}">Keep the contract</a></p>`,
  };
}

function halted({ frozen, paymentsPaused }: ContractMoney): Html | null {
  if (frozen)
    return html`<p class="notice wrong"><strong>This account is frozen.</strong> Nothing can be funded, released or ended until the
        operator of this service unfreezes it.</p>`;
  return paymentsPaused
    ? html`<p class="notice wrong"><strong>All payments are paused</strong> by the operator of this service. Try again later.</p>`
    : null;
}

function terms({
  payee,
  status,
  endedAt,
  createdAt,
  accountName,
  jobId,
  history,
  card,
}: ContractMoney): Html {
  const row = (term: string, value: Html) => html`
        <div><dt>${term}</dt><dd>${value}</dd></div>`;
  return html`<dl class="terms">
        ${row("Payee", html`${named(payee.name)}${payee.country && html` <span class="quiet">${mentioned(payee.country)}</span>`}`)}
        ${row("Payments to them", payeeHistoryWords(history))}
        ${row("Payout account", payee.payoutAccount === null ? html`None yet` : html`<code>${payee.payoutAccount}</code>`)}
        ${row("Status", status === "active" ? html`Active since ${time(createdAt)}` : html`Ended${endedAt && html` ${time(endedAt)}`}`)}
        ${row("Fundings are paid by", card === null ? html`No card on file. <a href="/billing">Add a card</a>` : html`${cardName(card)}`)}
        ${row("Account", named(accountName))}
        ${row("Job", html`<code>${jobId}</code>`)}
      </dl>`;
}

function milestoneItem(
  milestone: MilestoneMoney,
  contract: ContractMoney,
  forms: ContractForms | undefined,
): Html {
  const { number, name, description, amountCents, currency, dueAt, pending, disputeStatus } = milestone;
  return html`
        <li>
          <strong>Milestone ${number}${name !== null && html`: ${mentioned(name)}`}</strong>
          <span>${amount(amountCents, currency)} · ${moneyOf(milestone, contract)}</span>
          <span class="quiet">${mentioned(description, DESCRIPTION_SHOWN)}${dueAt && html` Due ${time(dueAt)}.`}</span>
          ${
            disputeStatus !== null &&
            milestone.status === "ACTIVE_FUNDED" &&
            html`<span><b>Its payment is disputed or partly refunded</b> (${disputeStatus}). It can't be released until that is decided.</span>`
          }
          ${pending === null ? actOn(milestone, contract, forms) : pendingLink(pending)}
        </li>`;
}

const DESCRIPTION_SHOWN = 200;

/** Where a milestone's money is. */
function moneyOf(milestone: MilestoneMoney, { payee }: ContractMoney): Html {
  const { status, card, fundedAt, paidOutAt, refund } = milestone;
  const source = card === null ? "credits" : cardName(card);
  const on = (at: Date | null) => at && html` on ${time(at)}`;
  switch (status) {
    case "NOT_FUNDED":
      return html`<b>Not funded</b>`;
    case "ACTIVE_FUNDED":
      return html`<b>Held in escrow</b> for ${mentioned(payee.name)}, funded from ${source}${on(fundedAt)}`;
    case "PAID":
      return html`<b>Paid out</b> to ${mentioned(payee.name)}${on(paidOutAt)}, funded from ${source}`;
    case "REFUNDED": {
      if (refund === null) return html`<b>Refunded</b> to ${source}`;
      const to = refund.to === "credits" ? "the account’s credits" : source;
      return html`<b>Refunded</b> ${amount(refund.amountCents, milestone.currency)} to ${to}`;
    }
    case "CANCELLED":
      return html`<b>Cancelled</b>`;
  }
}

const PENDING: Record<PendingApproval["type"], readonly [pending: string, moving: string]> = {
  milestone_fund: ["Funding is pending", "Funding in progress"],
  milestone_approve: ["Release is pending", "Release in progress"],
  contract_end: ["The contract’s end is pending", "The contract is ending"],
};

function pendingLink({ id, type, executing }: PendingApproval): Html {
  const [pending, moving] = PENDING[type];
  return html`<span><a href="/approvals/${id}">${executing ? moving : `${pending}: view the approval`}</a></span>`;
}

function actOn(
  milestone: MilestoneMoney,
  contract: ContractMoney,
  forms: ContractForms | undefined,
): Html | null {
  if (forms === undefined) return null;
  const { id, status, amountCents, currency } = milestone;
  const sum = amount(amountCents, currency);
  const form = (
    act: string,
    token: string,
    words: Html,
  ) => html`<form method="post" action="${CONTRACTS}/${contract.id}/milestones/${id}/${act}">
            ${hiddenField("account_id", contract.accountId)}
            ${hiddenField("form_token", token)}
            <button class="second" type="submit">${words}</button>
          </form>`;
  const payee = mentioned(contract.payee.name);
  if (status === "NOT_FUNDED") return form("fund", forms.fund(id), html`Fund ${sum} for ${payee}`);
  if (status === "ACTIVE_FUNDED")
    return html`${form("release", forms.release(id), html`Release ${sum} to ${payee}`)}
          <span class="quiet">You confirm on the next page. Released money cannot be taken back.</span>`;
  return null;
}

function ending(
  { id, accountId, ending: pending }: ContractMoney,
  forms: ContractForms | undefined,
): Html | null {
  if (pending !== null) return html`<p>${pendingLink(pending)}</p>`;
  return forms === undefined
    ? null
    : html`<p><a class="button second" href="${CONTRACTS}/${id}/end?account=${accountId}">End contract</a></p>`;
}
