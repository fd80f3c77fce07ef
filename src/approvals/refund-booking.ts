import { refundToCredits } from "../billing/credit-service.ts";
import { goesToCredits } from "../billing/decline-rules.ts";
import * as payments from "../billing/payment-service.ts";
import { endContract, type HeldMilestone, holdMilestone, refundMilestone } from "../contracts/service.ts";
import type { Trx } from "../database/connection.ts";
import { inTransaction, together } from "../database/transaction.ts";
import { appendEvents } from "../events/service.ts";
import { newId } from "../lib/ids.ts";
import { sumOf } from "../lib/statement.ts";
import type { MailConfig } from "../mail/service.ts";
import { linkDecision } from "../receipts/service.ts";
import {
  type AnyEvent,
  approvalEvent,
  type BookingDeps,
  decidePayment,
  heldFor,
  milestoneEvent,
  refusedEvent,
  toExpiredEvent,
} from "./booking.ts";
import * as escrow from "./escrow-store.ts";
import { outgoingLines, readResting } from "./loss-booking.ts";
import { type MailedApproval, mailOutcome, type Outcome } from "./outcome-mail-service.ts";
import * as store from "./store.ts";

/**
 * Books a refund that succeeded: the milestone is refunded, whatever happens to the contract's others. The last one
 * ends the contract.
 * @throws LeaseLost
 */
export async function bookRefund(
  { db, config }: BookingDeps,
  payment: payments.PaymentRow,
  leaseId: string,
): Promise<void> {
  const { accountId, currency, sentId } = payment;
  if (sentId === null) throw new TypeError("what has gone back has an id");
  await inTransaction(db, async (trx) => {
    const { now, milestone, events } = await beginBooking(trx, payment);
    await decidePayment(trx, payment, leaseId, { to: "succeeded", sentId }, now);
    const lines = await outgoingLines(trx, payment);
    const movement = { accountId, id: newId(), paymentId: payment.id, currency, lines };
    await payments.insertMovement(trx, movement, now);
    events.push(...(await writeRefund(trx, payment, milestone, { sentTo: "card", refundId: sentId }, now)));
    await settleEnd(trx, config, payment, milestone, events, now);
  });
}

/**
 * Books a refused refund. Money that no bank accepts goes to the account's credits, as the signed statement says;
 * money under a dispute or an earlier refund stays.
 * @throws LeaseLost
 */
export async function bookRefusedRefund(
  { db, config }: BookingDeps,
  payment: payments.PaymentRow,
  leaseId: string,
  { code, message }: { code: string; message: string },
): Promise<void> {
  const { milestoneId } = payment;
  await inTransaction(db, async (trx) => {
    const { now, milestone, events } = await beginBooking(trx, payment);
    await decidePayment(trx, payment, leaseId, { to: "refused", refusal: { code, message } }, now);
    events.push(refusedEvent(payment, code));
    // A bank may have taken a part of it meanwhile.
    const amountCents = Math.min(payment.amountCents, (await readResting(trx, payment)).heldCents);
    if (goesToCredits(code) && amountCents > 0) {
      const money = { ...payment, ...milestone, milestoneId, amountCents };
      const { entryId: refundId } = await refundToCredits(trx, money, heldFor(milestoneId), now);
      const refund = { sentTo: "credits", refundId } as const;
      events.push(...(await writeRefund(trx, money, milestone, refund, now)));
    }
    await settleEnd(trx, config, payment, milestone, events, now);
  });
}

type Booking = { now: Date; milestone: HeldMilestone; events: AnyEvent[] };

/** Locks the contract exclusively, so that one refund at a time checks whether it is the last. */
async function beginBooking(trx: Trx, payment: payments.PaymentRow): Promise<Booking> {
  const { accountId, approvalId, milestoneId } = payment;
  const [now, milestone] = await together(
    payments.readClockAfter(trx, payment),
    holdMilestone(trx, accountId, milestoneId, { alone: true }),
    escrow.holdApproval(trx, accountId, approvalId),
  );
  return { now, milestone, events: [] };
}

type Ending = { accountId: string; approvalId: string };

/** Marks a milestone as refunded and records where its money went. @returns the events to append */
export async function writeRefund(
  trx: Trx,
  { accountId, approvalId, amountCents }: Ending & { amountCents: number },
  milestone: HeldMilestone,
  { sentTo, refundId }: { sentTo: "card" | "credits"; refundId: string },
  now: Date,
): Promise<AnyEvent[]> {
  const { id: milestoneId } = milestone;
  const reason = { reason: "milestone_not_funded", now };
  const [refunded, ended] = await together(
    refundMilestone(trx, accountId, milestoneId, now),
    store.endPending(trx, accountId, { milestoneId }, reason),
  );
  if (!refunded) throw new TypeError("a milestone that is being refunded is funded");
  const refund = { accountId, approvalId, milestoneId, sentTo, refundId, amountCents };
  await together(
    escrow.insertRefund(trx, refund, now),
    payments.markInvoiceRefunded(trx, accountId, milestoneId),
  );
  return [milestoneEvent(milestone, "REFUNDED"), ...ended.map(toExpiredEvent)];
}

/**
 * Finishes a contract's end once none of its refunds is open. If all succeeded and no payout came back meanwhile, it is
 * confirmed and the contract ends. Otherwise the refunded milestones stay refunded, and the rest needs a new request, unless
 * the approval still says what is left. The
 * caller has locked the contract exclusively.
 */
export async function settleEnd(
  trx: Trx,
  config: MailConfig,
  { accountId, approvalId }: Ending,
  { contractId, jobId }: { contractId: string; jobId: string },
  events: AnyEvent[],
  now: Date,
): Promise<void> {
  const { open, wanted, refunds } = await escrow.readProgress(trx, accountId, approvalId);
  if (open > 0) return void (await appendEvents(trx, accountId, events, now));
  const approval = { id: approvalId, jobId };
  const returned = await escrow.isHeldAgain(trx, accountId, contractId);
  if (refunds.length === wanted && !returned) {
    await store.confirmExecuted(trx, accountId, approvalId, { contractEnded: true, refunds }, now);
    const ended = await store.endPending(trx, accountId, { contractId }, { reason: "contract_ended", now });
    await endContract(trx, accountId, contractId, now);
    await mailOutcome(trx, config, { accountId, approvalId }, toEnded(refunds), now);
    events.push(...ended.map(toExpiredEvent), approvalEvent(approval, "confirmed"));
    await appendEvents(trx, accountId, events, now);
    await linkDecision(trx, accountId, approvalId, now);
    return;
  }
  const expired = (await escrow.haveTermsChanged(trx, accountId, approvalId))
    ? await store.endExecuting(trx, accountId, approvalId, { reason: "terms_changed" }, now)
    : await store.releaseExecuting(trx, accountId, approvalId, now);
  const toOutcome = ({ contractTitle: contract }: MailedApproval) =>
    ({ kind: "partly ended", contract, cause: refunds.length === wanted ? "returned" : "refused" }) as const;
  await mailOutcome(trx, config, { accountId, approvalId }, toOutcome, now);
  await appendEvents(trx, accountId, [...events, ...expired.map(toExpiredEvent)], now);
}

function toEnded(refunds: readonly escrow.RefundResult[]) {
  return ({ contractTitle: contract, terms }: MailedApproval): Outcome => {
    const { currency } = sumOf(terms);
    return { kind: "ended", contract, refunds: refunds.map((refund) => ({ ...refund, currency })) };
  };
}
