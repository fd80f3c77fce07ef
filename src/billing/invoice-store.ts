import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import type { Database } from "../database/schema.ts";

export type NewInvoice = {
  accountId: string;
  id: string;
  kind: Database["invoices"]["kind"];
  approvalId: string;
  /** The attempt that pays it; null: credits pay. */
  paymentId: string | null;
  contractId: string;
  milestoneId: string;
  amountCents: number;
  currency: string;
};

/** Opens an invoice under the account's next number. Locks the account's head: lock nothing after it (invariant 11). */
export async function openInvoice(trx: Trx, invoice: NewInvoice, now: Date): Promise<void> {
  const { last_invoice: number } = await trx
    .updateTable("account_heads")
    .set({ last_invoice: sql<number>`last_invoice + 1` })
    .where("account_id", "=", invoice.accountId)
    .returning("last_invoice")
    .executeTakeFirstOrThrow();
  await trx
    .insertInto("invoices")
    .values({
      account_id: invoice.accountId,
      id: invoice.id,
      number,
      kind: invoice.kind,
      approval_id: invoice.approvalId,
      payment_id: invoice.paymentId,
      contract_id: invoice.contractId,
      milestone_id: invoice.milestoneId,
      amount_cents: invoice.amountCents,
      currency: invoice.currency,
      status: "open",
      created_at: now,
    })
    .execute();
}

/** The open invoice of an approval's attempt. Every confirmed one has an invoice. */
export async function readOpenInvoice(trx: Trx, accountId: string, approvalId: string): Promise<string> {
  const { id } = await trx
    .selectFrom("invoices")
    .where("account_id", "=", accountId)
    .where("approval_id", "=", approvalId)
    .where("status", "=", "open")
    .select("id")
    .executeTakeFirstOrThrow();
  return id;
}

/** Marks an approval's open invoice as paid, or as void if the attempt was refused. */
export async function closeInvoice(
  trx: Trx,
  accountId: string,
  approvalId: string,
  status: "paid" | "void",
): Promise<void> {
  await trx
    .updateTable("invoices")
    .set({ status })
    .where("account_id", "=", accountId)
    .where("approval_id", "=", approvalId)
    .where("status", "=", "open")
    .execute();
}

/** Marks the funding invoice of a milestone as refunded, once. */
export async function markInvoiceRefunded(trx: Trx, accountId: string, milestoneId: string): Promise<void> {
  await trx
    .updateTable("invoices")
    .set({ status: "refunded" })
    .where("account_id", "=", accountId)
    .where("milestone_id", "=", milestoneId)
    .where("kind", "=", "FUNDING")
    .where("status", "=", "paid")
    .execute();
}

export type PendingInvoice = Pick<NewInvoice, "id" | "kind" | "amountCents" | "milestoneId"> & {
  number: number;
  createdAt: Date;
  jobId: string;
  milestoneName: string | null;
};

/** The account's confirmed payments that wait, newest first. */
export async function listPendingInvoices(db: Db, accountId: string, limit: number) {
  const { rows } = await sql<PendingInvoice>`
    select i.id, i.number, i.kind, i.amount_cents as "amountCents", i.milestone_id as "milestoneId",
      i.created_at as "createdAt", c.job_id as "jobId", m.name as "milestoneName"
    from invoices i
    join contracts c on c.account_id = i.account_id and c.id = i.contract_id
    join milestones m on m.account_id = i.account_id and m.id = i.milestone_id
    where i.account_id = ${accountId} and i.status = 'open'
    order by i.number desc limit ${limit}`.execute(db);
  return rows;
}
