import type { HumanApproval, readPageContext } from "../../approvals/human-service.ts";
import type { Signing } from "../../approvals/second-signer-service.ts";
import { canPay } from "../../approvals/statement-rules.ts";
import type { PaymentRow, ReversalRow } from "../../billing/payment-service.ts";
import { type Html, html } from "../../lib/html.ts";
import { formatAmount } from "../../lib/money.ts";
import { type Source, sumOf } from "../../lib/statement.ts";
import type { Fault } from "../kit/forms.ts";
import type { Page } from "../kit/layout.ts";
import { reversalBanners } from "../kit/reversals.ts";
import {
  amount,
  closedWord,
  deadline,
  mentioned,
  sourceName,
  standsBehind,
  time,
  timeLeft,
} from "../kit/wording.ts";
import { actWords, recipient } from "./act-words.ts";
import { changedTerms } from "./changes-section.ts";
import { type DecisionForms, decisionForms, haltBanner, isHalted } from "./decision-forms.ts";
import { isBack, moving } from "./moving-section.ts";
import { approvalReferences, approvalTerms } from "./terms-section.ts";

export type ApprovalView = {
  approval: HumanApproval;
  context: Awaited<ReturnType<typeof readPageContext>>;
  payment: PaymentRow | undefined;
  /** What has gone back of it. */
  reversals: readonly ReversalRow[];
  /** The person has just come back from their bank. */
  returned: boolean;
  /** For the form that asks for the outcome now. */
  lookToken: string;
  /** The signers' names, and the funding source that they signed. */
  signed: { signers: readonly string[]; source: Source | null } | undefined;
  /** How many people must sign, and who has; absent where nothing can be decided any more. */
  signing: Signing | undefined;
  /** Whether the first signature is this person's own. */
  hasSigned: boolean;
  /** A confirmation that does not count any more, as something else would pay now. */
  outdated: { signer: string; source: Source | null } | undefined;
  /** Absent for a viewer, and where nothing can be decided any more. */
  forms: DecisionForms | undefined;
  /** Absent for a viewer. */
  cancelToken: string | undefined;
  /** What is wrong with a field of the form. */
  fault: Fault | undefined;
  /** A passkey, for a person who has just confirmed without one. */
  passkeyOffer: Html | undefined;
  /** How many other approvals of their accounts this person could decide now. */
  pending: number;
};

/** The page at `approvalUrl` (docs/contract.md §7): who asks, for what, how much, from which card, to whom. */
export function approvalPage(view: ApprovalView): Page {
  const { approval, context } = view;
  return {
    ...headOf(view),
    ...scriptOf(view),
    preview: "Approval request",
    body: html`
      ${statusOf(view)}
      ${reversalBanners(view.reversals)}
      ${
        view.forms === undefined
          ? decided(view)
          : html`<div class="decide">${approvalTerms(approval, context, null)}
      <div>${decisionForms(view, view.forms)}</div></div>`
      }
      ${approvalReferences(approval)}`,
  };
}

/** Where there is nothing to decide. */
function decided({ approval, context, signed, passkeyOffer, pending }: ApprovalView): Html {
  const proved = approval.state === "confirmed" || approval.state === "declined";
  const waiting = pending === 1 ? "1 more is pending" : `${pending} more are pending`;
  return html`${approvalTerms(approval, context, signed?.source ?? null)}
      ${proved && html`<p><a href="/approvals/${approval.id}/receipt">View receipt</a></p>`}
      <p><a href="/approvals">All approvals</a>${pending > 0 && html` <span class="whole">(${waiting})</span>`}</p>
      ${passkeyOffer}`;
}

/** The page's one script: it asks for a passkey, sends a form, or looks again while money moves. */
function scriptOf(view: ApprovalView): Pick<Page, "script" | "fetches" | "refreshes"> {
  if (isBack(view)) return { script: "send.js" };
  if (view.approval.state === "executing") return { script: "watch.js", fetches: true, refreshes: true };
  if (asksPasskey(view)) return { script: "co-sign.js", fetches: true };
  return view.forms === undefined ? {} : { script: "watch.js" };
}

function asksPasskey({ forms, approval, hasSigned }: ApprovalView): boolean {
  return forms?.presence.by === "passkey" && canPay(approval) && !isHalted(approval) && !hasSigned;
}

/** The code of an attempt that a person gave up, or that was stopped before anything moved. */
const CANCELLED = "canceled";

