import { cardName } from "../lib/card-name.ts";
import { formatAmount } from "../lib/money.ts";
import { type ApprovalTerms, type Source, sumOf } from "../lib/statement.ts";
import { line, type MailLine, named, own } from "../mail/line.ts";
import type { Mail } from "../mail/service.ts";

type Context = { appName: string; publicUrl: string };

/** What a mail about money names: the request, its account, who confirmed it and what paid. */
export type Paid = {
  approvalId: string;
  accountName: string;
  type: string;
  terms: ApprovalTerms;
  signers: readonly string[];
  source: Source | null;
};

const NOT_YOU = (publicUrl: string): MailLine[] => [
  line`If you didn’t expect this, look at the activity of the account at once:`,
  own(`${publicUrl}/settings/activity`),
];

/** Money moved: funded, paid out, or refunded by a contract's end. */
export function movedMail({ publicUrl }: Context, email: string, paid: Paid): Mail {
  const { approvalId, accountName, type, terms, signers, source } = paid;
  const amount = amountOf(terms);
  const account = named(accountName);
  const by = signers.length === 0 ? line`` : line` Confirmed by ${joined(signers)}.`;
  const [subject, did] =
    "refunds" in terms
      ? [
          line`Contract ended: ${amount} refunded`,
          line`the contract ${named(terms.contractId)} was ended and ${amount} was refunded.`,
        ]
      : type === "milestone_approve"
        ? [
            line`Paid out: ${amount} to ${payeeOf(terms)}`,
            line`${amount} was paid out to ${payeeOf(terms)} for ${named(terms.description)}.`,
          ]
        : [
            line`Funded: ${amount} for ${payeeOf(terms)}`,
            line`${amount} ${paidBy(source)} and is held in escrow for ${payeeOf(terms)}, for ${named(terms.description)}.`,
          ];
  return {
    to: email,
    subject,
    paragraphs: [
      line`In the account ${account}, ${did}${by}`,
      own(`${publicUrl}/approvals/${approvalId}/receipt`),
      ...NOT_YOU(publicUrl),
    ],
  };
}

/** A charge or payout was refused, so nothing moved. */
export function refusedMail(
  { publicUrl }: Context,
  email: string,
  { approvalId, accountName, terms }: Paid,
  { payout, reason, pending }: { payout: boolean; reason: string | null; pending: boolean },
): Mail {
  const amount = amountOf(terms);
  const what = payout ? line`${amount} to ${payeeOf(terms)}` : line`${amount} for ${payeeOf(terms)}`;
  return {
    to: email,
    subject: payout ? line`Not paid out: ${what}` : line`Not funded: ${what}`,
    paragraphs: [
      line`In the account ${named(accountName)}, ${what} was refused, and no money moved. ${own(reason ?? "No reason was given.")}`,
      pending
        ? line`The request is pending again: confirm it once that is solved, or decline it.`
        : line`The request has ended.`,
      own(`${publicUrl}/approvals/${approvalId}`),
    ],
  };
}

const CAME_BACK = {
  dispute: [line`Disputed`, line`the bank disputes the payment of`],
  refund: [line`Refunded at the processor`, line`the payment processor refunded`],
  failed_refund: [line`Refund returned`, line`the bank did not take the refund, so the credits received`],
  returned_payout: [line`Payout returned`, line`the payee’s bank returned`],
} as const;

/** Money came back, or is disputed. */
export function cameBackMail(
  { publicUrl }: Context,
  email: string,
  { approvalId, accountName, terms }: Paid,
  { kind, amountCents, currency }: { kind: keyof typeof CAME_BACK; amountCents: number; currency: string },
): Mail {
  const amount = own(formatAmount(amountCents, currency));
  const [word, did] = CAME_BACK[kind];
  const payee = "refunds" in terms ? line`` : line` for ${payeeOf(terms)}`;
  return {
    to: email,
    subject: line`${word}: ${amount}${payee}`,
    paragraphs: [
      line`In the account ${named(accountName)}, ${did} ${amount}${payee}.`,
      own(`${publicUrl}/approvals/${approvalId}`),
    ],
  };
}

function amountOf(terms: ApprovalTerms): MailLine {
  const { amountCents, currency } = sumOf(terms);
  return own(formatAmount(amountCents, currency));
}

function payeeOf(terms: ApprovalTerms): MailLine {
  return "refunds" in terms ? line`the contract` : named(terms.payee.displayName);
}

function paidBy(source: Source | null): MailLine {
  if (source?.kind === "credits") return line`was taken from the credits`;
  if (source === null) return line`was paid`;
  return line`was charged to the ${own(cardName(source))}`;
}

function joined(names: readonly string[]): MailLine {
  const [first = line``, ...others] = names.map(named);
  return others.reduce((text, name) => line`${text} and ${name}`, first);
}
