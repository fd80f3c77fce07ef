import { setTimeout as delay } from "node:timers/promises";
import * as payments from "../billing/payment-service.ts";
import { readClock } from "../database/clock.ts";
import { inTransaction } from "../database/transaction.ts";
import { Problem } from "../lib/problems.ts";
import { SECOND } from "../lib/time.ts";
import { countPaymentStep } from "../metrics/metrics.ts";
import { type Actor, holdActor } from "../sign-in/service.ts";
import { LeaseLost, tellInDoubt } from "./booking.ts";
import { bookCharge } from "./charge-booking.ts";
import { cancelCharge, driveCharge, stopCharge } from "./charge-service.ts";
import { cancelOutgoing, driveOutgoing } from "./outgoing-service.ts";
import { bookPayout } from "./payout-booking.ts";
import { bookRefund, bookRefusedRefund } from "./refund-booking.ts";
import { bookRefusal } from "./refusal-booking.ts";
import {
  type Attempt,
  InDoubt,
  isOpen,
  logFieldsOf,
  newLease,
  OPEN,
  type Outcome,
  type PaymentDeps,
  pass,
  wait,
} from "./step-service.ts";
import { hasSignerLeft, listExecutingOf } from "./store.ts";
import { findHalt, SubmissionHeld } from "./submission-service.ts";

export { isOpen, type PaymentDeps, shortenWaits } from "./step-service.ts";

/** How often, in milliseconds, and how many times a waiting request checks whether another process has the outcome. */
const LOOK = { every: 250, times: 12 };
/** How long a request advances the attempts of an approval, and how many at a time. The sweep does the rest. */
const REQUEST = { within: 10 * SECOND, atOnce: 5 };

/** The bookings of each kind of attempt. */
const BOOKINGS = {
  charge: { success: bookCharge, refusal: bookRefusal },
  payout: { success: bookPayout, refusal: bookRefusal },
  refund: { success: bookRefund, refusal: bookRefusedRefund },
} as const;

/**
 * Advances an attempt of any kind as far as it goes. The web request, the sweep and the processor's webhook all call
 * it (docs/design.md, Paying).
 * @returns false if another process holds the lease, or if the attempt is decided: nothing was done
 * @throws what the processor or the database threw; the sweep then reads the attempt again
 */
export async function advancePayment(deps: PaymentDeps, key: payments.PaymentKey): Promise<boolean> {
  const now = await readClock(deps.db);
  const lease = newLease(now);
  const payment = await pass(deps, "take-lease", () => payments.takeLease(deps.db, key, lease, now));
  if (payment === undefined) return false;
  await drive(deps, { payment, leaseId: lease.id });
  return true;
}

/**
 * Advances an attempt for a person who waits for the outcome. If another process holds the lease, waits up to 3
 * seconds for it.
 * @throws as `advancePayment`
 */
export async function advanceAndWait(deps: PaymentDeps, key: payments.PaymentKey): Promise<void> {
  for (let look = 1; look <= LOOK.times; look++) {
    if (await advancePayment(deps, key)) return;
    const row = await payments.findPayment(deps.db, key);
    if (row === undefined || !isOpen(row)) return;
    await delay(LOOK.every);
  }
}

/**
 * Advances the open attempts of an approval for up to 10 seconds. There may be hundreds; the sweep advances the rest.
 * @throws the first error, after all attempts have been tried
 */
export async function advanceAll(deps: PaymentDeps, accountId: string, approvalId: string): Promise<void> {
  const end = Date.now() + REQUEST.within;
  const rest = await payments.listOpenPayments(deps.db, accountId, approvalId);
  const failures: unknown[] = [];
  const worker = async (): Promise<void> => {
    for (let next = rest.shift(); next !== undefined && Date.now() < end; next = rest.shift())
      await advancePayment(deps, next).catch((error: unknown) => failures.push(error));
  };
  await Promise.all(Array.from({ length: REQUEST.atOnce }, worker));
  if (failures.length > 0) throw failures[0];
}

/**
 * Cancels an attempt that waits for the person, or was never submitted. If the processor says that the money has
 * moved meanwhile, books it.
 * @param actor the person who cancels; absent: the service
 * @throws Problem payment_in_progress while another process holds the lease; as `holdActor`
 */
export async function cancelPayment(
  deps: PaymentDeps,
  key: payments.PaymentKey,
  actor?: Actor,
): Promise<void> {
  const { payment, lease } = await pass(deps, "take-lease", () =>
    inTransaction(deps.db, async (trx, now) => {
      const account = { id: key.accountId, may: "decide" } as const;
      if (actor !== undefined) await holdActor(trx, actor, { account }, now);
      const lease = newLease(now);
      return { lease, payment: await payments.takeLease(trx, key, lease, now) };
    }),
  );
  if (payment === undefined) {
    const row = await payments.findPayment(deps.db, key);
    if (row !== undefined && isOpen(row)) throw new Problem("payment_in_progress");
    return;
  }
  const attempt = { payment, leaseId: lease.id };
  await guarded(deps, attempt, () => cancel(deps, attempt));
}

