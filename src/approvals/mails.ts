import { formatAmount } from "../lib/money.ts";
import { type ApprovalTerms, sumOf } from "../lib/statement.ts";
import { line, type MailLine, named, own } from "../mail/line.ts";

/** What an approval would do, as in `fund $450.00 USD for Maria G.`. */
export function actWords({ type, terms }: { type: string; terms: ApprovalTerms }): MailLine {
  const { amountCents, currency } = sumOf(terms);
  const amount = own(formatAmount(amountCents, currency));
  if ("refunds" in terms) return line`end the contract ${named(terms.contractId)} and refund ${amount}`;
  const payee = named(terms.payee.displayName);
  return type === "milestone_approve"
    ? line`release ${amount} to ${payee}`
    : line`fund ${amount} for ${payee}`;
}
