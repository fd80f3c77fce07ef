import type { Asker } from "../database/schema.ts";
import { askerWords } from "../lib/asker.ts";
import { formatAmount } from "../lib/money.ts";
import { type ApprovalTerms, sumOf } from "../lib/statement.ts";
import { formatDeadline } from "../lib/time.ts";
import { line, type MailLine, named, own } from "../mail/line.ts";
import type { Mail, MailConfig } from "../mail/service.ts";

/** Requests that one mail lists. */
const LISTED_AT_MOST = 20;

/** A pending approval, as a mail lists it. */
export type PendingRequest = {
  id: string;
  type: string;
  terms: ApprovalTerms;
  tokenName: string;
  asker: Asker | null;
  expiresAt: Date;
};

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

/**
 * Tells a member that requests are pending: at most 20, those that expire first, and how many more there are.
 * @param to.expiresSoon whether the first one expires within a day
 */
export function pendingMail(
  { publicUrl }: MailConfig,
  to: { email: string; accountName: string; expiresSoon: boolean },
  pending: readonly PendingRequest[],
): Mail {
  const requests = pending.toSorted((a, b) => a.expiresAt.getTime() - b.expiresAt.getTime());
  const [first] = requests;
  if (first === undefined) throw new TypeError("a mail about no request");
  const count = requests.length;
  const account = named(to.accountName);
  const listed = requests.slice(0, LISTED_AT_MOST);
  const until = own(formatDeadline(first.expiresAt));
  const urgent = to.expiresSoon ? line`Expires ${until}: ` : line``;
  return {
    to: to.email,
    routine: true,
    subject:
      count === 1
        ? line`${to.expiresSoon ? urgent : line`To confirm: `}${actWords(first)}`
        : line`${urgent}${count} requests to confirm in ${account}`,
    paragraphs: [
      count === 1
        ? line`In the account ${account}, a request is waiting for you to confirm or decline it:`
        : line`In the account ${account}, ${count} requests are waiting for you to confirm or decline them:`,
      ...listed.map(requestLine),
      ...(count > listed.length ? [line`And ${count - listed.length} more.`] : []),
      line`Nothing moves unless you sign in, read the terms and confirm. A request that no one confirms expires.`,
      own(count === 1 ? `${publicUrl}/approvals/${first.id}` : `${publicUrl}/approvals`),
    ],
  };
}

function requestLine({ type, terms, tokenName, asker, expiresAt }: PendingRequest): MailLine {
  const by = line`${named(tokenName)}${behind(asker)}`;
  return line`${actWords({ type, terms })}, asked for by ${by}, decide by ${own(formatDeadline(expiresAt))}`;
}

/** The person behind the token that requested it. */
function behind(asker: Asker | null): MailLine {
  if (asker === null) return line``;
  const { words, name } = askerWords(asker);
  return line` (${own(words)}${name === null ? line`` : named(name)})`;
}
