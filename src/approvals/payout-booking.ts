import { captureHold } from "../billing/credit-service.ts";
import * as payments from "../billing/payment-service.ts";
import { holdMilestone, payMilestone } from "../contracts/service.ts";
import { inTransaction } from "../database/transaction.ts";
import { newId } from "../lib/ids.ts";
import { announceExecuted, type BookingDeps, decidePayment, endPendingEnd } from "./booking.ts";
import { outgoingLines } from "./loss-booking.ts";
import { mailOutcome, payeeOf } from "./outcome-mail-service.ts";
import * as store from "./store.ts";

/**
 * Books a payout that succeeded: the milestone is paid and no money is held for it. One transaction.
 * @throws LeaseLost
 */
export async function bookPayout(
  { db, config }: BookingDeps,
  payment: payments.PaymentRow,
  leaseId: string,
): Promise<void> {
  const { accountId, approvalId, milestoneId, amountCents, currency, sentId } = payment;
  if (sentId === null) throw new TypeError("what has gone out has an id");
  await inTransaction(db, async (trx) => {
    const now = await payments.readClockAfter(trx, payment);
    const milestone = await holdMilestone(trx, accountId, milestoneId);
    const invoiceId = await payments.readOpenInvoice(trx, accountId, approvalId);
    await payMilestone(trx, accountId, milestone, now);
    const ended = await endPendingEnd(trx, accountId, milestone, now);
    await store.confirmExecuted(trx, accountId, approvalId, { invoiceId, payoutTransactionId: sentId }, now);
    await decidePayment(trx, payment, leaseId, { to: "succeeded", sentId }, now);
    if (payment.sourcePaymentId === null) await captureHold(trx, payment, now);
    await payments.closeInvoice(trx, accountId, approvalId, "paid");
    const lines = await outgoingLines(trx, payment);
    const movement = { accountId, id: newId(), paymentId: payment.id, currency, lines };
    await payments.insertMovement(trx, movement, now);
    await mailOutcome(
      trx,
      config,
      payment,
      (approval) => ({ kind: "released", payee: payeeOf(approval), amountCents, currency }),
      now,
    );
    await announceExecuted(trx, payment, milestone, "PAID", ended, now);
  });
}
