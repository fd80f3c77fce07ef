import * as payments from "../billing/payment-service.ts";
import { fundMilestone, holdMilestone } from "../contracts/service.ts";
import type { Db } from "../database/connection.ts";
import { inTransaction, together } from "../database/transaction.ts";
import { appendEvents } from "../events/service.ts";
import { newId } from "../lib/ids.ts";
import { linkDecision } from "../receipts/service.ts";
import {
  approvalEvent,
  decidePayment,
  heldFor,
  milestoneEvent,
  PROCESSOR,
  toExpiredEvent,
} from "./booking.ts";
import * as store from "./store.ts";

/**
 * Books a charge that succeeded: milestone, invoice, ledger, approval, events and receipt in one transaction. Money
 * that has moved is always booked (docs/contract.md §1).
 * @throws LeaseLost
 */
export async function bookCharge(db: Db, payment: payments.PaymentRow, leaseId: string): Promise<void> {
  const { accountId, approvalId, milestoneId, amountCents, currency } = payment;
  await inTransaction(db, async (trx) => {
    const [now, milestone, invoiceId] = await together(
      payments.readClockAfter(trx, payment),
      holdMilestone(trx, accountId, milestoneId),
      payments.readOpenInvoice(trx, accountId, approvalId),
    );
    // The page of a pending contract end showed less held money than there is now.
    const [, ended] = await together(
      fundMilestone(trx, accountId, milestone, invoiceId, now),
      store.endPending(trx, accountId, { endOf: milestone.contractId }, changed(now)),
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
