import { holdFrozen } from "../accounts/service.ts";
import * as payments from "../billing/payment-service.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction, together } from "../database/transaction.ts";
import { LeaseLost } from "./booking.ts";
import { isDisputed } from "./escrow-store.ts";
import { type Attempt, leaseEnd, type PaymentDeps, pass } from "./step-service.ts";

/** Why an attempt may not be submitted (docs/contract.md §8). Paused: it waits. Frozen: it is cancelled. */
export type Halt = "paused" | "frozen";

/** The attempt is unchanged and is tried again later: payments are paused, or the balance is too low. */
export class SubmissionHeld extends Error {
  override name = "SubmissionHeld";
}

/** What forbids submitting the account's attempts, read without a lock. */
export async function findHalt(db: Db, accountId: string): Promise<Halt | undefined> {
  const { frozen, paused } = await payments.readHalt(db, accountId);
  if (frozen) return "frozen";
  return paused ? "paused" : undefined;
}

/**
 * Records `submitted` in a transaction that locks the pause and the account: once either is set, no process submits
 * anything.
 * @throws LeaseLost
 */
export async function submitAttempt(
  deps: PaymentDeps,
  { payment, leaseId }: Attempt,
  change: { intentId: string },
): Promise<Halt | "submitted"> {
  const prepare = async (trx: Trx) => (await holdHalt(trx, payment.accountId)) ?? change;
  return writeSubmitted<Halt>(deps, { payment, leaseId }, prepare);
}

/** As `submitAttempt`, for held money: also refuses once a dispute about it is booked. @throws LeaseLost */
export async function submitOutgoing(
  deps: PaymentDeps,
  attempt: Attempt,
): Promise<Halt | "disputed" | "submitted"> {
  const { accountId, milestoneId, kind } = attempt.payment;
  return writeSubmitted<Halt | "disputed">(deps, attempt, async (trx) => {
    const halt = await holdHalt(trx, accountId);
    if (halt !== undefined) return halt;
    const disputed = await isDisputed(trx, accountId, milestoneId, { partly: kind === "payout" });
    return disputed ? "disputed" : { keyUsed: true };
  });
}

async function writeSubmitted<Reason extends string>(
  deps: PaymentDeps,
  { payment, leaseId }: Attempt,
  prepare: (trx: Trx) => Promise<Reason | { intentId?: string; keyUsed?: true }>,
): Promise<Reason | "submitted"> {
  return pass(deps, "write-submitted", () =>
    inTransaction(deps.db, async (trx, now) => {
      const change = await prepare(trx);
      if (typeof change === "string") return change;
      const step = { ...change, now, dueAt: leaseEnd(now), from: ["created"], to: "submitted" } as const;
      if (!(await payments.stepPayment(trx, payment, leaseId, step))) throw new LeaseLost();
      return "submitted";
    }),
  );
}

async function holdHalt(trx: Trx, accountId: string): Promise<Halt | undefined> {
  const [paused, frozen] = await together(payments.holdPause(trx), holdFrozen(trx, accountId));
  if (frozen) return "frozen";
  return paused ? "paused" : undefined;
}
