import { formatAmount } from "../lib/money.ts";
import { line, type MailLine, named, own, who } from "../mail/line.ts";
import type { Mail, MailConfig } from "../mail/service.ts";

type Sum = { amountCents: number; currency: string };

/** What has become of the money that a person confirmed, as the account's owners and approvers are told. */
export type Outcome =
  | ({ kind: "funded"; payee: string; from: "card" | "credits" } & Sum)
  | ({ kind: "released"; payee: string } & Sum)
  | { kind: "ended"; contract: string; refunds: readonly (Sum & { to: "card" | "credits" })[] }
  | { kind: "partly ended"; contract: string; cause: "refused" | "returned" }
  | ({ kind: "refused"; act: MailLine /** The service's own words. */; why: string } & Sum)
  | ({ kind: "returned"; payee: string; to: "escrow" | "credits" | "nobody" } & Sum)
  | ({ kind: "refund failed"; payee: string } & Sum)
  | ({ kind: "disputed"; payee: string; status: string; open: boolean } & Sum)
  | ({ kind: "taken back"; payee: string } & Sum);

export type OutcomeContext = {
  approvalId: string;
  accountName: string;
  /** Who confirmed; none for what a bank or the processor did. */
  signers: readonly { name: string; email: string }[];
};

/** To an owner or approver: money has moved, was refused, or came back. */
export function outcomeMail(
  { appName, publicUrl }: MailConfig,
  to: string,
  { approvalId, accountName, signers }: OutcomeContext,
  outcome: Outcome,
): Mail {
  const { subject, lines } = wordsOf(outcome);
  const [first, second] = signers;
  const by = first && (second ? line`${who(first)} and ${who(second)}` : who(first));
  return {
    to,
    subject: line`${own(appName)}: ${subject}`,
    paragraphs: [
      line`In the account ${named(accountName)}:`,
      ...lines,
      ...(by === undefined ? [] : [line`Confirmed by ${by}.`]),
      own(`${publicUrl}/approvals/${approvalId}`),
    ],
  };
}

function wordsOf(outcome: Outcome): { subject: MailLine; lines: MailLine[] } {
  if (outcome.kind === "ended") return endWords(outcome);
  if (outcome.kind === "partly ended")
    return {
      subject: line`the contract ${named(outcome.contract)} has not ended yet`,
      lines: [
        outcome.cause === "refused"
          ? line`Some refunds of the contract ${named(outcome.contract)} were refused, so it goes on. What was refunded stays refunded. Request its end again once the reason is gone.`
          : line`A payout of the contract ${named(outcome.contract)} came back while it ended, so it goes on: that money is held again. What was refunded stays refunded. Request its end again to refund the rest.`,
      ],
    };
  const amount = own(formatAmount(outcome.amountCents, outcome.currency));
  if (outcome.kind === "refused") {
    const { why: words } = outcome;
    return {
      subject: line`${amount} was refused`,
      lines: [line`This was refused: ${outcome.act}. No money has moved.`, line`Reason: ${own(words)}`],
    };
  }
  const payee = named(outcome.payee);
  switch (outcome.kind) {
    case "funded":
      return {
        subject: line`${amount} was funded for ${payee}`,
        lines: [
          outcome.from === "card"
            ? line`The card on file was charged ${amount}. The money is held in escrow for ${payee} until the work is approved.`
            : line`${amount} of the account's credits is reserved. It is held in escrow for ${payee} until the work is approved.`,
        ],
      };
    case "released":
      return {
        subject: line`${amount} was released to ${payee}`,
        lines: [line`${amount} was paid out to ${payee}. Released money cannot be taken back.`],
      };
    case "returned":
      return {
        subject: line`a payout of ${amount} to ${payee} came back`,
        lines: [line`A payout of ${amount} to ${payee} came back. ${RETURNED[outcome.to]}`],
      };
    case "refund failed":
      return {
        subject: line`a refund of ${amount} came back`,
        lines: [
          line`The bank did not accept a refund of ${amount} that was funded for ${payee}. It was added to the account's credits.`,
        ],
      };
    case "disputed":
      return {
        subject: line`a payment of ${amount} is disputed`,
        lines: [
          line`The cardholder disputes ${amount} that was funded for ${payee}. Status at the processor: ${named(outcome.status)}.`,
          outcome.open
            ? line`While the dispute is open, this money can be neither released nor refunded.`
            : line`The dispute is decided.`,
        ],
      };
    default:
      return {
        subject: line`${amount} was refunded at the processor`,
        lines: [
          line`${amount} that was funded for ${payee} was refunded at the payment processor, not here.`,
        ],
      };
  }
}

const RETURNED = {
  escrow: line`The money is held in escrow again: it can be released or refunded.`,
  credits: line`The money was added to the account's credits.`,
  nobody: line`It makes up for what the bank had taken back before.`,
};

function endWords({ contract, refunds }: Extract<Outcome, { kind: "ended" }>) {
  const total = refunds.reduce((sum, { amountCents }) => sum + amountCents, 0);
  const amount = own(formatAmount(total, refunds[0]?.currency ?? "usd"));
  const to = (place: "card" | "credits") => {
    const some = refunds.filter((refund) => refund.to === place);
    const sum = some.reduce((cents, { amountCents }) => cents + amountCents, 0);
    const where = place === "card" ? line`to the card that paid it` : line`to the account's credits`;
    return some.length === 0 ? [] : [line`${own(formatAmount(sum, some[0]?.currency ?? "usd"))} ${where}`];
  };
  return {
    subject: line`the contract ${named(contract)} has ended and ${amount} was refunded`,
    lines: [line`The contract ${named(contract)} has ended. Refunded:`, ...to("card"), ...to("credits")],
  };
}
