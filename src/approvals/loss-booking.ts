import { adjustForMilestone, refundToCredits } from "../billing/credit-service.ts";
import * as payments from "../billing/payment-service.ts";
import type { Trx } from "../database/connection.ts";
import { heldFor, LOSSES, PROCESSOR } from "./booking.ts";

type Milestone = { accountId: string; milestoneId: string };

/** A milestone's money by place, as the ledger has it. */
export function readResting(trx: Trx, { accountId, milestoneId }: Milestone): Promise<payments.Resting> {
  return payments.readResting(trx, { accountId, milestoneId }, { held: heldFor(milestoneId), lost: LOSSES });
}

/**
 * The ledger's lines of money that has left for the payee or the card: from what is held, and what a bank had taken of that
 * meanwhile is lost.
 */
export async function outgoingLines(
  trx: Trx,
  { amountCents, ...payment }: Milestone & { amountCents: number },
): Promise<payments.LedgerLine[]> {
  const { heldCents } = await readResting(trx, payment);
  const fromHeld = Math.min(amountCents, Math.max(heldCents, 0));
  return [
    { account: heldFor(payment.milestoneId), amountCents: fromHeld },
    { account: LOSSES, amountCents: amountCents - fromHeld },
    { account: PROCESSOR, amountCents: -amountCents },
  ].filter((line) => line.amountCents !== 0);
}

/**
 * The same of money that has come back from there: it makes up for what was lost of the milestone, and the rest is held again.
 */
export async function returnedLines(
  trx: Trx,
  { amountCents, ...payment }: Milestone & { amountCents: number },
): Promise<{ lines: payments.LedgerLine[]; heldCents: number }> {
  const { lostCents } = await readResting(trx, payment);
  const madeUp = Math.min(amountCents, Math.max(lostCents, 0));
  const heldCents = amountCents - madeUp;
  const lines = [
    { account: PROCESSOR, amountCents },
    { account: LOSSES, amountCents: -madeUp },
    { account: heldFor(payment.milestoneId), amountCents: -heldCents },
  ].filter((line) => line.amountCents !== 0);
  return { lines, heldCents };
}

/** Adds what is still held for a refunded milestone to the account's credits: nothing could release or refund it. */
export async function creditRest(
  trx: Trx,
  subject: Milestone & { approvalId: string; contractId: string; jobId: string },
  now: Date,
): Promise<void> {
  const { heldCents: amountCents } = await readResting(trx, subject);
  if (amountCents > 0)
    await refundToCredits(trx, { ...subject, amountCents }, heldFor(subject.milestoneId), now);
}

/**
 * Takes what a bank took back of a milestone's money that had become credits from those credits, below zero too; and gives
 * back what the bank returned. Idempotent.
 */
export async function settleLoss(trx: Trx, { accountId, milestoneId }: Milestone, now: Date): Promise<void> {
  const { unrecoveredCents, creditedCents } = await readResting(trx, { accountId, milestoneId });
  const due = Math.min(unrecoveredCents, Math.max(creditedCents, 0));
  if (due === 0) return;
  const note =
    due > 0
      ? "The bank took back money of this milestone that had become credits"
      : "The bank returned money of this milestone that it had taken back";
  await adjustForMilestone(trx, { accountId, milestoneId, amountCents: -due, note }, LOSSES, now);
}
