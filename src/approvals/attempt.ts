import * as payments from "../billing/payment-service.ts";
import type { Processor } from "../billing/processor.ts";
import type { Trx } from "../database/connection.ts";
import { newId } from "../lib/ids.ts";
import { Problem } from "../lib/problems.ts";
import * as store from "./human-store.ts";
import { newLease } from "./payment.ts";
import { insertPaymentSignatures } from "./second-signer-store.ts";

/**
 * Takes the milestone and writes the attempt to pay, for these signatures, in the transaction that holds the approval.
 * @throws Problem statement_stale, payment_in_progress {milestoneId}, already_decided
 */
export async function writeAttempt(
  trx: Trx,
  processor: Processor,
  { accountId, id: approvalId, milestoneId, card, terms }: store.HumanApprovalRow,
  signatures: readonly { userId: string; digest: Buffer }[],
  now: Date,
): Promise<{ paymentId: string; leaseId: string }> {
  if (card === null || milestoneId === null) throw new Problem("statement_stale");
  if (!(await store.takeMilestone(trx, { accountId, milestoneId, approvalId }, now))) {
    throw new Problem("payment_in_progress", { milestoneId });
  }
  if (!(await store.beginExecuting(trx, accountId, approvalId, now))) throw new Problem("already_decided");
  const lease = newLease(now);
  const { amountCents, currency } = terms;
  const charge = { accountId, cardId: card.id, amountCents, currency };
  const names = await payments.readNames(trx, accountId);
  const payment = {
    ...charge,
    id: newId(),
    approvalId,
    milestoneId,
    processor: processor.name,
    body: processor.composeCharge({ ...charge, ...names, metadata: { approvalId, milestoneId } }),
  };
  await payments.insertPayment(trx, payment, lease, now);
  await insertPaymentSignatures(trx, payment, signatures);
  return { paymentId: payment.id, leaseId: lease.id };
}
