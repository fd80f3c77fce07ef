import type { Trx } from "../database/connection.ts";
import type { CreditEntryType } from "../database/schema.ts";
import { newId } from "../lib/ids.ts";
import * as store from "./credit-store.ts";
import { insertMovement, type LedgerLine } from "./ledger-store.ts";

const CURRENCY = "usd";
/** Ledger account of the account's credits: what the service owes it. */
const CREDITS = "credits";

type CreditSubject = store.CreditSubject;
/** A credit entry that was inserted. */
type WrittenEntry = { entryId: string; amountCents: number };

type Entry = Omit<store.NewEntry, "accountId" | "id" | "number" | "amountCents" | "reservedCents"> & {
  amountCents?: number;
  reservedCents?: number;
};

/**
 * Holds credits for a milestone: available → reserved (docs/contract.md §5, `HOLD`). Lock the payment first
 * (invariant 11).
 * @param hold.amountCents more than 0
 * @returns the entry; `undefined`: the available balance does not cover the amount, and nothing was written
 */
export async function holdCredits(
  trx: Trx,
  { accountId, amountCents, ...subject }: CreditSubject & { accountId: string; amountCents: number },
  now: Date,
): Promise<WrittenEntry | undefined> {
  const balance = await store.lockBalance(trx, accountId);
  if (balance.availableCents < amountCents) return undefined;
  const entry = { type: "HOLD", amountCents: -amountCents, reservedCents: amountCents, subject } as const;
  const lines = movement(CREDITS, held(subject.milestoneId), amountCents);
  return writeEntry(trx, accountId, balance, entry, lines, now);
}

/**
 * Ends a milestone's hold because its money is paid out: reserved → gone (`CAPTURE`, 0 on the available balance). The
 * payout's booking writes the ledger's movement.
 * @returns the entry, with what was held
 * @throws TypeError if no credits are held for the milestone
 */
export function captureHold(
  trx: Trx,
  { accountId, approvalId, milestoneId }: { accountId: string; approvalId: string; milestoneId: string },
  now: Date,
): Promise<WrittenEntry> {
  return endHold(trx, "CAPTURE", { accountId, approvalId, milestoneId }, now);
}

/**
 * Ends a milestone's hold because its contract ends: reserved → available (`HOLD_RELEASE`).
 * @returns the entry, with what became available
 * @throws TypeError if no credits are held for the milestone
 */
export function releaseHold(
  trx: Trx,
  { accountId, approvalId, milestoneId }: { accountId: string; approvalId: string; milestoneId: string },
  now: Date,
): Promise<WrittenEntry> {
  return endHold(trx, "HOLD_RELEASE", { accountId, approvalId, milestoneId }, now);
}

/**
 * Adds a milestone's money that no bank accepts to the account's credits (`REFUND`).
 * @param refund.amountCents more than 0
 * @param from the ledger account that the money leaves
 */
export async function refundToCredits(
  trx: Trx,
  {
    accountId,
    amountCents,
    approvalId,
    milestoneId,
    contractId,
    jobId,
  }: CreditSubject & { accountId: string; amountCents: number },
  from: string,
  now: Date,
): Promise<WrittenEntry> {
  const balance = await store.lockBalance(trx, accountId);
  const lines = movement(from, CREDITS, amountCents);
  const subject = { approvalId, milestoneId, contractId, jobId };
  // A milestone has one `REFUND`: what comes back in parts follows as corrections.
  const entry = (await store.hasRefund(trx, accountId, milestoneId))
    ? ({
        type: "ADJUSTMENT",
        amountCents,
        milestoneId,
        note: "More of this milestone's money came back",
      } as const)
    : ({ type: "REFUND", amountCents, subject } as const);
  return writeEntry(trx, accountId, balance, entry, lines, now);
}

/**
 * Corrects the available balance (`ADJUSTMENT`). Only this may take it below zero.
 * @param adjustment.amountCents signed, not 0
 * @param adjustment.topUpId of a payment that was reversed: the money left the processor, or returned to it
 */