function headOf({ approval, payment }: ApprovalView): { title: string; heading: Html } {
  const { amountCents, currency } = sumOf(approval.terms);
  const { ask, askAgain, doing, done } = actWords(approval);
  const said = formatAmount(amountCents, currency);
  const sum = amount(amountCents, currency);
  switch (approval.state) {
    case "waiting": {
      const refused = payment?.status === "refused" && payment.refusalCode !== CANCELLED;
      return {
        title: `${refused ? askAgain : ask} ${said}${recipient(approval).title}?`,
        heading: html`${ask} ${sum}${recipient(approval).shown}?`,
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
      return moving(view);
    case "confirmed":
      return html`<p class="notice done">${actWords(approval).outcome} Confirmed${by}${at}. There is nothing
        more for you to do.</p>`;
    case "declined":
      return html`<p class="notice"><strong>No money has moved.</strong> Declined${by}${at}.${
        typeof approval.result?.note === "string" &&
        html` They wrote: “${mentioned(approval.result.note, 500)}”.`
      }${askAgain(view)}</p>`;
    default:
      return html`<div class="notice"><p><strong>No money has moved.</strong> ${endedBecause(approval)}${askAgain(view)}</p>
        ${approval.result?.reason === "terms_changed" && changedTerms(approval)}</div>`;
  }
}

/** Who can request the same again, and where; nothing if no one can. */
function askAgain({ approval, context, cancelToken }: ApprovalView): Html | null {
  const { type, asker, accountId, contractId, contractStatus, milestoneStatus, frozen } = approval;
  if (context.newerId !== null)
    return html` A newer request for it is pending: <a href="/approvals/${context.newerId}">review it</a>.`;
  const wanted = type === "milestone_fund" ? "NOT_FUNDED" : "ACTIVE_FUNDED";
  const asksAnew = contractStatus === "active" && (type === "contract_end" || milestoneStatus === wanted);
  if (!asksAnew || frozen) return null;
  // Who has this token may decide, and so ask.
  const here = html`<a href="/contracts/${contractId}?account=${accountId}">the contract’s page</a>`;
  if (cancelToken === undefined) return asker?.kind === "member" ? null : html` The agent can ask again.`;
  return asker?.kind === "member"
    ? html` You can ask again on ${here}.`
    : html` The agent can ask again, and so can you, on ${here}.`;
}

function waiting(view: ApprovalView): Html {
  const { approval, payment, forms, signing, hasSigned, outdated } = view;
  return html`${requested(approval)}
      ${haltBanner(approval)}
      ${outdated && outdatedNotice(outdated)}
      ${signing?.first && firstSigned(signing.first, hasSigned)}
      ${payment?.status === "refused" ? refused(payment) : null}
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
  return html`<p><span class="line"><strong>Decide by ${deadline(expiresAt)}</strong> ${timeLeft(expiresAt, now)}</span>
        Requested by <strong>${mentioned(tokenName)}</strong> for ${mentioned(accountName)}${
          asker && html` <span class="quiet line">${standsBehind(asker)}</span>`
        }</p>`;
}

function firstSigned({ name, signedAt }: NonNullable<Signing["first"]>, hasSigned: boolean): Html {
  return html`<p class="notice" role="status"><strong>1 of 2, by “${mentioned(name)}”</strong> on ${deadline(signedAt)}: ${
    hasSigned
      ? "you have confirmed this. Another owner or approver must confirm it too."
      : "waiting for another approver."
  } Nothing has been charged.</p>`;
}

function outdatedNotice({ signer, source }: NonNullable<ApprovalView["outdated"]>): Html {
  return html`<p class="notice" role="status"><strong>“${mentioned(signer)}” confirmed this</strong> while the ${source && sourceName(source)} would
        have paid. That has changed: two people must confirm again.</p>`;
}

function refused({ refusalCode, refusalMessage }: PaymentRow): Html {
  if (refusalCode === CANCELLED)
    return html`<p class="notice" role="status"><strong>The last payment was cancelled.</strong> No money has moved. You can confirm
        it again or decline it.</p>`;
  return html`<p class="notice wrong" role="alert"><strong>The last payment was refused.</strong>
        ${refusalMessage ?? "The card was refused."} Nothing was charged.</p>`;
}

const REASONS: Record<string, string> = {
  terms_changed: "The terms were changed after this was requested.",
  contract_ended: "The contract has ended.",
  milestone_cancelled: "The milestone was cancelled.",
  milestone_not_funded: "The money that was held for it has gone back.",
  withdrawn: "The agent has withdrawn its request.",
};

function endedBecause(approval: HumanApproval): Html {
  const reason = approval.result?.reason;
  return typeof reason === "string"
    ? html`${REASONS[reason] ?? "It could no longer be carried out as requested."} It was closed on ${time(approval.resolvedAt ?? approval.expiresAt)}.`
    : html`It expired on ${time(approval.expiresAt)} before anyone confirmed it.`;
}
