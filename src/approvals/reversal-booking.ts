import * as payments from "../billing/payment-service.ts";
import type { Processor, Reversal } from "../billing/processor.ts";
import { hasChanged } from "../billing/reversal-rules.ts";
import { holdMilestone, refundMilestone } from "../contracts/service.ts";
import { readClock } from "../database/clock.ts";
import type { Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { appendEvents } from "../events/service.ts";
import { newId } from "../lib/ids.ts";
import { Problem } from "../lib/problems.ts";
import {
  type BookingDeps,
  endPendingEnd,
  heldFor,
  LOSSES,
  milestoneEvent,
  PROCESSOR,
  toExpiredEvent,
} from "./booking.ts";
import { creditRest, readResting, settleLoss } from "./loss-booking.ts";
import { type MailedApproval, mailOutcome, type Outcome, payeeOf } from "./outcome-mail-service.ts";
import * as store from "./store.ts";

/** Ledger account of disputed amounts, until the dispute is decided. */
const DISPUTES = "disputes";

/**
 * Books the processor's refunds and disputes of a payment: their states, and what they have taken, in the ledger.
 * Once the full amount is gone for good, the invoice is refunded, and the milestone too unless it was paid out.
 * Idempotent, in any order.
 * @returns the reversals that have changed
 * @throws Problem payment_in_progress while another action executes on the milestone; what the processor threw
 */
export async function bookReversals(
  { db, processor, config }: BookingDeps & { processor: Processor },
  payment: payments.PaymentRow,
): Promise<Reversal[]> {
  const { intentId } = payment;
  if (intentId === null) return [];
  // Read before the call: of two answers, the one requested later is newer.
  const observedAt = await readClock(db);
  const reversals: Reversal[] = [];
  for await (const reversal of processor.listReversals({ intentId })) {
    const { attemptId } = reversal;
    // Our own refunds are attempts and are booked as such.
    const own = attemptId !== null && (await payments.isAttempt(db, payment.accountId, attemptId));
    if (!own) reversals.push(reversal);
  }
  if (reversals.length === 0) return [];
  return inTransaction(db, (trx, now) => book(trx, config, payment, { reversals, observedAt }, now));
}

async function book(
  trx: Trx,
  config: BookingDeps["config"],
  payment: payments.PaymentRow,
  { reversals, observedAt }: { reversals: readonly Reversal[]; observedAt: Date },
  now: Date,
): Promise<Reversal[]> {
  const { accountId, milestoneId } = payment;
  const milestone = await holdMilestone(trx, accountId, milestoneId);
  const known = await payments.listReversals(trx, accountId, [payment.id]);
  // An observation dated in the future was made before the clock was set back, so this one is newer.
  const isNewer = (row: payments.ReversalRow) => row.observedAt <= observedAt || row.observedAt > now;
  const changed = reversals.filter((reversal) => {
    const row = known.find(({ id }) => id === reversal.id);
    return row === undefined || (isNewer(row) && hasChanged(row, reversal));
  });
  if (changed.length === 0) return changed;
  const gone = goneCents(known, changed);
  const whole = gone >= payment.amountCents;
  // Its outcome decides whether anything is left to refund.
  if (whole && milestone.executing) throw new Problem("payment_in_progress", { milestoneId });
  const refunded = whole && (await refundMilestone(trx, accountId, milestoneId, now));
  const ended = [
    ...(await endPendingEnd(trx, accountId, milestone, now)),
    ...(refunded
      ? await store.endPending(trx, accountId, { milestoneId }, { reason: "milestone_not_funded", now })
      : []),
  ];
  if (whole) await payments.markInvoiceRefunded(trx, accountId, milestoneId);
  for (const reversal of changed) {
    await payments.saveReversal(trx, { accountId, paymentId: payment.id }, reversal, { now, observedAt });
    const before = known.find(({ id }) => id === reversal.id);
    const lines = movementLines(milestoneId, before, reversal, await readResting(trx, payment));
    const { currency } = reversal;
    const movement = { accountId, id: newId(), paymentId: payment.id, currency, lines };
    if (lines.length > 0) await payments.insertMovement(trx, movement, now);
  }
  if (refunded || milestone.status === "REFUNDED") await creditRest(trx, { ...milestone, ...payment }, now);
  await settleLoss(trx, payment, now);
  for (const reversal of changed)
    await mailOutcome(trx, config, payment, toOutcome(reversal), now, { confirmed: false });
  const events = ended.map(toExpiredEvent);
  const event = milestoneEvent(milestone, "REFUNDED");
  await appendEvents(trx, accountId, [...events, ...(refunded ? [event] : [])], now);
  return changed;
}

function toOutcome({ kind, status, amountCents, currency, final }: Reversal) {
  return (approval: MailedApproval): Outcome => {
    const money = { payee: payeeOf(approval), amountCents, currency };
    return kind === "dispute"
      ? { kind: "disputed", status, open: !final, ...money }
      : { kind: "taken back", ...money };
  };
}

/** What is gone for good once all of them are as they stand now, in cents. */
function goneCents(known: readonly payments.ReversalRow[], changed: readonly Reversal[]): number {
  const standing = new Map<string, Standing>([...known, ...changed].map((one) => [one.id, one]));
  return [...standing.values()].reduce((sum, one) => sum + finalCents(one), 0);
}

type Standing = Pick<Reversal, "takenCents" | "final">;

/**
 * The ledger lines for a reversal that goes from one state to another: what it has taken has left the processor. Once
 * final, it is taken from the milestone's held money; what was paid out before is a loss.
 * @param resting what is held for the milestone, and what of the payment is booked as lost, in cents
 * @returns no lines: nothing has moved
 */
export function movementLines(
  milestoneId: string,
  before: Standing | undefined,
  after: Standing,
  resting: { heldCents: number; lostCents: number },
): { account: string; amountCents: number }[] {
  const taken = after.takenCents - (before?.takenCents ?? 0);
  const final = finalCents(after) - finalCents(before);
  const lost =
    final > 0
      ? final - Math.min(final, Math.max(resting.heldCents, 0))
      : -Math.min(-final, resting.lostCents);
  return [
    { account: PROCESSOR, amountCents: -taken },
    { account: DISPUTES, amountCents: taken - final },
    { account: heldFor(milestoneId), amountCents: final - lost },
    { account: LOSSES, amountCents: lost },
  ].filter(({ amountCents }) => amountCents !== 0);
}

function finalCents(standing: Standing | undefined): number {
  return standing?.final ? standing.takenCents : 0;
}
