import * as payments from "../billing/payment-service.ts";
import { fundMilestone } from "../contracts/service.ts";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { appendEvents, type NewEvent } from "../events/service.ts";
import { newId } from "../lib/ids.ts";
import { linkDecision } from "../receipts/service.ts";
import * as store from "./store.ts";

/** Somebody else holds the attempt now; whoever sees this lets go and has written nothing. */
export class LeaseLost extends Error {
  override name = "LeaseLost";
}

/**
 * Books money that has moved: milestone, invoice, ledger, approval, events, receipt, all in one transaction. Money that
 * succeeded is always booked (CONTRACT.md §1).
 * @throws LeaseLost
 */
export async function bookSuccess(db: Db, payment: payments.PaymentRow, leaseId: string): Promise<void> {
  const { accountId, approvalId, milestoneId, amountCents, currency } = payment;
  await inTransaction(db, async (trx) => {
    const now = await payments.readClockAfter(trx, payment);
    const invoiceId = newId();
    const { contractId, jobId } = await fundMilestone(trx, accountId, milestoneId, invoiceId, now);
    const result = { invoiceId, paymentIntentId: payment.intentId };
    await store.confirmExecuted(trx, accountId, approvalId, result, now);
    const step = {
      // `created`, too: that it was submitted may be lost.
      from: ["created", "submitted", "unknown", "action_required"],
      to: "succeeded",
      now,
      dueAt: null,
    } as const;
    if (!(await payments.stepPayment(trx, payment, leaseId, step))) throw new LeaseLost();
    await payments.insertInvoice(
      trx,
      { accountId, id: invoiceId, approvalId, contractId, milestoneId, amountCents, currency },
      now,
    );
    const lines = [
      { account: "processor", amountCents },
      { account: `milestone:${milestoneId}`, amountCents: -amountCents },
    ];
    await payments.insertMovement(
      trx,
      { accountId, id: newId(), paymentId: payment.id, currency, lines },
      now,
    );
    await appendEvents(
      trx,
      accountId,
      [
        {
          type: "approval.confirmed",
          resourceId: approvalId,
          jobId,
          data: { approvalId, status: "confirmed" },
        },
        {
          type: "milestone.status_changed",
          resourceId: milestoneId,
          jobId,
          data: { milestoneId, contractId, status: "ACTIVE_FUNDED" },
        },
      ],
      now,
    );
    await linkDecision(trx, accountId, approvalId, now);
  });
}

/**
 * Books a definite refusal: the approval can be confirmed again, unless its time has passed meanwhile; then it
 * expires at this moment, with its event.
 * @throws LeaseLost
 */
export async function bookRefusal(
  db: Db,
  payment: payments.PaymentRow,
  leaseId: string,
  refusal: { code: string; message: string },
): Promise<void> {
  const { accountId, approvalId } = payment;
  await inTransaction(db, async (trx) => {
    const now = await payments.readClockAfter(trx, payment);
    const expired = await store.releaseExecuting(trx, accountId, approvalId, now);
    const step = {
      from: ["created", "submitted", "unknown", "action_required"],
      to: "refused",
      now,
      dueAt: null,
      refusal: { code: refusal.code, message: refusal.message },
    } as const;
    if (!(await payments.stepPayment(trx, payment, leaseId, step))) throw new LeaseLost();
    await appendEvents(trx, accountId, expired.map(toExpiredEvent), now);
  });
}

/**
 * Tells the operator, once, that the outcome of an attempt is in doubt: by `payment.in_doubt` in the operator's feed.
 * @returns `false`: they were told before, or it is decided
 */
export function tellInDoubt(db: Db, key: payments.PaymentKey): Promise<boolean> {
  return inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    const payment = await payments.markInDoubt(trx, key, now);
    if (payment === undefined) return false;
    const { accountId, id: paymentId, approvalId, milestoneId, amountCents, currency } = payment;
    const data = { paymentId, approvalId, milestoneId, amountCents, currency };
    const event = { type: "payment.in_doubt" as const, resourceId: paymentId, jobId: null, data };
    await appendEvents(trx, accountId, [event], now);
    return true;
  });
}

export type ApprovalEvent = NewEvent & { type: "approval.confirmed" };

/** What the feed says of an approval that expired. */
export function toExpiredEvent({ id, jobId }: store.EndedApproval): ApprovalEvent {
  return { type: "approval.confirmed", resourceId: id, jobId, data: { approvalId: id, status: "expired" } };
}
