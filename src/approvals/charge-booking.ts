import * as payments from "../billing/payment-service.ts";
import { fundMilestone, holdMilestone } from "../contracts/service.ts";
import { inTransaction, together } from "../database/transaction.ts";
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
    const [now, milestone, invoiceId] = await together(
      payments.readClockAfter(trx, payment),
      holdMilestone(trx, accountId, milestoneId),
      payments.readOpenInvoice(trx, accountId, approvalId),
    );
    const [, ended] = await together(
      fundMilestone(trx, accountId, milestone, invoiceId, now),
      endPendingEnd(trx, accountId, milestone, now),
    );
    const lines = [
      { account: PROCESSOR, amountCents },
      { account: heldFor(milestoneId), amountCents: -amountCents },
    ];
    const movement = { accountId, id: newId(), paymentId: payment.id, currency, lines };
    const result = { invoiceId, paymentIntentId: payment.intentId };
    await together(
      store.confirmExecuted(trx, accountId, approvalId, result, now),
      decidePayment(trx, payment, leaseId, { to: "succeeded" }, now),
      payments.closeInvoice(trx, accountId, approvalId, "paid"),
      payments.insertMovement(trx, movement, now),
    );
    await mailOutcome(
      trx,
      config,
      payment,
      (approval) => ({ kind: "funded", payee: payeeOf(approval), from: "card", amountCents, currency }),
      now,
    );
    await announceExecuted(trx, payment, milestone, "ACTIVE_FUNDED", { ended }, now);
  });
}
