import { canPay } from "../../approvals/decision-service.ts";
import type { HumanApproval } from "../../approvals/human-service.ts";
import type { Signing } from "../../approvals/second-signer-service.ts";
import type { PaymentRow, ReversalRow } from "../../billing/payment-service.ts";
import { type Html, html } from "../../lib/html.ts";
import { formatAmount } from "../../lib/money.ts";
import { type Source, sumOf } from "../../lib/statement.ts";
import { formatTimeLeft } from "../../lib/time.ts";
import { type Fault, hiddenField } from "../kit/forms.ts";
import type { Page } from "../kit/layout.ts";
import { reversalNotices } from "../kit/reversals.ts";
import {
  amount,
  cardName,
  closedWord,
  deadline,
  fullStopAfter,
  mentioned,
  standsBehind,
  time,
} from "../kit/wording.ts";
import { actWords, recipient } from "./act-words.ts";
import { type DecisionForms, decisionForms, haltNotice, isHalted } from "./decision-forms.ts";
import { approvalReferences, approvalTerms } from "./terms-section.ts";

export type ApprovalView = {
  approval: HumanApproval;
  payment: PaymentRow | undefined;
  /** What has gone back of it. */
  reversals: readonly ReversalRow[];
  /** The person has just come back from their bank. */
  returned: boolean;
  /** For the form that asks for the outcome now. */
  lookToken: string;
  /** The people who decided, by their names in the account, and what they signed for to pay. */
  signed: { signers: readonly string[]; source: Source | null } | undefined;
  /** How many people must sign, and who has; absent where nothing can be decided any more. */
  signing: Signing | undefined;
  /** Whether the first signature is this person's own. */
  hasSigned: boolean;
  /** Absent for a viewer, and where nothing can be decided any more. */
  forms: DecisionForms | undefined;
  /** Absent for a viewer. */
  cancelToken: string | undefined;
  /** What went wrong with the last try, for people. */
  problem: string | undefined;
  /** What is wrong with a field of the form. */
  fault: Fault | undefined;
};

/** The page at `approvalUrl` (docs/contract.md §7): who asks, for what, how much, from which card, to whom. */
export function approvalPage(view: ApprovalView): Page {
  const { approval, problem, signed } = view;
  return {
    ...headOf(view),
    ...(isBack(view) ? { script: "send.js" } : {}),
    ...(asksPasskey(view) ? { script: "co-sign.js", fetches: true } : {}),
    body: html`
      ${problem === undefined ? null : html`<p class="notice wrong" role="alert">${problem}</p>`}
      ${statusOf(view)}
      ${reversalNotices(view.reversals)}
      ${approvalTerms(approval, signed?.source ?? null)}
      ${approval.state === "confirmed" || approval.state === "declined" ? html`<p><a href="/approvals/${approval.id}/receipt">View receipt</a></p>` : null}
      ${view.forms === undefined ? html`<p><a href="/approvals">All approvals</a></p>` : decisionForms(view, view.forms)}
      ${approvalReferences(approval)}`,
  };
}

function asksPasskey({ forms, approval, hasSigned }: ApprovalView): boolean {
  return forms?.presence.by === "passkey" && canPay(approval) && !isHalted(approval) && !hasSigned;
}

function headOf({ approval, payment }: ApprovalView): { title: string; heading: Html } {
  const { amountCents, currency } = sumOf(approval.terms);
  const { ask, askAgain, doing, done } = actWords(approval);
  const said = formatAmount(amountCents, currency);
  const sum = amount(amountCents, currency);
  switch (approval.state) {
    case "waiting": {
      const refused = payment?.status === "refused";
      return {
        title: `${refused ? askAgain : ask} ${said} ${recipient(approval).title}?`,
        heading: html`${ask} ${sum} ${recipient(approval).shown}?`,
      };
    }
    case "executing":
      return payment?.status === "action_required"
        ? { title: `Your bank asks about ${said}`, heading: html`Your bank asks about ${sum}` }
        : { title: `${doing} ${said}`, heading: html`${doing} ${sum}` };
    case "confirmed":
      return { title: `${said} ${done}`, heading: html`${sum} ${done}` };
    case "declined":
      return { title: `Declined: ${said}`, heading: html`Declined: ${sum}` };
    default: {
      const over = closedWord(approval);
      return { title: `${over}: ${said}`, heading: html`${over}: ${sum}` };
    }
  }
}

function statusOf(view: ApprovalView): Html {
  const { approval, signed } = view;
  const by =
    signed && html` by ${signed.signers.map((name, i) => html`${i > 0 && " and "}${mentioned(name)}`)}`;
  const at = approval.resolvedAt && html` on ${time(approval.resolvedAt)}`;
  switch (approval.state) {
    case "waiting":
      return waiting(view);
    case "executing":
      return executing(view);
    case "confirmed":
      return html`<p class="notice done">${actWords(approval).outcome} Confirmed${by}${at}. There is nothing
        more for you to do.</p>`;
    case "declined":
      return html`<p class="notice"><strong>No money has moved.</strong> Declined${by}${at}.${
        typeof approval.result?.note === "string" &&
        html` They wrote: “${mentioned(approval.result.note, 500)}”.`
      } It can be requested again.</p>`;
    default:
      return html`<p class="notice"><strong>No money has moved.</strong> ${endedBecause(approval)} If it is still
        wanted, it can be requested again.</p>`;
  }
}

