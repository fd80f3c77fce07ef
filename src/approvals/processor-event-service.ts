import type { Logger } from "pino";
import { findTopUpOf, followTopUp } from "../billing/checkout-service.ts";
import * as payments from "../billing/payment-service.ts";
import type { ProcessorEvent } from "../billing/processor.ts";
import { keepSetUpCard } from "../billing/service.ts";
import type { TopUpKey } from "../billing/top-up-service.ts";
import { readClock } from "../database/clock.ts";
import { isUuid } from "../lib/ids.ts";
import { addSeconds, DAY_SECONDS, HOUR_SECONDS } from "../lib/time.ts";
import { advancePayment, isOpen, type PaymentDeps } from "./advance-service.ts";
import { bookReturn } from "./return-booking.ts";
import { bookReversals } from "./reversal-booking.ts";

export type ProcessorEventDeps = PaymentDeps & { logger: Logger };

/** For so long the process that received an event handles it; then the sweep takes over. */
const OWN_SECONDS = 60;
const RETRY_SECONDS = { first: 5, atMost: HOUR_SECONDS };
/** The processor repeats an event for days, and people can resend it for a month. */
const KEPT_SECONDS = 35 * DAY_SECONDS;
const BATCH = 20;
const PAID = "payment_intent.succeeded";

/**
 * Receives an event of the processor: records it, then handles it. A repeated event does nothing. If handling fails
 * after it was recorded, the sweep tries again, so the processor need not resend it.
 * @throws what the database threw: then nothing is recorded
 */
export async function receiveProcessorEvent(deps: ProcessorEventDeps, event: ProcessorEvent): Promise<void> {
  const now = await readClock(deps.db);
  const dueAt = addSeconds(now, OWN_SECONDS);
  if (await payments.insertProcessorEvent(deps.db, event, { now, dueAt })) await handle(deps, event);
}

/** Shortens waits that a clock set back has made too long. Several processes may run it at once. */
export function shortenEventWaits({ db }: ProcessorEventDeps): Promise<void> {
  return payments.shortenEventWaits(db, RETRY_SECONDS.atMost);
}

/** Handles recorded events whose handling failed. Several processes may run it at once. */
export async function sweepProcessorEvents(deps: ProcessorEventDeps): Promise<void> {
  const now = await readClock(deps.db);
  for (const event of await payments.listDueEvents(deps.db, now, BATCH)) {
    const wait = Math.min(RETRY_SECONDS.first * 2 ** event.attempts, RETRY_SECONDS.atMost);
    const taken = await payments.takeEvent(deps.db, event, { now, dueAt: addSeconds(now, wait) });
    if (taken) await handle(deps, event);
  }
}

/** Deletes events that were handled so long ago that they are not sent again. */
export async function forgetProcessorEvents({ db }: PaymentDeps): Promise<void> {
  await payments.deleteHandledEvents(db, addSeconds(await readClock(db), -KEPT_SECONDS));
}

async function handle(deps: ProcessorEventDeps, event: ProcessorEvent): Promise<void> {
  try {
    if (!(await attend(deps, event))) return;
    await payments.markEventHandled(deps.db, event.id, await readClock(deps.db));
  } catch (error) {
    const said = "an event of the processor's could not be handled; it will be tried again";
    deps.logger.warn({ err: error, eventId: event.id, type: event.type }, said);
  }
}

/** Handles an event by the current state of its subject. `false`: it is too early. */
async function attend(deps: ProcessorEventDeps, event: ProcessorEvent): Promise<boolean> {
  if (event.setupId !== null) await keepSetUpCard(deps, event.setupId);
  if (event.sessionId !== null) await attendTopUp(deps, await findTopUpOf(deps, event.sessionId));
  if (event.sent !== null) await attendSent(deps, event.sent);
  if (event.intentId === null) return true;
  const payment = await findSubject(deps, event, event.intentId);
  if (payment === undefined) return true;
  await advancePayment(deps, payment);
  if (payment.status === "refused" && event.type === PAID) alertUnbooked(deps, event.intentId);
  if (!tellsOfReversal(event)) return true;
  const advanced = await payments.findPayment(deps.db, payment);
  if (advanced === undefined || isOpen(advanced)) return false;
  if (advanced.status === "succeeded") await alertReversals(deps, advanced);
  return true;
}

