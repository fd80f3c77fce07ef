import * as payments from "../billing/payment-service.ts";
import { fundMilestone, holdMilestone } from "../contracts/service.ts";
import { inTransaction } from "../database/transaction.ts";
import { appendEvents } from "../events/service.ts";
import { newId } from "../lib/ids.ts";
import { linkDecision } from "../receipts/service.ts";
import {
  approvalEvent,
  type BookingDeps,
  decidePayment,
  heldFor,
  milestoneEvent,
  PROCESSOR,
  toExpiredEvent,
} from "./booking.ts";
import { mailOutcome, payeeOf } from "./outcome-mail-service.ts";
import * as store from "./store.ts";

/**
 * Books a charge that succeeded: milestone, invoice, ledger, approval, events and receipt in one transaction. Money
 * that has moved is always booked (docs/contract.md §1).
 * @throws LeaseLost
 */
export async function bookCharge(
  { db, config }: BookingDeps,
  payment: payments.PaymentRow,
  leaseId: string,
): Promise<void> {
  const { accountId, approvalId, milestoneId, amountCents, currency } = payment;
  await inTransaction(db, async (trx) => {
    const now = await payments.readClockAfter(trx, payment);
    const milestone = await holdMilestone(trx, accountId, milestoneId);
    const invoiceId = await payments.readOpenInvoice(trx, accountId, approvalId);
    await fundMilestone(trx, accountId, milestone, invoiceId, now);
    // The page of a pending contract end showed less held money than there is now.
    const ended = await store.endPending(trx, accountId, { endOf: milestone.contractId }, changed(now));
    await store.confirmExecuted(
      trx,
      accountId,
      approvalId,
      { invoiceId, paymentIntentId: payment.intentId },
      now,
    );
    await decidePayment(trx, payment, leaseId, { to: "succeeded" }, now);
    await payments.closeInvoice(trx, accountId, approvalId, "paid");
    const lines = [
      { account: PROCESSOR, amountCents },
      { account: heldFor(milestoneId), amountCents: -amountCents },
    ];
    const movement = { accountId, id: newId(), paymentId: payment.id, currency, lines };
    await payments.insertMovement(trx, movement, now);
    await mailOutcome(
      trx,
      config,
      payment,
      (approval) => ({ kind: "funded", payee: payeeOf(approval), from: "card", amountCents, currency }),
      now,
    );
    const events = [
      approvalEvent({ id: approvalId, jobId: milestone.jobId }, "confirmed"),
      milestoneEvent(milestone, "ACTIVE_FUNDED"),
      ...ended.map(toExpiredEvent),
    ];
    await appendEvents(trx, accountId, events, now);
    await linkDecision(trx, accountId, approvalId, now);
  });
}

function changed(now: Date) {
  return { reason: "terms_changed", now };
}
