import { setTimeout as delay } from "node:timers/promises";
import { refusalOf } from "../billing/declines.ts";
import { endLostIntent, listLost, searchIntentsOf, searchLostIntents } from "../billing/lost-service.ts";
import * as payments from "../billing/payment-service.ts";
import type { IntentRecord, IntentState, Processor } from "../billing/processor.ts";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { newId } from "../lib/ids.ts";
import { Problem } from "../lib/problems.ts";
import { addSeconds, SECOND } from "../lib/time.ts";
import { type Actor, holdActor } from "../sign-in/service.ts";
import { bookRefusal, bookSuccess, LeaseLost, tellInDoubt } from "./booking.ts";
import { atBoundary, type Boundary, type BoundaryObserver } from "./boundaries.ts";
import { hasLapsed, hasSignerLeft, listExecutingOf } from "./store.ts";
import { findHalt, type Halt, SubmissionHeld, writeSubmitted } from "./submission.ts";

export type PaymentDeps = {
  db: Db;
  processor: Processor;
  config: { appName: string; publicUrl: string };
  boundaries?: BoundaryObserver | undefined;
};

/**
 * How long whoever calls the processor has before somebody else goes on, in seconds: longer than the calls may
 * last, shorter than the minute within which an attempt must be out of doubt after a crash.
 */
const LEASE_SECONDS = 40;
/** An attempt that waits is looked at again after a tenth of its age, within these bounds, in seconds. */
const LOOK_AGAIN = { share: 0.1, atLeast: 5, atMost: 600 };
/** How often, and how many times, somebody who waits for the outcome looks whether another has found it out. */
const LOOK = { every: 250, times: 12 };

/** How long a request lasts at most that looks for what was lost, in milliseconds: the sweep looks on without it. */
const SEARCH_WITHIN = 10 * SECOND;
const KEYS_A_TURN = 5;

type Attempt = { payment: payments.PaymentRow; leaseId: string };

/** A lease for whoever is about to call the processor. */
export function newLease(now: Date): payments.Lease {
  return { id: newId(), until: addSeconds(now, LEASE_SECONDS) };
}

/** Shortens what a step back of the database's clock has made wait too long. Several processes may run it at once. */
export function shortenWaits({ db }: PaymentDeps): Promise<void> {
  const { atMost: waitSeconds } = LOOK_AGAIN;
  return payments.shortenPaymentWaits(db, { leaseSeconds: LEASE_SECONDS, waitSeconds });
}

/**
 * Advances an attempt as far as it goes: the one function for the web request, the sweep and the processor's
 * webhook (DESIGN.md, Paying). Does nothing while somebody else holds its lease, or when it is decided. It
 * never resends what it does not understand: it reads the intent, and goes on from what that says.
 * @throws what the processor or the database threw; the attempt is then looked after again by the sweep
 */
export async function advancePayment(deps: PaymentDeps, key: payments.PaymentKey): Promise<void> {
  await advanceIfFree(deps, key);
}

/**
 * Advances an attempt for a person who waits for its outcome: should somebody else be at it just now, for a
 * few seconds that is waited for.
 * @throws as `advancePayment`
 */
export async function advanceAndWait(deps: PaymentDeps, key: payments.PaymentKey): Promise<void> {
  for (let look = 1; look <= LOOK.times; look++) {
    if (await advanceIfFree(deps, key)) return;
    const row = await payments.findPayment(deps.db, key);
    if (row === undefined || !isOpen(row)) return;
    await delay(LOOK.every);
  }
}

async function advanceIfFree(deps: PaymentDeps, key: payments.PaymentKey): Promise<boolean> {
  const now = await readClock(deps.db);
  const lease = newLease(now);
  const payment = await atBoundary(deps, "take-lease", () => payments.takeLease(deps.db, key, lease, now));
  if (payment === undefined) return false;
  await drive(deps, { payment, leaseId: lease.id });
  return true;
}

/** Drives an attempt that was just written, under the lease that was written with it. */
export async function driveNewPayment(
  deps: PaymentDeps,
  key: payments.PaymentKey,
  leaseId: string,
): Promise<void> {
  const payment = await payments.findPayment(deps.db, key);
  if (payment !== undefined) await drive(deps, { payment, leaseId });
}

/**
 * Gives an attempt up that waits for the human, or that was never submitted; goes by what the processor says
 * then: if the money has moved meanwhile, it is booked.
 * @param actor the person who gives it up; absent: the service does
 * @throws Problem payment_in_progress while somebody else looks at the attempt; as `holdActor`
 */