export async function adjustCredits(
  trx: Trx,
  {
    accountId,
    amountCents,
    note,
    topUpId,
  }: { accountId: string; amountCents: number; note: string; topUpId?: string },
  now: Date,
): Promise<WrittenEntry> {
  const balance = await store.lockBalance(trx, accountId);
  const lines = movement(topUpId === undefined ? "adjustments" : "processor", CREDITS, amountCents);
  return writeEntry(trx, accountId, balance, { type: "ADJUSTMENT", amountCents, note, topUpId }, lines, now);
}

/**
 * Corrects the available balance because a bank took back, or returned, money of a milestone that had become credits.
 * @param adjustment.amountCents signed, not 0
 * @param from the ledger's account on the other side
 */
export async function adjustForMilestone(
  trx: Trx,
  {
    accountId,
    amountCents,
    ...about
  }: { accountId: string; milestoneId: string; amountCents: number; note: string },
  from: string,
  now: Date,
): Promise<WrittenEntry> {
  const balance = await store.lockBalance(trx, accountId);
  const lines = movement(from, CREDITS, amountCents);
  return writeEntry(trx, accountId, balance, { type: "ADJUSTMENT", amountCents, ...about }, lines, now);
}

/** Adds a paid top-up (`TOP_UP`), once a top-up. */
export async function bookTopUpEntry(
  trx: Trx,
  { accountId, topUpId, amountCents }: { accountId: string; topUpId: string; amountCents: number },
  now: Date,
): Promise<WrittenEntry> {
  const balance = await store.lockBalance(trx, accountId);
  const lines = movement("processor", CREDITS, amountCents);
  return writeEntry(trx, accountId, balance, { type: "TOP_UP", amountCents, topUpId }, lines, now);
}

async function endHold(
  trx: Trx,
  type: Extract<CreditEntryType, "CAPTURE" | "HOLD_RELEASE">,
  { accountId, approvalId, milestoneId }: { accountId: string; approvalId: string; milestoneId: string },
  now: Date,
): Promise<WrittenEntry> {
  const balance = await store.lockBalance(trx, accountId);
  const hold = await store.findOpenHold(trx, accountId, milestoneId);
  if (hold === undefined) throw new TypeError(`no credits are held for ${milestoneId}`);
  const { id: holdEntryId, amountCents, contractId, jobId } = hold;
  const released = type === "HOLD_RELEASE";
  const entry = {
    type,
    amountCents: released ? amountCents : 0,
    reservedCents: -amountCents,
    holdEntryId,
    subject: { approvalId, milestoneId, contractId, jobId },
  };
  const lines = released ? movement(held(milestoneId), CREDITS, amountCents) : [];
  const { entryId } = await writeEntry(trx, accountId, balance, entry, lines, now);
  return { entryId, amountCents };
}

async function writeEntry(
  trx: Trx,
  accountId: string,
  { lastEntry }: store.LockedBalance,
  { amountCents = 0, reservedCents = 0, ...entry }: Entry,
  lines: readonly LedgerLine[],
  now: Date,
): Promise<WrittenEntry> {
  const id = newId();
  await store.insertEntry(
    trx,
    { ...entry, accountId, id, number: lastEntry + 1, amountCents, reservedCents },
    now,
  );
  const booked = { accountId, id: newId(), creditEntryId: id, currency: CURRENCY, lines };
  if (lines.length > 0) await insertMovement(trx, booked, now);
  return { entryId: id, amountCents };
}

/** Ledger account of a milestone's held money. */
function held(milestoneId: string): string {
  return `milestone:${milestoneId}`;
}

/** Two lines that sum to zero. What is owed is negative in the ledger. */
function movement(from: string, to: string, amountCents: number): LedgerLine[] {
  return [
    { account: from, amountCents },
    { account: to, amountCents: -amountCents },
  ];
}
