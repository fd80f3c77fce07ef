import * as payments from "../billing/payment-service.ts";
import { fundMilestone, holdMilestone } from "../contracts/service.ts";
import { inTransaction } from "../database/transaction.ts";
import { newId } from "../lib/ids.ts";
import {
  announceExecuted,
  type BookingDeps,
  decidePayment,
  endPendingEnd,
  heldFor,
  PROCESSOR,
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
    const ended = await endPendingEnd(trx, accountId, milestone, now);
    const result = { invoiceId, paymentIntentId: payment.intentId };
    await store.confirmExecuted(trx, accountId, approvalId, result, now);
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
    await announceExecuted(trx, payment, milestone, "ACTIVE_FUNDED", ended, now);
  });
}
