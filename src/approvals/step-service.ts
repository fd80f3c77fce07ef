import type { Logger } from "pino";
import { atBoundary, type Boundary, type BoundaryObserver } from "../billing/boundaries.ts";
import { LOOK_AGAIN_AT_MOST, lookAgainIn } from "../billing/look-rules.ts";
import * as payments from "../billing/payment-service.ts";
import type { Processor, Refusal } from "../billing/processor.ts";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { newId } from "../lib/ids.ts";
import { addSeconds } from "../lib/time.ts";
import type { MailConfig } from "../mail/service.ts";
import { LeaseLost, writeWaiting } from "./booking.ts";

export type PaymentDeps = {
  db: Db;
  processor: Processor;
  config: MailConfig;
  boundaries?: BoundaryObserver | undefined;
  /** Told what becomes of each attempt. */
  logger?: Logger | undefined;
  /** Of the request that advances the attempt, if one does. */
  requestId?: string | undefined;
};

export type Attempt = { payment: payments.PaymentRow; leaseId: string };

/** The outcome of an attempt, by what the processor says. `pending`: it was sent and may still be returned. */
export type Outcome =
  | { status: "succeeded" }
  | { status: "action_required"; actionUrl: string }
  | { status: "processing" }
  | { status: "unconfirmed" }
  | { status: "pending"; sentId: string }
  | Refusal;

/** The processor's records do not fit ours: a person must look (docs/operations.md). */
export class InDoubt extends Error {
  override name = "InDoubt";
}

/** How many numbered keys are tried at once. A key may be taken by another request, or by a failure. */
export const KEYS_A_TURN = 5;
/** `created` may have been submitted: the database may have lost that commit. */
export const OPEN = ["created", "submitted", "unknown", "action_required"] as const;

/**
 * How long a process may call the processor before another takes over, in seconds: longer than the calls last,
 * shorter than the minute within which an attempt must be out of doubt after a crash.
 */
const LEASE_SECONDS = 40;

/** Shortens waits that a clock set back has made too long. Several processes may run it at once. */
export function shortenWaits({ db }: PaymentDeps): Promise<void> {
  return payments.shortenPaymentWaits(db, { leaseSeconds: LEASE_SECONDS, waitSeconds: LOOK_AGAIN_AT_MOST });
}

/** A new lease. Taken before the processor is called. */
export function newLease(now: Date): payments.Lease {
  return { id: newId(), until: leaseEnd(now) };
}

/** When a lease taken at `now` expires. */
export function leaseEnd(now: Date): Date {
  return addSeconds(now, LEASE_SECONDS);
}

/** The idempotency key of the attempt at the processor. */
export function keyOf({ kind, accountId, milestoneId, keyNumber }: payments.PaymentRow): string {
  return `${kind}:${accountId}:${milestoneId}:${keyNumber}`;
}

/** Whether an attempt is undecided. */
export function isOpen({ status }: payments.PaymentRow): boolean {
  return status !== "succeeded" && status !== "refused";
}

/** What every log line about an attempt says of it (docs/operations.md, Logs). */
export function logFieldsOf({ requestId }: Pick<PaymentDeps, "requestId">, payment: payments.PaymentRow) {
  const { accountId, approvalId, milestoneId, id: paymentId, kind, amountCents, currency } = payment;
  const processorId = payment.intentId ?? payment.sentId;
  return {
    ...(requestId !== undefined && { reqId: requestId }),
    ...{
      accountId,
      approvalId,
      milestoneId,
      paymentId,
      kind,
      attempt: payment.keyNumber,
      amountCents,
      currency,
    },
    ...(processorId !== null && { processorId }),
  };
}

export function pass<T>({ boundaries }: PaymentDeps, boundary: Boundary, work: () => Promise<T>): Promise<T> {
  return atBoundary({ boundaries }, boundary, work);
}

type Change = Omit<Parameters<typeof payments.stepPayment>[3], "now" | "dueAt" | "release">;

/** Writes a step of an attempt under its lease, which it keeps. @throws LeaseLost */
export async function step(
  deps: PaymentDeps,
  boundary: Boundary,
  { payment, leaseId }: Attempt,
  change: Change,
): Promise<void> {
  const now = await readClock(deps.db);
  const held = await pass(deps, boundary, () =>
    payments.stepPayment(deps.db, payment, leaseId, { ...change, now, dueAt: leaseEnd(now) }),
  );
  if (!held) throw new LeaseLost();
}

/**
 * Records that an attempt is in progress and releases its lease. Appends the feed's event the first time.
 * @throws LeaseLost
 */
export async function wait(
  deps: PaymentDeps,
  boundary: Boundary,
  { payment, leaseId }: Attempt,
  change: Change,
): Promise<void> {
  const now = await readClock(deps.db);
  const dueAt = addSeconds(now, lookAgainIn(payment.createdAt, now));
  await pass(deps, boundary, () => writeWaiting(deps.db, payment, leaseId, { ...change, now, dueAt }));
}