/**
 * Cancels the unpaid attempts that a person has confirmed, because they may no longer decide. Books what has moved
 * meanwhile; the sweep handles what cannot be cancelled now.
 * @param userId null: the person never signed in
 */
export async function voidSignatures(
  deps: PaymentDeps,
  accountId: string,
  userId: string | null,
): Promise<void> {
  if (userId === null) return;
  for (const approvalId of await listExecutingOf(deps.db, accountId, userId))
    await advanceAll(deps, accountId, approvalId).catch(() => {});
}

/** Drives an attempt as far as it goes, under the lease that it has. */
export function drive(deps: PaymentDeps, attempt: Attempt): Promise<void> {
  const { payment } = attempt;
  return guarded(deps, attempt, async () => {
    if (await hasSignerLeft(deps.db, payment.accountId, payment.id)) {
      const given = await cancel(deps, attempt);
      if (given.status !== "processing" || payment.kind === "charge") return given;
    }
    const halt = await findHalt(deps.db, payment.accountId);
    if (payment.kind !== "charge") return driveOutgoing(deps, attempt, halt);
    return payment.status === "created" && halt !== undefined
      ? stopCharge(deps, payment, halt)
      : driveCharge(deps, attempt, halt);
  });
}

function cancel(deps: PaymentDeps, attempt: Attempt): Promise<Outcome> {
  return attempt.payment.kind === "charge"
    ? cancelCharge(deps, attempt.payment)
    : cancelOutgoing(deps, attempt);
}

/** Books the outcome that `work` returns. If it throws, the attempt is in doubt and is read again soon. */
async function guarded(deps: PaymentDeps, attempt: Attempt, work: () => Promise<Outcome>): Promise<void> {
  try {
    await settle(deps, attempt, await work());
  } catch (error) {
    if (error instanceof LeaseLost) return;
    if (error instanceof InDoubt) await tellInDoubt(deps.db, attempt.payment);
    const doubtful = await noteDoubt(deps, attempt);
    if (!doubtful || error instanceof SubmissionHeld) return;
    countPaymentStep(attempt.payment.kind, "failed");
    const fields = { ...logFieldsOf(deps, attempt.payment), err: error };
    if (error instanceof InDoubt) deps.logger?.error({ alert: "payment_in_doubt", ...fields }, error.message);
    else deps.logger?.warn(fields, "a payment could not be advanced; it will be tried again");
    throw error;
  }
}

async function settle(deps: PaymentDeps, attempt: Attempt, outcome: Outcome): Promise<void> {
  await writeOutcome(deps, attempt, outcome);
  const { payment } = attempt;
  countPaymentStep(payment.kind, outcome.status);
  const code = outcome.status === "refused" ? { code: outcome.code } : {};
  deps.logger?.info(
    { ...logFieldsOf(deps, payment), outcome: outcome.status, ...code },
    `payment ${outcome.status}`,
  );
}

async function writeOutcome(deps: PaymentDeps, attempt: Attempt, outcome: Outcome): Promise<void> {
  const { payment, leaseId } = attempt;
  switch (outcome.status) {
    case "succeeded":
      return pass(deps, "write-success", () => BOOKINGS[payment.kind].success(deps, payment, leaseId));
    case "refused":
      return pass(deps, "write-refusal", () =>
        BOOKINGS[payment.kind].refusal(deps, payment, leaseId, outcome),
      );
    case "action_required": {
      const { actionUrl } = outcome;
      return wait(deps, "write-action-required", attempt, { from: OPEN, to: "action_required", actionUrl });
    }
    case "pending": {
      const { sentId } = outcome;
      return wait(deps, "write-sent", attempt, { from: OPEN, to: "submitted", sentId });
    }
    default:
      return wait(deps, "write-unknown", attempt, { from: OPEN, to: "unknown" });
  }
}

/**
 * Releases the lease on an attempt whose outcome is unknown; one that was never submitted stays `created`.
 * @returns whether it is in doubt; `false` if another process took over the expired lease and decided it
 */
async function noteDoubt(deps: PaymentDeps, attempt: Attempt): Promise<boolean> {
  const row = await payments.findPayment(deps.db, attempt.payment).catch(() => undefined);
  if (row === undefined) return true;
  if (!isOpen(row)) return false;
  const to = row.status === "created" ? "created" : "unknown";
  await wait(deps, "write-unknown", attempt, { from: [row.status], to }).catch(() => {});
  return true;
}
