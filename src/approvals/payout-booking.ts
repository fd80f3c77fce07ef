import { captureHold } from "../billing/credit-service.ts";
import * as payments from "../billing/payment-service.ts";
import { holdMilestone, payMilestone } from "../contracts/service.ts";
import { inTransaction, together } from "../database/transaction.ts";
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
    const [now, milestone, invoiceId] = await together(
      payments.readClockAfter(trx, payment),
      holdMilestone(trx, accountId, milestoneId),
      payments.readOpenInvoice(trx, accountId, approvalId),
    );
    const [, ended] = await together(
      payMilestone(trx, accountId, milestone, now),
      endPendingEnd(trx, accountId, milestone, now),
    );
    const result = { invoiceId, payoutTransactionId: sentId };
    await together(
      store.confirmExecuted(trx, accountId, approvalId, result, now),
      decidePayment(trx, payment, leaseId, { to: "succeeded", sentId }, now),
    );
    if (payment.sourcePaymentId === null) await captureHold(trx, payment, now);
    const [, lines] = await together(
      payments.closeInvoice(trx, accountId, approvalId, "paid"),
      outgoingLines(trx, payment),
    );
    const movement = { accountId, id: newId(), paymentId: payment.id, currency, lines };
    await payments.insertMovement(trx, movement, now);
    await mailOutcome(
      trx,
      config,
      payment,
      (approval) => ({ kind: "released", payee: payeeOf(approval), amountCents, currency }),
      now,
    );
    await announceExecuted(trx, payment, milestone, "PAID", { ended }, now);
  });
}
