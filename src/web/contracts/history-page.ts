import type { PastApproval } from "../../approvals/contract-money-service.ts";
import { type Html, html } from "../../lib/html.ts";
import { amount, closedWord, mentioned, standsBehind, time } from "../kit/wording.ts";

/** What was requested, before its amount. */
export const ACTS: Record<PastApproval["type"], string> = {
  milestone_fund: "Fund",
  milestone_approve: "Release",
  contract_end: "End the contract and refund",
};

/** What was requested under a contract, by whom, and what became of it, newest first. */
export function historyOf(approvals: readonly PastApproval[]): Html {
  return html`<ul class="rows">${approvals.map(
    (approval) => html`
        <li>
          <a href="/approvals/${approval.id}">${ACTS[approval.type]} ${amount(approval.amountCents, approval.currency)}</a>
          ${approval.milestone && html`<span>Milestone ${approval.milestone.number}${approval.milestone.name !== null && html`: ${mentioned(approval.milestone.name)}`}</span>`}
          <span class="quiet">Requested by ${mentioned(approval.tokenName)}${approval.asker && html` (${standsBehind(approval.asker)})`}, ${time(approval.createdAt)}</span>
          <span class="quiet">${outcome(approval)}</span>
        </li>`,
  )}</ul>`;
}

function outcome(approval: PastApproval): Html {
  const { status, executing, expired, signers, resolvedAt } = approval;
  const by =
    signers.length > 0 && html` by ${signers.map((name, i) => html`${i > 0 && " and "}${mentioned(name)}`)}`;
  const at = resolvedAt && html`, ${time(resolvedAt)}`;
  if (status === "confirmed") return html`<b>Confirmed</b>${by}${at}`;
  if (status === "declined") return html`<b>Declined</b>${by}${at}`;
  if (status === "expired" || expired) return html`<b>${closedWord(approval)}</b>${at}`;
  return executing ? html`<b>In progress</b>${by && html`, confirmed${by}`}` : html`<b>Pending</b>`;
}
