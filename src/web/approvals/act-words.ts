import type { HumanApproval } from "../../approvals/human-service.ts";
import { payingSource } from "../../approvals/source-rules.ts";
import { type Html, html } from "../../lib/html.ts";
import { brief } from "../../lib/names.ts";
import { sumOf } from "../../lib/statement.ts";
import { amount, fullStopAfter, mentioned } from "../kit/wording.ts";

/** What the pages say of an approval, by its type: before the decision, while money moves, and after. */
export type ActWords = {
  /** Before the amount and the recipient, in headings: `Fund $450.00 USD for Maria G.?` */
  ask: string;
  /** The same once it was refused. */
  askAgain: string;
  doing: string;
  /** After the amount: `$450.00 USD funded`. */
  done: string;
  /** On the button, before the amount. */
  button: string;
  /** What confirming does, as a sentence. */
  confirmed: Html;
  /** After "If you decline, ". */
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
    ask: "Fund",
    askAgain: "Card refused: fund",
    doing: "Funding",
    done: "funded",
    button: "Confirm and fund",
    confirmed:
      source?.kind === "credits"
        ? html`${sum} of the account’s credits is reserved now, once, and held in escrow until the work is approved.`
        : html`${sum} is charged now, once, and held in escrow until the work is approved.`,
    declined: "nothing is charged.",
    outcome: html`<strong>Funded.</strong>${
      milestoneStatus === "ACTIVE_FUNDED" &&
      html` ${sum} is held in escrow for ${payee} until the work is approved.`
    }${milestoneStatus === "PAID" && html` ${sum} has been paid out to ${payee}${fullStopAfter(terms.payee.displayName)}`}`,
  };
}

function release({ terms, milestoneStatus }: Of<"milestone_approve">): ActWords {
  const payee = mentioned(terms.payee.displayName);
  const sum = amount(terms.amountCents, terms.currency);
  return {
    ask: "Release",
    askAgain: "Payout refused: release",
    doing: "Releasing",
    done: "released",
    button: "Confirm and release",
    confirmed: html`${sum} is paid out now, once, to ${payee}${fullStopAfter(terms.payee.displayName)}`,
    declined: "the money stays in escrow.",
    outcome: html`<strong>Released.</strong>${
      milestoneStatus === "PAID"
        ? html` ${sum} was paid out to ${payee}${fullStopAfter(terms.payee.displayName)}`
        : html` The payout has come back since.`
    }`,
  };
}

function end({ terms }: Of<"contract_end">): ActWords {
  const { amountCents, currency } = sumOf(terms);
  return {
    ask: "End the contract and refund",
    askAgain: "Refund refused: end the contract and refund",
    doing: "Refunding",
    done: "refunded and the contract ended",
    button: "Confirm, end and refund",
    confirmed: html`${amount(amountCents, currency)} goes back now, once, and the contract ends.`,
    declined: "the contract goes on and the money stays in escrow.",
    outcome: html`<strong>The contract has ended.</strong> All money that was held in escrow under it has gone back.`,
  };
}

/** What confirming cannot undo; stands after what it does. */
export function warning({ type }: HumanApproval): string | undefined {
  if (type === "milestone_approve") return "Released money cannot be taken back.";
  return type === "contract_end" ? "It cannot be opened again." : undefined;
}

/** The payee after the amount, for a page and its title. A contract's end pays no one: the money goes back. */
export function recipient(approval: HumanApproval): { shown: Html; title: string } {
  if (approval.type === "contract_end") return { shown: html``, title: "" };
  const before = approval.type === "milestone_fund" ? "for" : "to";
  const name = approval.terms.payee.displayName;
  return { shown: html` ${before} ${mentioned(name)}`, title: ` ${before} ${brief(name)}` };
}
