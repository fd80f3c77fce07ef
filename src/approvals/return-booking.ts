import { refundToCredits } from "../billing/credit-service.ts";
import * as payments from "../billing/payment-service.ts";
import type { SentRecord } from "../billing/processor.ts";
import { type HeldMilestone, holdMilestone, refundMilestone, returnMilestone } from "../contracts/service.ts";
import type { Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { appendEvents } from "../events/service.ts";
import { newId } from "../lib/ids.ts";
import {
  type AnyEvent,
  type BookingDeps,
  endPendingEnd,
  milestoneEvent,
  PROCESSOR,
  toExpiredEvent,
} from "./booking.ts";
import { creditRest, readResting, returnedLines, settleLoss } from "./loss-booking.ts";
import { type MailedApproval, mailOutcome, type Outcome, payeeOf } from "./outcome-mail-service.ts";

/**
 * Books, once, that a payout or refund which had succeeded was returned in full. A payout's money is held for its
 * milestone again, so that it can be released or refunded. Where that is impossible, and for a refund, it goes to the
 * account's credits.
 * @returns whether it was booked now
 * @throws what the database threw
 */
export function bookReturn(
  { db, config }: BookingDeps,
  payment: payments.PaymentRow,
  record: SentRecord,
): Promise<boolean> {
  const { accountId, id: paymentId, milestoneId, kind, amountCents, currency } = payment;
  return inTransaction(db, async (trx, now) => {
    const milestone = await holdMilestone(trx, accountId, milestoneId);
    const known = await payments.listReversals(trx, accountId, [paymentId]);
    if (known.some(({ id }) => id === record.id)) return false;
    const returned = kind === "payout" ? ("returned_payout" as const) : ("failed_refund" as const);
    const sum = { amountCents, currency, takenCents: amountCents };
    const reversal = { id: record.id, kind: returned, status: "returned", final: true, ...sum };
    await payments.saveReversal(trx, { accountId, paymentId }, reversal, { now, observedAt: now });
    const events =
      kind === "payout"
        ? await takeBack(trx, payment, milestone, now)
        : await giveCredits(trx, payment, milestone, now);
    const to = await restingPlace(trx, payment);
    const outcome = (approval: MailedApproval): Outcome => {
      const money = { payee: payeeOf(approval), amountCents, currency };
      return kind === "payout" ? { kind: "returned", to, ...money } : { kind: "refund failed", ...money };
    };
    await mailOutcome(trx, config, payment, outcome, now, { confirmed: false });
    const data = { paymentId, milestoneId, kind: returned, amountCents, currency };
    events.push({ type: "payment.reversed", resourceId: paymentId, jobId: milestone.jobId, data });
    await appendEvents(trx, accountId, events, now);
    return true;
  });
}

async function restingPlace(
  trx: Trx,
  payment: payments.PaymentRow,
): Promise<"escrow" | "credits" | "nobody"> {
  const { heldCents, creditedCents } = await readResting(trx, payment);
  if (heldCents > 0) return "escrow";
  return creditedCents > 0 ? "credits" : "nobody";
}

/** Holds a returned payout again, as if it had not been sent, if a card had funded it and the contract goes on. */
async function takeBack(
  trx: Trx,
  payment: payments.PaymentRow,
  milestone: HeldMilestone,
  now: Date,
): Promise<AnyEvent[]> {
  const { accountId, id: paymentId, milestoneId, currency, sourcePaymentId } = payment;
  const returned = await returnMilestone(trx, accountId, milestoneId, now);
  if (!returned) return giveCredits(trx, payment, milestone, now);
  const { lines, heldCents } = await returnedLines(trx, payment);
  await payments.insertMovement(trx, { accountId, id: newId(), paymentId, currency, lines }, now);
  const held = milestoneEvent(milestone, "ACTIVE_FUNDED");
  // It could be neither released nor refunded: an ended contract and a closed hold never open again.
  if (heldCents === 0 || sourcePaymentId === null || milestone.contractStatus === "ended") {
    await refundMilestone(trx, accountId, milestoneId, now);
    await creditRest(trx, { ...milestone, ...payment }, now);
    return [held, milestoneEvent(milestone, "REFUNDED")];
  }
  const ended = await endPendingEnd(trx, accountId, milestone, now);
  return [held, ...ended.map(toExpiredEvent)];
}

async function giveCredits(
  trx: Trx,
  payment: payments.PaymentRow,
  milestone: HeldMilestone,
  now: Date,
): Promise<AnyEvent[]> {
  await refundToCredits(trx, { ...milestone, ...payment }, PROCESSOR, now);
  await settleLoss(trx, payment, now);
  return [];
}
