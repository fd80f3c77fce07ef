import { sql } from "kysely";
import type { Db } from "../database/connection.ts";

/** Money that moved or is moving: an invoice, or a refund at a contract's end. Amounts in cents. */
export type MoneyMovement = {
  at: Date;
  kind: "FUNDING" | "PAYOUT" | "REFUND";
  /** Null for a refund, which has no invoice of its own. */
  invoiceNumber: number | null;
  status: string;
  amountCents: number;
  currency: string;
  payee: string;
  contractId: string;
  contractTitle: string;
  milestoneId: string;
  milestoneName: string | null;
  /** Where the money came from or went to: a card, credits, or a payee's account. */
  party: string;
  approvalId: string;
};

/** The account's movements of money, newest first. */
export async function listMovements(db: Db, accountId: string, limit: number): Promise<MoneyMovement[]> {
  // The newest of each kind with all that is said of them: joined afterwards, Postgres read all milestones for each.
  const { rows } = await sql<MoneyMovement>`
    select * from (
      (select i.created_at as at, i.kind, i.number as "invoiceNumber", i.status,
        i.amount_cents as "amountCents", i.currency, c.freelancer_name as payee, i.contract_id as "contractId",
        c.title as "contractTitle", i.milestone_id as "milestoneId", m.name as "milestoneName",
        case when i.kind = 'PAYOUT' then coalesce(v.terms -> 'payout' ->> 'account', '')
          when k.id is null then 'credits' else k.brand || ' ' || k.last4 end as party,
        i.approval_id as "approvalId"
      from invoices i
      join approvals v on v.account_id = i.account_id and v.id = i.approval_id
      join contracts c on c.account_id = i.account_id and c.id = i.contract_id
      join milestones m on m.account_id = i.account_id and m.id = i.milestone_id
      left join payments p on p.account_id = i.account_id and p.id = i.payment_id
      left join payment_methods k on k.account_id = i.account_id and k.id = p.card_id
      where i.account_id = ${accountId} order by i.number desc limit ${limit})
      union all
      (select r.created_at, 'REFUND', null, 'refunded', r.amount_cents, m.currency, c.freelancer_name, m.contract_id, c.title,
        r.milestone_id, m.name, r.sent_to, r.approval_id
      from refunds r
      join milestones m on m.account_id = r.account_id and m.id = r.milestone_id
      join contracts c on c.account_id = m.account_id and c.id = m.contract_id
      where r.account_id = ${accountId} order by r.created_at desc limit ${limit})
    ) x
    order by at desc, "approvalId" desc, "milestoneId" limit ${limit}`.execute(db);
  return rows;
}
