import type { HumanApproval } from "../../approvals/human-service.ts";
import { payingSource } from "../../approvals/source.ts";
import { type Html, html } from "../../lib/html.ts";
import { sumOf } from "../../lib/statement.ts";
import { amount, mentioned, sourceName } from "../kit/wording.ts";

/** What the pages say of an approval, by its type: before the decision, while money moves, and after. */
export type ActWords = {
  /** Before the amount, in headings: `Pay $450.00 USD?` */
  ask: string;
  /** The same once it was refused. */
  askAgain: string;
  doing: string;
  /** After the amount: `$450.00 USD paid`. */
  done: string;
  /** On the button, before the amount. */
  button: string;
  /** What the agent asks for: `An agent asks for …`. */
  asked: string;
  /** After "If you confirm, ". */
  confirmed: Html;
  declined: string;
  outcome: Html;
};

export function actWords(approval: HumanApproval): ActWords {
  switch (approval.type) {
    case "milestone_fund":
      return funding(approval);
    case "milestone_approve":
      return release(approval);
    default:
      return end(approval);
  }
}

type Of<T extends HumanApproval["type"]> = Extract<HumanApproval, { type: T }>;

function funding(approval: Of<"milestone_fund">): ActWords {
  const { terms, milestoneStatus } = approval;
  const source = payingSource(approval);
  const sum = amount(terms.amountCents, terms.currency);
  const payee = mentioned(terms.payee.displayName);
  return {
    ask: "Pay",
    askAgain: "Card refused: pay",
    doing: "Paying",
    done: "paid",
    button: "Confirm and pay",
    asked: "this milestone to be funded",
    confirmed:
      source?.kind === "credits"
        ? html`${sum} of the account’s credits is reserved, once, and no card is charged`
        : html`the ${source && sourceName(source)} is charged ${sum}, once`,
    declined: "nothing is paid",
    outcome: html`<strong>Paid.</strong>${
      milestoneStatus === "ACTIVE_FUNDED" && html` The money is held for ${payee} until the work is approved.`
    }${milestoneStatus === "PAID" && html` The money has been released to ${payee}.`}`,
  };
}

function release({ terms, milestoneStatus }: Of<"milestone_approve">): ActWords {
  const payee = mentioned(terms.payee.displayName);
  return {
    ask: "Release",
    askAgain: "Payout refused: release",
    doing: "Releasing",
    done: "released",
    button: "Confirm and release",
    asked: "the money that is held for this milestone to be released",
    confirmed: html`${amount(terms.amountCents, terms.currency)} that is held is paid out to ${payee}, once`,
    declined: "the money stays held",
    outcome: html`<strong>Released.</strong>${
      milestoneStatus === "PAID"
        ? html` The money was paid out to ${payee}.`
        : html` The payout has come back since.`
    }`,
  };
}

function end({ terms, contractTitle }: Of<"contract_end">): ActWords {
  const { amountCents, currency } = sumOf(terms);
  return {
    ask: "End the contract, and refund",
    askAgain: "Refund refused: end the contract, and refund",
    doing: "Refunding",
    done: "refunded, and the contract has ended",
    button: "Confirm, end and refund",
    asked: "this contract to be ended and all money that is held under it to be refunded",
    confirmed: html`${amount(amountCents, currency)} goes back to where it came from, and the contract ${mentioned(contractTitle)} ends`,
    declined: "the contract goes on, and the money stays held",
    outcome: html`<strong>The contract has ended.</strong> All money that was held under it has gone back.`,
  };
}

/** What confirming cannot undo. */
export function warning({ type }: HumanApproval): string | undefined {
  if (type === "milestone_approve") return "Released money cannot be taken back.";
  return type === "contract_end" ? "A contract that has ended cannot be opened again." : undefined;
}

/** Whom the money goes to: the payee, or whoever paid it. */
export function recipient(approval: HumanApproval): Html {
  return approval.type === "contract_end"
    ? html`back to ${mentioned(approval.accountName)}`
    : html`to ${mentioned(approval.terms.payee.displayName)}`;
}