/** Advances the payout or refund of an event, or books its return. */
async function attendSent(
  deps: ProcessorEventDeps,
  { kind, id }: NonNullable<ProcessorEvent["sent"]>,
): Promise<void> {
  const { db, processor, logger } = deps;
  const record = await (kind === "payout" ? processor.payouts : processor.refunds).find(id);
  const { accountId, attemptId } = record ?? {};
  if (record === undefined || accountId == null || attemptId == null || !isUuid(attemptId)) return;
  const key = { accountId, id: attemptId };
  const payment = await payments.findPayment(db, key);
  if (payment === undefined) return;
  if (isOpen(payment)) {
    await advancePayment(deps, key);
    return;
  }
  if (payment.status !== "succeeded" || payment.sentId !== id || record.returnedCents === 0) return;
  const whole = record.returnedCents === record.amountCents;
  const details = { alert: `${kind}_returned`, ...key, sentId: id, returnedCents: record.returnedCents };
  if (!whole) logger.error(details, "a part of something that was sent has come back: a person must look");
  else if (await bookReturn(deps, payment, record))
    logger.error(details, "something that was sent has come back after it had succeeded");
}

/**
 * The payment of an intent. Refunds and disputes do not name the account, so the processor is asked; also about a
 * success that no payment here has.
 */
async function findSubject(
  deps: ProcessorEventDeps,
  { type, accountId }: ProcessorEvent,
  intentId: string,
): Promise<payments.PaymentRow | undefined> {
  const at = (account: string) => payments.findPaymentByIntent(deps.db, account, intentId);
  const found = accountId === null ? undefined : await at(accountId);
  if (found !== undefined || (accountId !== null && type !== PAID)) return found;
  const record = await deps.processor.findIntent(intentId);
  const payment = record?.accountId ? await at(record.accountId) : undefined;
  if (record?.accountId && record.topUpId !== null) {
    await attendTopUp(deps, { accountId: record.accountId, id: record.topUpId });
    return undefined;
  }
  if (payment === undefined && record?.state.status === "succeeded") alertUnbooked(deps, intentId);
  return payment;
}

async function attendTopUp(deps: ProcessorEventDeps, key: TopUpKey | undefined): Promise<void> {
  if (key === undefined) return;
  const found = await followTopUp(deps, key);
  const details = { accountId: key.accountId, topUpId: key.id };
  if (found === "twice")
    deps.logger.error({ alert: "top_up_paid_twice", ...details }, "a top-up was paid on two pages");
  if (found === "gone")
    deps.logger.error(
      { alert: "top_up_reversed", ...details },
      "money of a top-up goes back from the processor's side",
    );
}

function alertUnbooked({ logger }: ProcessorEventDeps, intentId: string): void {
  const said = "the processor was paid for something that our books do not hold as paid";
  logger.error({ alert: "charge_not_booked", intentId }, said);
}

function tellsOfReversal({ type }: ProcessorEvent): boolean {
  return /^(charge\.(refund|dispute)|refund\.)/.test(type);
}

async function alertReversals(deps: ProcessorEventDeps, payment: payments.PaymentRow): Promise<void> {
  const { accountId, id: paymentId, approvalId } = payment;
  for (const { id: reversalId, kind, status, takenCents } of await bookReversals(deps, payment)) {
    const alert = kind === "refund" ? "payment_refunded" : "payment_disputed";
    const details = { alert, accountId, approvalId, paymentId, reversalId, status, takenCents };
    deps.logger.error(details, "money of a payment goes back from the processor's side");
  }
}
