import { sql } from "kysely";
import type { Trx } from "../database/connection.ts";
import { endTerms, milestoneDispute, openDispute } from "./held-terms-store.ts";

/** A refund in an approval's result. */
export type RefundResult = {
  milestoneId: string;
  amountCents: number;
  to: "card" | "credits";
  refundId: string;
};

export async function holdApproval(trx: Trx, accountId: string, id: string): Promise<void> {
  await sql`select 1 from approvals where account_id = ${accountId} and id = ${id} for no key update`.execute(
    trx,
  );
}

export async function insertRefund(
  trx: Trx,
  refund: {
    accountId: string;
    approvalId: string;
    milestoneId: string;
    sentTo: "card" | "credits";
    refundId: string;
    amountCents: number;
  },
  now: Date,
): Promise<void> {
  await trx
    .insertInto("refunds")
    .values({
      account_id: refund.accountId,
      approval_id: refund.approvalId,
      milestone_id: refund.milestoneId,
      sent_to: refund.sentTo,
      refund_id: refund.refundId,
      amount_cents: refund.amountCents,
      created_at: now,
    })
    .execute();
}

/** The progress of a contract's end: open attempts, refunds signed for, refunds done. */
export async function readProgress(
  trx: Trx,
  accountId: string,
  approvalId: string,
): Promise<{ open: number; wanted: number; refunds: RefundResult[] }> {
  const { rows } = await sql<{ open: number; wanted: number; refunds: RefundResult[] }>`
    select
      (select count(*) from payments p where p.account_id = ${accountId} and p.approval_id = v.id
        and p.status not in ('succeeded', 'refused')) as open,
      jsonb_array_length(v.terms -> 'refunds') as wanted,
      (select coalesce(jsonb_agg(jsonb_build_object('milestoneId', r.milestone_id, 'amountCents', r.amount_cents,
          'to', r.sent_to, 'refundId', r.refund_id) order by m.number), '[]')
        from refunds r join milestones m on m.account_id = r.account_id and m.id = r.milestone_id
        where r.account_id = ${accountId} and r.approval_id = v.id) as refunds
    from approvals v where v.account_id = ${accountId} and v.id = ${approvalId}`.execute(trx);
  const [progress] = rows;
  if (progress === undefined) throw new TypeError("an approval that is executing is there");
  return progress;
}

/**
 * Whether money is held under the contract that its executing end does not refund: a payout has come back meanwhile. The
 * caller has locked the contract exclusively.
 */
export async function isHeldAgain(trx: Trx, accountId: string, contractId: string): Promise<boolean> {
  const { rows } = await sql`
    select 1 from milestones m
    left join executing_milestones x on x.account_id = m.account_id and x.milestone_id = m.id
    where m.account_id = ${accountId} and m.contract_id = ${contractId} and m.status = 'ACTIVE_FUNDED'
      and x.milestone_id is null
    limit 1`.execute(trx);
  return rows.length > 0;
}

/** Whether a contract's end would refund something else by now than what was signed. */
export async function haveTermsChanged(trx: Trx, accountId: string, approvalId: string): Promise<boolean> {
  const { rows } = await sql<{ changed: boolean }>`
    select v.terms is distinct from ${endTerms(accountId)} as changed
    from approvals v join contracts c on c.account_id = v.account_id and c.id = v.contract_id
    where v.account_id = ${accountId} and v.id = ${approvalId}`.execute(trx);
  return rows[0]?.changed === true;
}

/**
 * Whether a dispute is open about a milestone's money; with `partly` also whether a part of it has been refunded.
 * Locks the milestone, so that no dispute is booked until the transaction ends.
 */
export async function isDisputed(
  trx: Trx,
  accountId: string,
  milestoneId: string,
  { partly }: { partly: boolean },
): Promise<boolean> {
  await sql`select 1 from milestones where account_id = ${accountId} and id = ${milestoneId} for share`.execute(
    trx,
  );
  const status = (partly ? milestoneDispute : openDispute)(accountId);
  const { rows } = await sql<{ disputed: boolean }>`
    select ${status} is not null as disputed from milestones m
    where m.account_id = ${accountId} and m.id = ${milestoneId}`.execute(trx);
  return rows[0]?.disputed === true;
}