function waiting({ approval, payment, forms, signing, hasSigned }: ApprovalView): Html {
  return html`${requested(approval)}
      ${haltNotice(approval)}
      ${signing?.first && firstSigned(signing.first, hasSigned)}
      ${payment?.status === "refused" ? refused(approval, payment) : null}
      ${
        forms !== undefined && !canPay(approval)
          ? html`<p class="notice wrong"><strong>No card is on file.</strong> Add one before you confirm.</p>`
          : null
      }
      ${
        approval.disputeStatus !== null &&
        html`<p class="notice wrong"><strong>The payment that funded this is disputed or partly refunded</strong>
        (${approval.disputeStatus}). It cannot be confirmed until that is decided.</p>`
      }
      ${
        forms === undefined
          ? html`<p class="notice">You can view this but not decide it. An owner or approver of
        ${mentioned(approval.accountName)} decides.</p>`
          : null
      }`;
}

/** Until when it can be decided, and who asks: an agent of the account, or a member in person for it. */
function requested({ accountName, tokenName, asker, now, expiresAt }: HumanApproval): Html {
  const by = asker?.kind === "member" ? "for" : "an agent of";
  return html`<p><span class="line"><strong>Decide by ${deadline(expiresAt)}</strong> (${formatTimeLeft(expiresAt.getTime() - now.getTime())} left)</span>
        Requested by <strong>${mentioned(tokenName)}</strong>${
          asker && html` <span class="quiet">(${standsBehind(asker)})</span>`
        }, ${by} ${mentioned(accountName)}${fullStopAfter(accountName)}</p>`;
}

function firstSigned({ name, signedAt }: NonNullable<Signing["first"]>, hasSigned: boolean): Html {
  return html`<p class="notice" role="status"><strong>1 of 2 confirmations, by “${mentioned(name)}”.</strong> Waiting for
        another approver. Confirmed on ${time(signedAt)}; nothing has been charged.${
          hasSigned && " You have confirmed this. Another owner or approver must confirm it too."
        }</p>`;
}

function refused({ card, type }: HumanApproval, { cardId, refusalMessage }: PaymentRow): Html {
  const next =
    card === null
      ? null
      : card.id === cardId
        ? "Use another card, or confirm again to try the same one."
        : `Another card is on file now: confirm again to pay with the ${cardName(card)}.`;
  return html`<p class="notice wrong" role="alert"><strong>The last payment was refused.</strong>
        ${refusalMessage ?? "The card was refused."} No money has moved. ${type === "milestone_fund" && next}</p>`;
}

/** Whether they come from their bank, and we do not know yet what it said. */
function isBack({ payment, returned }: ApprovalView): boolean {
  return returned && payment?.status === "action_required";
}

function executing(view: ApprovalView): Html {
  const { payment, cancelToken, approval } = view;
  if (isBack(view)) {
    return html`<p class="notice" role="status"><strong>You are back from your bank.</strong> We are checking its
        answer.</p>
      ${lookForm(view, "See the result", { sendsItself: true })}`;
  }
  if (payment?.status === "created" && approval.paymentsPaused) {
    return html`<p class="notice" role="status"><strong>Payments are paused.</strong> This one is confirmed and waits until
        the operator of this service resumes them. No money moves before.</p>
      <div class="choices">
        ${lookForm(view, "Look again")}
        ${mayGiveUp(payment, approval) && giveUpForm(view)}
      </div>`;
  }
  if (payment?.status !== "action_required" || payment.actionUrl === null) {
    return html`<p class="notice" role="status"><strong>The payment is under way.</strong> The result will appear
        here, usually within a minute. You may close this page. ${approval.type === "milestone_fund" ? "The card is not charged twice." : "The money does not move twice."}</p>
      ${lookForm(view, "Look again")}`;
  }
  if (cancelToken === undefined) {
    return html`<p class="notice" role="status"><strong>The bank requires verification.</strong> Whoever confirmed must answer
        it. Until then no money moves.</p>`;
  }
  return html`<p class="notice" role="status"><strong>Your bank needs to verify it’s you.</strong> You’ll return here
        afterwards. Until then no money moves.</p>
      <div class="choices">
        <a class="button" href="${payment.actionUrl}" rel="noreferrer">Continue to my bank</a>
        ${giveUpForm(view)}
      </div>`;
}

/** Whether a person may give a payment up: it waits for their bank, or until payments are resumed. */
export function mayGiveUp(
  payment: ApprovalView["payment"],
  { type, paymentsPaused }: Pick<HumanApproval, "type" | "paymentsPaused">,
): boolean {
  // Of a contract's end some may have gone: the others follow.
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

const REASONS: Record<string, string> = {
  terms_changed: "The terms were changed after the agent had asked.",
  contract_ended: "The contract has ended.",
  milestone_cancelled: "The milestone was cancelled.",
  milestone_not_funded: "The money that was held for it has gone back.",
  withdrawn: "The agent has withdrawn the request.",
};

function endedBecause(approval: HumanApproval): Html {
  const reason = approval.result?.reason;
  return typeof reason === "string"
    ? html`${REASONS[reason] ?? "It could no longer be carried out as it was asked."}`
    : html`It expired on ${time(approval.expiresAt)} before anybody confirmed it.`;
}
