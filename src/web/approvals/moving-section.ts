import type { HumanApproval } from "../../approvals/human-service.ts";
import { type Html, html } from "../../lib/html.ts";
import { sumOf } from "../../lib/statement.ts";
import { hiddenField } from "../kit/forms.ts";
import { amount } from "../kit/wording.ts";
import { actWords } from "./act-words.ts";
import type { ApprovalView } from "./approval-page.ts";

/** Whether they come from their bank, and we do not know yet what it said. */
export function isBack({ payment, returned }: ApprovalView): boolean {
  return returned && payment?.status === "action_required";
}

/** The section for a payment in progress, at the bank, or held back by a pause. */
export function moving(view: ApprovalView): Html {
  const { payment, cancelToken, approval } = view;
  if (isBack(view)) {
    return html`<p class="notice" role="status"><strong>You’re back from your bank.</strong> We are checking its
        answer.</p>
      ${lookForm(view, "See the result", { sendsItself: true })}`;
  }
  if (payment?.status === "created" && approval.paymentsPaused) {
    return html`<p class="notice" role="status"${stateOf(view)}><strong>Payments are paused.</strong> This one is confirmed and waits until
        the operator of this service resumes them. No money moves before.</p>
      <div class="choices">
        ${lookForm(view, "Look again")}
        ${mayGiveUp(payment, approval) && giveUpForm(view)}
      </div>`;
  }
  if (payment?.status !== "action_required" || payment.actionUrl === null) {
    return html`<p class="notice" role="status"${stateOf(view)}><strong>The payment is under way.</strong> The result will appear
        here, usually within a minute. You may close this page. ${approval.type === "milestone_fund" ? "The card is not charged twice." : "The money does not move twice."}</p>
      <div class="choices">
        <button class="busy" type="button" disabled>${actWords(approval).doing} ${sumText(approval)}…</button>
        ${lookForm(view, "Look again")}
      </div>`;
  }
  if (cancelToken === undefined) {
    return html`<p class="notice" role="status"${stateOf(view)}><strong>The bank requires verification.</strong> The person who confirmed must
        answer it. Until then no money moves.</p>`;
  }
  return html`<p class="notice" role="status"${stateOf(view)}><strong>Your bank needs to verify it’s you.</strong> You’ll return here
        afterwards. Until then no money moves.</p>
      <div class="choices">
        <a class="button" href="${payment.actionUrl}" rel="noreferrer">Continue to my bank</a>
        ${giveUpForm(view)}
      </div>`;
}

/** What the page's script compares with the page as it is a little later. */
function stateOf({ approval, payment }: ApprovalView): Html {
  return html` data-state="${approval.state} ${payment?.status}"`;
}

function sumText({ terms }: HumanApproval): Html {
  const { amountCents, currency } = sumOf(terms);
  return amount(amountCents, currency);
}

/** Whether a person may give a payment up: it waits for their bank, or until payments are resumed. */
export function mayGiveUp(
  payment: ApprovalView["payment"],
  { type, paymentsPaused }: Pick<HumanApproval, "type" | "paymentsPaused">,
): boolean {
  // A contract's end cannot be cancelled: some refunds may already have been sent.
  if (type === "contract_end") return false;
  return payment?.status === "action_required" || (payment?.status === "created" && paymentsPaused);
}

function giveUpForm({ approval, cancelToken }: ApprovalView): Html | undefined {
  if (cancelToken === undefined) return undefined;
  return html`<form method="post" action="/approvals/${approval.id}/cancel-payment">
          ${hiddenField("form_token", cancelToken)}
          <button class="second" type="submit">${approval.type === "milestone_fund" ? "Cancel this payment" : "Cancel this payout"}</button>
        </form>`;
}

function lookForm(
  { approval, lookToken }: ApprovalView,
  label: string,
  { sendsItself = false }: { sendsItself?: boolean } = {},
): Html {
  return html`<form method="post" action="/approvals/${approval.id}/look"${sendsItself && html` data-send`}>
        ${hiddenField("form_token", lookToken)}
        <button${!sendsItself && html` class="second"`} type="submit">${label}</button>
      </form>`;
}
