import { holdCredits } from "../billing/credit-service.ts";
import * as payments from "../billing/payment-service.ts";
import { fundMilestone, holdMilestone } from "../contracts/service.ts";
import type { Trx } from "../database/connection.ts";
import { together } from "../database/transaction.ts";
import { newId } from "../lib/ids.ts";
import { Problem } from "../lib/problems.ts";
import type { MailConfig } from "../mail/service.ts";
import { type AnyEvent, announceExecuted, endPendingEnd } from "./booking.ts";
import { mailOutcome, payeeOf } from "./outcome-mail-service.ts";
import { insertCreditSignatures } from "./second-signer-store.ts";
import * as store from "./store.ts";

type Funding = Record<"accountId" | "approvalId" | "milestoneId" | "currency", string> & {
  amountCents: number;
};

/**
 * Funds a milestone from the account's credits, in the transaction that confirms it: milestone, hold, invoice, ledger,
 * approval, events, receipt (docs/contract.md §5).
 * @throws Problem statement_stale: the balance no longer covers it
 */
export async function bookCredits(
  trx: Trx,
  config: MailConfig,
  { accountId, approvalId, milestoneId, amountCents, currency }: Funding,
  signatures: readonly { userId: string; digest: Buffer }[],
  requested: readonly AnyEvent[],
  now: Date,
): Promise<void> {
  const milestone = await holdMilestone(trx, accountId, milestoneId);
  const { contractId, jobId } = milestone;
  const invoiceId = newId();
  const [, ended] = await together(
    fundMilestone(trx, accountId, milestone, invoiceId, now),
    endPendingEnd(trx, accountId, milestone, now),
  );
  await store.confirmExecuted(trx, accountId, approvalId, { invoiceId, paymentIntentId: null }, now);
  const subject = { approvalId, milestoneId, contractId, jobId };
  const hold = await holdCredits(trx, { accountId, amountCents, ...subject }, now);
  if (hold === undefined) throw new Problem("statement_stale");
  const invoice = { accountId, id: invoiceId, approvalId, contractId, milestoneId, amountCents, currency };
  await together(
    insertCreditSignatures(trx, { accountId, approvalId, entryId: hold.entryId }, signatures),
    payments.openInvoice(trx, { ...invoice, kind: "FUNDING", paymentId: null }, now),
  );
  await payments.closeInvoice(trx, accountId, approvalId, "paid");
  const money = { amountCents, currency };
  await mailOutcome(
    trx,
    config,
    { accountId, approvalId },
    (approval) => ({ kind: "funded", payee: payeeOf(approval), from: "credits", ...money }),
    now,
  );
  const others = { requested, ended };
  await announceExecuted(trx, { accountId, approvalId }, milestone, "ACTIVE_FUNDED", others, now);
}
