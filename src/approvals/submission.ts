import { holdFrozen, isFrozen } from "../accounts/service.ts";
import * as payments from "../billing/payment-service.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";

/** Why an attempt may not be submitted (CONTRACT.md §8). Paused: it waits. Frozen: it is cancelled. */
export type Halt = "paused" | "frozen";

/** The operator has paused payments: the attempt stays as it was written, and is looked at again later. */
export class SubmissionHeld extends Error {
  override name = "SubmissionHeld";
}

/** Whether anything keeps the account's attempts from being submitted, as far as can be seen without holding it. */
export async function findHalt(db: Db, accountId: string): Promise<Halt | undefined> {
  if (await isFrozen(db, accountId)) return "frozen";
  return (await payments.readPause(db)).paused ? "paused" : undefined;
}

/**
 * Writes `submitted`, in a transaction that holds the pause and the account: over any number of processes nothing is
 * submitted once either has been set.
 * @returns `lost`: somebody else holds the attempt now
 */
export function writeSubmitted(
  db: Db,
  payment: payments.PaymentRow,
  leaseId: string,
  step: { intentId: string; now: Date; dueAt: Date },
): Promise<Halt | "submitted" | "lost"> {
  return inTransaction(db, async (trx) => {
    const halt = await holdHalt(trx, payment.accountId);
    if (halt !== undefined) return halt;
    const change = { ...step, from: ["created"], to: "submitted" } as const;
    return (await payments.stepPayment(trx, payment, leaseId, change)) ? "submitted" : "lost";
  });
}

async function holdHalt(trx: Trx, accountId: string): Promise<Halt | undefined> {
  const paused = await payments.holdPause(trx);
  if (await holdFrozen(trx, accountId)) return "frozen";
  return paused ? "paused" : undefined;
}