export async function cancelPayment(
  deps: PaymentDeps,
  key: payments.PaymentKey,
  actor?: Actor,
): Promise<void> {
  const { payment, lease } = await atBoundary(deps, "take-lease", () =>
    inTransaction(deps.db, async (trx) => {
      const now = await readClock(trx);
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
  await guarded(deps, { payment, leaseId: lease.id }, () => cancel(deps, payment));
}

/**
 * Gives up what a person has confirmed and what is not paid yet, as they may decide no more. What moves at this very
 * moment is booked; what cannot be given up now is by the sweep.
 * @param userId null: somebody who never signed in
 */
export async function voidSignatures(
  deps: PaymentDeps,
  accountId: string,
  userId: string | null,
): Promise<void> {
  if (userId === null) return;
  for (const approvalId of await listExecutingOf(deps.db, accountId, userId)) {
    const payment = await payments.findLatestPayment(deps.db, accountId, approvalId);
    if (payment !== undefined) await advancePayment(deps, payment).catch(() => {});
  }
}

function drive(deps: PaymentDeps, attempt: Attempt): Promise<void> {
  const { payment } = attempt;
  return guarded(deps, attempt, async () => {
    if (await hasSignerLeft(deps.db, payment.accountId, payment.id)) return cancel(deps, payment);
    const halt = await findHalt(deps.db, payment.accountId);
    if (payment.status === "created" && halt !== undefined) return stop(deps, payment, halt);
    const found = await adoptLost(deps, attempt);
    if (found !== undefined) return found;
    const prepared = payment.intentId ?? (await prepare(deps, attempt));
    if (typeof prepared !== "string") return prepared;
    const intentId = prepared;
    if (payment.status === "created") return submit(deps, attempt, intentId);
    const state = await atBoundary(deps, "call-read", () => deps.processor.read(intentId));
    if (state.status === "unconfirmed")
      return halt === undefined ? execute(deps, payment, intentId) : stop(deps, payment, halt);
    const abandoned =
      state.status === "action_required" &&
      (halt === "frozen" || (await hasLapsed(deps.db, payment.accountId, payment.approvalId)));
    return abandoned ? cancel(deps, payment) : state;
  });
}

/** Settles what `work` finds out; what it throws leaves the attempt in doubt, to be read again soon. */
async function guarded(deps: PaymentDeps, attempt: Attempt, work: () => Promise<IntentState>): Promise<void> {
  try {
    await settle(deps, attempt, await work());
  } catch (error) {
    if (error instanceof LeaseLost) return;
    if (error instanceof InDoubt) await tellInDoubt(deps.db, attempt.payment);
    const doubtful = await noteDoubt(deps, attempt);
    if (doubtful && !(error instanceof SubmissionHeld)) throw error;
  }
}

/**
 * Makes an intent, which moves nothing, and writes its id down before anything can. Otherwise: how the attempt stands without
 * one, refused as none can be made, or paid by one that was lost.
 */
async function prepare(deps: PaymentDeps, attempt: Attempt): Promise<string | IntentState> {
  const { payment } = attempt;
  const { accountId, milestoneId, body } = payment;
  for (let turn = 1; turn <= KEYS_A_TURN; turn++) {
    const key = `charge:${accountId}:${milestoneId}:${payment.keyNumber}`;
    const prepared = await atBoundary(deps, "call-prepare", () =>
      deps.processor.prepare({ accountId, key, body }),
    );
    if (prepared.status === "refused") return prepared;
    if (prepared.status === "prepared") {
      const { intentId } = prepared;
      await step(deps, "write-intent", attempt, { from: ["created"], to: "created", intentId });
      // What is booked at the end names it too.
      payment.intentId = intentId;
      return intentId;
    }
    await searchIntentsOf(deps, accountId);
    const found = await adoptLost(deps, attempt);
    if (found !== undefined) return found;
    const keyNumber = payment.keyNumber + 1;
    await step(deps, "write-key", attempt, { from: ["created"], to: "created", keyNumber });
    payment.keyNumber = keyNumber;
  }
  throw new Error("the processor has had every key");
}

/**
 * Looks for intents that name the milestone and that no payment here has: the database may have lost what was committed last.
 * One that has paid is this attempt's from now on; what could still pay is cancelled.
 * @returns how the attempt stands by it; `undefined`: nothing was lost
 * @throws InDoubt when a person must look
 */
async function adoptLost(deps: PaymentDeps, attempt: Attempt): Promise<IntentState | undefined> {
  const { payment } = attempt;
  const found = await atBoundary(deps, "call-search", async () => {
    await searchLostIntents(deps, SEARCH_WITHIN);
    const records: IntentRecord[] = [];
    for (const lost of await listLost(deps.db, payment)) {
      const record = await endLostIntent(deps, lost);
      if (record !== undefined) records.push(record);
    }
    return records;
  });
  const [record, second] = found;
  if (record === undefined) return undefined;
  if (second !== undefined) throw new InDoubt("the processor holds more than one payment of the milestone");
  const { id: intentId, state, amountCents, currency, refundedCents } = record;
  if (state.status !== "succeeded") throw new InDoubt("a payment of the milestone is still being decided");
  if (amountCents !== payment.amountCents || currency !== payment.currency || refundedCents > 0)
    throw new InDoubt("a payment of the milestone is not of this amount, or went back in part");
  if (payment.intentId !== null && (await cancel(deps, payment)).status !== "refused")
    throw new InDoubt("the milestone may have been paid twice");
  await step(deps, "write-submitted", attempt, { from: OPEN, to: "submitted", intentId });
  payment.intentId = intentId;
  return state;
}

/** From here on the money may move, so that is written down first. */
async function submit(deps: PaymentDeps, attempt: Attempt, intentId: string): Promise<IntentState> {
  const { payment, leaseId } = attempt;
  const now = await readClock(deps.db);
  const change = { intentId, now, dueAt: addSeconds(now, LEASE_SECONDS) };
  const written = await atBoundary(deps, "write-submitted", () =>
    writeSubmitted(deps.db, payment, leaseId, change),
  );
  if (written === "lost") throw new LeaseLost();
  return written === "submitted" ? execute(deps, payment, intentId) : stop(deps, payment, written);
}

/**
 * What a halt makes of an attempt that has not moved anything: cancelled where the account is frozen, else it waits, but not
 * beyond the time of its approval: nobody is charged days after they confirmed.
 */
async function stop(deps: PaymentDeps, payment: payments.PaymentRow, halt: Halt): Promise<IntentState> {
  const { accountId, approvalId } = payment;
  if (halt === "frozen" || (await hasLapsed(deps.db, accountId, approvalId))) return cancel(deps, payment);
  throw new SubmissionHeld("payments are paused");
}

function execute(
  deps: PaymentDeps,
  { approvalId }: payments.PaymentRow,
  intentId: string,
): Promise<IntentState> {
  const returnUrl = `${deps.config.publicUrl}/approvals/${approvalId}`;
  return atBoundary(deps, "call-execute", () => deps.processor.execute(intentId, returnUrl));
}

async function cancel(deps: PaymentDeps, { intentId }: payments.PaymentRow): Promise<IntentState> {
  if (intentId !== null) return atBoundary(deps, "call-cancel", () => deps.processor.cancel(intentId));
  // It was never prepared, or the answer was lost: an intent that nobody knows of cannot be confirmed.
  return refusalOf("canceled");
}

async function settle(deps: PaymentDeps, attempt: Attempt, state: IntentState): Promise<void> {
  switch (state.status) {
    case "succeeded":
      return atBoundary(deps, "write-success", () => bookSuccess(deps.db, attempt.payment, attempt.leaseId));
    case "refused":
      return atBoundary(deps, "write-refusal", () =>
        bookRefusal(deps.db, attempt.payment, attempt.leaseId, state),
      );
    case "action_required": {
      const { actionUrl } = state;
      return step(deps, "write-action-required", attempt, {
        from: OPEN,
        to: "action_required",
        actionUrl,
        release: true,
      });
    }
    default:
      return step(deps, "write-unknown", attempt, { from: OPEN, to: "unknown", release: true });
  }
}

/** What the processor holds does not fit what is known here: a person must look (docs/operations.md). */
export class InDoubt extends Error {
  override name = "InDoubt";
}

/** One that is `created` may have been submitted: the database may have lost that this was written. */
const OPEN = ["created", "submitted", "unknown", "action_required"] as const;

/**
 * Lets go of an attempt of which nobody knows what became; one that was never submitted stays `created`.
 * @returns whether it is in doubt: `false` when somebody who took the lapsed lease over has decided it
 */
async function noteDoubt(deps: PaymentDeps, attempt: Attempt): Promise<boolean> {
  const row = await payments.findPayment(deps.db, attempt.payment).catch(() => undefined);
  if (row === undefined) return true;
  if (!isOpen(row)) return false;
  const to = row.status === "created" ? "created" : "unknown";
  await step(deps, "write-unknown", attempt, { from: [row.status], to, release: true }).catch(() => {});
  return true;
}

/** Seldom, the longer it has waited: a person may take a day to answer their bank. */
function lookAgainIn({ createdAt }: payments.PaymentRow, now: Date): number {
  const age = (now.getTime() - createdAt.getTime()) / SECOND;
  return Math.min(Math.max(age * LOOK_AGAIN.share, LOOK_AGAIN.atLeast), LOOK_AGAIN.atMost);
}

/** Whether an attempt is still undecided. */
export function isOpen({ status }: payments.PaymentRow): boolean {
  return status !== "succeeded" && status !== "refused";
}

type Step = Omit<Parameters<typeof payments.stepPayment>[3], "now" | "dueAt">;

async function step(
  deps: PaymentDeps,
  boundary: Boundary,
  { payment, leaseId }: Attempt,
  change: Step,
): Promise<void> {
  const now = await readClock(deps.db);
  const dueAt = addSeconds(now, change.release ? lookAgainIn(payment, now) : LEASE_SECONDS);
  const held = await atBoundary(deps, boundary, () =>
    payments.stepPayment(deps.db, payment, leaseId, { ...change, now, dueAt }),
  );
  if (!held) throw new LeaseLost();
}
