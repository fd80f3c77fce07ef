import { sql } from "kysely";
import type { Trx } from "../database/connection.ts";

export type LedgerLine = { account: string; amountCents: number };

/** Inserts all lines of a movement with one statement: the database rejects lines that do not sum to zero. */
export async function insertMovement(
  trx: Trx,
  movement: {
    accountId: string;
    id: string;
    /** Its origin: a payment, a credit entry, or both. */
    paymentId?: string;
    creditEntryId?: string;
    currency: string;
    lines: readonly LedgerLine[];
  },
  now: Date,
): Promise<void> {
  await trx
    .insertInto("ledger_entries")
    .values(
      movement.lines.map((line, i) => ({
        account_id: movement.accountId,
        transaction_id: movement.id,
        line: i + 1,
        ledger_account: line.account,
        amount_cents: line.amountCents,
        currency: movement.currency,
        payment_id: movement.paymentId ?? null,
        credit_entry_id: movement.creditEntryId ?? null,
        created_at: now,
      })),
    )
    .execute();
}

/** A milestone's money by place, in cents. */
export type Resting = {
  heldCents: number;
  /** What its payments have booked as lost. */
  lostCents: number;
  /** The same, less what was recovered from the account's credits. Below zero: more was recovered than is lost by now. */
  unrecoveredCents: number;
  /** Refunded to the account's credits. */
  creditedCents: number;
};

/** @param ledger the ledger's accounts of what is held for the milestone and of what is lost */
export async function readResting(
  trx: Trx,
  { accountId, milestoneId }: { accountId: string; milestoneId: string },
  ledger: { held: string; lost: string },
): Promise<Resting> {
  const { rows } = await sql<Resting>`
    select h."heldCents", p."lostCents", p."lostCents" + e."recoveredCents" as "unrecoveredCents", c."creditedCents"
    from (
      select coalesce(-sum(amount_cents), 0)::bigint as "heldCents" from ledger_entries
      where account_id = ${accountId} and ledger_account = ${ledger.held}
    ) h
    cross join (
      select coalesce(sum(l.amount_cents), 0)::bigint as "lostCents" from payments p
      join ledger_entries l on l.account_id = p.account_id and l.payment_id = p.id and l.ledger_account = ${ledger.lost}
      where p.account_id = ${accountId} and p.milestone_id = ${milestoneId}
    ) p
    cross join (
      select coalesce(sum(l.amount_cents), 0)::bigint as "recoveredCents" from credit_entries x
      join ledger_entries l on l.account_id = x.account_id and l.credit_entry_id = x.id and l.ledger_account = ${ledger.lost}
      where x.account_id = ${accountId} and x.milestone_id = ${milestoneId}
    ) e
    cross join (
      select coalesce(sum(amount_cents), 0)::bigint as "creditedCents" from credit_entries
      where account_id = ${accountId} and milestone_id = ${milestoneId} and type in ('REFUND', 'ADJUSTMENT')
    ) c`.execute(trx);
  const [resting] = rows;
  if (resting === undefined) throw new TypeError("an aggregate returns a row");
  return resting;
}
