import type { Trx } from "../database/connection.ts";
import { together } from "../database/transaction.ts";
import { type MailConfig, queueMail } from "../mail/service.ts";
import * as store from "./mail-store.ts";
import { type Outcome, outcomeMail } from "./outcome-mails.ts";

export type { Outcome } from "./outcome-mails.ts";

/** What an approval is about, for the mail of its outcome. */
export type MailedApproval = store.MailedApproval;

/**
 * Mails the account's owners and approvers what became of an approval's money, before all other mail (docs/contract.md §7).
 * @param outcomeOf from the approval's terms
 * @param confirmed whether to say who confirmed it
 */
export async function mailOutcome(
  trx: Trx,
  config: MailConfig,
  { accountId, approvalId }: { accountId: string; approvalId: string },
  outcomeOf: (approval: store.MailedApproval) => Outcome,
  now: Date,
  { confirmed = true }: { confirmed?: boolean } = {},
): Promise<void> {
  const approval = await store.readMailed(trx, accountId, approvalId);
  const { accountName, signers } = approval;
  const context = { approvalId, accountName, signers: confirmed ? signers : [] };
  const mails = approval.recipients.map((email) => outcomeMail(config, email, context, outcomeOf(approval)));
  await together(...mails.map((mail) => queueMail(trx, mail, now)));
}

/** The payee of an approval's terms; of a contract's end its contract's. */
export function payeeOf({ terms, payee }: store.MailedApproval): string {
  return "refunds" in terms ? payee : terms.payee.displayName;
}
