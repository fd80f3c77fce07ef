import { type Html, html } from "../../lib/html.ts";
import type { ProblemName } from "../../lib/problems.ts";

/** Why a request on a contract's page was rejected, and what the person can do next. */
const WORDS: Partial<Record<ProblemName, Html>> = {
  contract_ended: html`<strong>This contract has ended.</strong> Nothing more can be funded or released under it.`,
  milestone_cancelled: html`<strong>This milestone was cancelled.</strong> Nothing was requested.`,
  milestone_not_fundable: html`<strong>This milestone is funded already, or its money has moved on.</strong> Nothing was requested.`,
  milestone_not_funded: html`<strong>No money is held in escrow for this milestone.</strong> Fund it before you release it.`,
  payment_method_required: html`<strong>No card is on file.</strong> <a href="/billing">Add a card</a>, then fund the milestone.`,
  payout_account_required: html`<strong>The payee has no payout account yet.</strong> Ask the operator of this service to add one, then
        release the money.`,
  payment_disputed: html`<strong>The payment that funded this is disputed or partly refunded.</strong> The money stays in escrow until
        that is decided. <a href="/billing">Go to billing</a>`,
  payment_in_progress: html`<strong>Money is moving for this contract right now.</strong> Try again when its result is known.`,
  too_many_pending: html`<strong>Too many approvals are pending.</strong> <a href="/approvals">Decide some of them</a>, then try again.`,
  account_frozen: html`<strong>This account is frozen.</strong> Nothing was requested. Ask the operator of this service.`,
  payments_paused: html`<strong>All payments are paused</strong> by the operator of this service. Nothing was requested. Try again later.`,
};

/** `undefined`: the problem is not about the contract, and has a page of its own. */
export function contractProblem(problem: ProblemName): Html | undefined {
  return WORDS[problem];
}
