import * as payments from "../billing/payment-service.ts";
import type { HeldMilestone } from "../contracts/service.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import type { EventType } from "../events/schemas.ts";
import { appendEvents, type NewEvent } from "../events/service.ts";
import type { MailConfig } from "../mail/service.ts";
import { countEnded } from "../metrics/metrics.ts";
import { linkDecision } from "../receipts/service.ts";
import { type EndedApproval, endPending } from "./store.ts";

/** Another process holds the lease of the attempt. Nothing was written. */
export class LeaseLost extends Error {
  override name = "LeaseLost";
}

/** The ledger's accounts: the processor, what was taken back for good after the payout, and the money held for each milestone. */
export const PROCESSOR = "processor";
export const LOSSES = "losses";
export const heldFor = (milestoneId: string) => `milestone:${milestoneId}`;

/** What a booking works with. */
export type BookingDeps = { db: Db; config: MailConfig };

type Decided =
  | { to: "succeeded"; sentId?: string }
  | { to: "refused"; refusal: { code: string; message: string } };

/** Records the outcome of an attempt. @throws LeaseLost */
export async function decidePayment(
  trx: Trx,
  payment: payments.PaymentRow,
  leaseId: string,
  decided: Decided,
  now: Date,
): Promise<void> {
  // `created` too: the database may have lost that it was submitted.
  const from = ["created", "submitted", "unknown", "action_required"] as const;
  if (!(await payments.stepPayment(trx, payment, leaseId, { ...decided, from, now, dueAt: null })))
    throw new LeaseLost();
}

/**
 * Records that an attempt is in progress and releases its lease. Appends the feed's event the first time.
 * @throws LeaseLost
 */
export async function writeWaiting(
  db: Db,
  payment: payments.PaymentRow,
  leaseId: string,
  change: Omit<Parameters<typeof payments.stepPayment>[3], "release">,
): Promise<void> {
  const { accountId, milestoneId } = payment;
  await inTransaction(db, async (trx) => {
    if (!(await payments.stepPayment(trx, payment, leaseId, { ...change, release: true })))
      throw new LeaseLost();
    const invoice = await payments.markPending(trx, payment, change.now);
    if (invoice === undefined) return;
    const { id: invoiceId, contractId, jobId } = invoice;
    const data = { invoiceId, milestoneId, contractId };
    const event = { type: "payment.pending" as const, resourceId: invoiceId, jobId, data };
    await appendEvents(trx, accountId, [event], change.now);
  });
}

/**
 * Appends `payment.in_doubt` to the operator's feed, once an hour for as long as the attempt is in doubt.
 * @returns the attempt, to be logged; `undefined`: it was appended within the last hour, or the attempt is decided
 */
export function tellInDoubt(
  db: Db,
  key: payments.PaymentKey,
): Promise<(payments.PaymentRow & { inDoubtSince: Date }) | undefined> {
  return inTransaction(db, async (trx, now) => {
    const payment = await payments.markInDoubt(trx, key, now);
    if (payment === undefined) return undefined;
    const { accountId, id: paymentId, approvalId, milestoneId, amountCents, currency } = payment;
    const inDoubtSince = payment.inDoubtSince.toISOString();
    const data = { paymentId, approvalId, milestoneId, amountCents, currency, inDoubtSince };
    const event = { type: "payment.in_doubt" as const, resourceId: paymentId, jobId: null, data };
    await appendEvents(trx, accountId, [event], now);
    return payment;
  });
}

export type AnyEvent = NewEvent & { type: EventType };
export type ApprovalEvent = NewEvent & { type: "approval.confirmed" };

/** The event of an approval that was decided or has expired. */
export function approvalEvent(
  { id, jobId }: EndedApproval,
  status: "confirmed" | "declined" | "expired",
): ApprovalEvent {
  countEnded(status);
  return { type: "approval.confirmed", resourceId: id, jobId, data: { approvalId: id, status } };
}

export function toExpiredEvent(ended: EndedApproval): ApprovalEvent {
  return approvalEvent(ended, "expired");
}

/** The event of a milestone whose money has moved. */
export function milestoneEvent(
  { id, contractId, jobId }: { id: string; contractId: string; jobId: string },
  status: "ACTIVE_FUNDED" | "PAID" | "REFUNDED",
): AnyEvent {
  const data = { milestoneId: id, contractId, status };
  return { type: "milestone.status_changed", resourceId: id, jobId, data };
}

/** Ends a contract's pending end, as its page showed another amount of held money than there is now. */
export function endPendingEnd(
  trx: Trx,
  accountId: string,
  { contractId }: { contractId: string },
  now: Date,
): Promise<EndedApproval[]> {
  return endPending(trx, accountId, { endOf: contractId }, { reason: "terms_changed", now });
}

/**
 * Appends the events of an approval whose milestone's money has moved, and links its receipt. Call it last: it locks the
 * account's head.
 * @param others `requested`: the request's own event, if the feed has not reported it yet; `ended`: other approvals that
 * ended because of it
 */
export async function announceExecuted(
  trx: Trx,
  { accountId, approvalId }: { accountId: string; approvalId: string },
  milestone: HeldMilestone,
  status: "ACTIVE_FUNDED" | "PAID",
  { requested = [], ended }: { requested?: readonly AnyEvent[]; ended: readonly EndedApproval[] },
  now: Date,
): Promise<void> {
  const events = [
    ...requested,
    approvalEvent({ id: approvalId, jobId: milestone.jobId }, "confirmed"),
    milestoneEvent(milestone, status),
    ...ended.map(toExpiredEvent),
  ];
  await appendEvents(trx, accountId, events, now);
  await linkDecision(trx, accountId, approvalId, now);
}

/** The operator's event of a refused attempt. */
export function refusedEvent(payment: payments.PaymentRow, code: string): AnyEvent {
  const { id: paymentId, approvalId, milestoneId, kind, amountCents, currency } = payment;
  const data = { paymentId, approvalId, milestoneId, kind, code, amountCents, currency };
  return { type: "payment.refused", resourceId: paymentId, jobId: null, data };
}
