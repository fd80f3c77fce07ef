import { sendRefusalOf } from "../billing/decline-rules.ts";
import * as payments from "../billing/payment-service.ts";
import type { Outgoing, SentRecord } from "../billing/processor.ts";
import { readClock } from "../database/clock.ts";
import { addSeconds } from "../lib/time.ts";
import {
  type Attempt,
  InDoubt,
  KEYS_A_TURN,
  keyOf,
  OPEN,
  type Outcome,
  type PaymentDeps,
  pass,
  step,
} from "./step-service.ts";
import { isOverdue } from "./store.ts";
import { type Halt, SubmissionHeld, submitOutgoing } from "./submission-service.ts";

/** The processor keeps keys for a day. A request repeated under a key that it has forgotten would move money twice. */
const KEY_KEPT_SECONDS = 23 * 60 * 60;

/**
 * Advances a payout or a refund as far as it goes. There is no prepare step: a sent request is found by its metadata.
 * If nothing is found, it is sent, under the same key while the processor keeps it.
 * @param halt what forbids submitting now
 * @throws what the processor threw: the outcome is unknown
 */
export async function driveOutgoing(
  deps: PaymentDeps,
  attempt: Attempt,
  halt: Halt | undefined,
): Promise<Outcome> {
  const { payment } = attempt;
  for (let turn = 1; turn <= KEYS_A_TURN; turn++) {
    const found = await findSent(deps, attempt);
    if (found !== undefined) return toOutcome(payment, found);
    if (payment.status === "created") {
      const refused = await submit(deps, attempt);
      if (refused !== undefined) return refused;
    } else if (halt !== undefined) throw new SubmissionHeld(`nothing is sent: ${halt}`);
    else if (await hasKeyExpired(deps, payment)) await useNextKey(deps, attempt);
    const { accountId, body } = payment;
    const request = { accountId, key: keyOf(payment), body };
    const sent = await pass(deps, "call-send", () => outgoingOf(deps, payment).send(request));
    if (sent.status === "sent") return toOutcome(payment, sent.record);
    if (sent.status === "refused") return sent;
    // The processor also stores the answer "balance too low" under a key.
    await useNextKey(deps, attempt);
    if (sent.status === "waiting")
      throw new SubmissionHeld("the processor's balance does not hold enough yet");
  }
  throw new Error("the processor has had every key");
}

/** Cancels an attempt that was never submitted. A submitted one cannot be cancelled. */
export async function cancelOutgoing(deps: PaymentDeps, attempt: Attempt): Promise<Outcome> {
  if (attempt.payment.status === "created") return sendRefusalOf("canceled");
  const found = await findSent(deps, attempt);
  return found === undefined ? { status: "processing" } : toOutcome(attempt.payment, found);
}

function outgoingOf({ processor }: PaymentDeps, { kind }: payments.PaymentRow): Outgoing {
  return kind === "payout" ? processor.payouts : processor.refunds;
}

async function submit(deps: PaymentDeps, attempt: Attempt): Promise<Outcome | undefined> {
  const written = await submitOutgoing(deps, attempt);
  if (written === "disputed") return sendRefusalOf("payment_disputed");
  const { accountId, approvalId } = attempt.payment;
  // As for a charge: no payout is sent days after the confirmation.
  if (written === "frozen" || (written === "paused" && (await isOverdue(deps.db, accountId, approvalId))))
    return sendRefusalOf("canceled");
  if (written === "paused") throw new SubmissionHeld("payments are paused");
  attempt.payment.status = "submitted";
  attempt.payment.keyUsedAt = await readClock(deps.db);
  return undefined;
}

async function hasKeyExpired({ db }: PaymentDeps, { keyUsedAt }: payments.PaymentRow): Promise<boolean> {
  return keyUsedAt !== null && addSeconds(keyUsedAt, KEY_KEPT_SECONDS) <= (await readClock(db));
}

async function useNextKey(deps: PaymentDeps, attempt: Attempt): Promise<void> {
  const { payment } = attempt;
  const keyNumber = payment.keyNumber + 1;
  await step(deps, "write-key", attempt, { from: OPEN, to: "submitted", keyNumber, keyUsed: true });
  payment.keyNumber = keyNumber;
  payment.status = "submitted";
  payment.keyUsedAt = await readClock(deps.db);
}

/**
 * Searches what the processor has sent for this milestone: this attempt's request, or one that no attempt here has,
 * because the database may have lost the last commits. That one is adopted.
 * @throws InDoubt if a person must look
 */
async function findSent(deps: PaymentDeps, attempt: Attempt): Promise<SentRecord | undefined> {
  const { payment } = attempt;
  const { accountId, milestoneId, sourcePaymentId } = payment;
  const source =
    sourcePaymentId === null
      ? undefined
      : await payments.findPayment(deps.db, { accountId, id: sourcePaymentId });
  const of = { accountId, milestoneId, sourceIntentId: source?.intentId ?? null };
  const listed = await pass(deps, "call-search", () => Array.fromAsync(outgoingOf(deps, payment).list(of)));
  const named = listed.filter((one) => one.accountId === accountId && one.milestoneId === milestoneId);
  const own = named.filter(({ attemptId }) => attemptId === payment.id);
  const live = named.filter(({ state }) => state.status !== "refused");
  const [first, second] = live;
  if (second !== undefined)
    throw new InDoubt("the processor holds more than one such payment of the milestone");
  // Of those that were returned, the last one of this attempt says its state.
  if (first === undefined) return own.find(({ id }) => id === payment.sentId) ?? own.at(-1);
  if (first.attemptId !== payment.id) await adopt(deps, attempt, first);
  return first;
}

async function adopt(deps: PaymentDeps, attempt: Attempt, record: SentRecord): Promise<void> {
  const { accountId, amountCents, currency } = attempt.payment;
  const known = record.attemptId !== null && (await payments.isAttempt(deps.db, accountId, record.attemptId));
  if (known) throw new InDoubt("another attempt has moved the milestone's money");
  if (record.amountCents !== amountCents || record.currency !== currency || record.returnedCents > 0)
    throw new InDoubt("what was sent for the milestone is not of this amount, or came back in part");
  await step(deps, "write-submitted", attempt, { from: OPEN, to: "submitted", keyUsed: true });
}

/** @throws InDoubt if the processor has something else than what was requested */
function toOutcome(payment: payments.PaymentRow, record: SentRecord): Outcome {
  if (record.amountCents !== payment.amountCents || record.currency !== payment.currency)
    throw new InDoubt("what was sent is not of the amount that was confirmed");
  // The booking reads the id from this row.
  payment.sentId = record.id;
  return record.state.status === "pending" ? { status: "pending", sentId: record.id } : record.state;
}
