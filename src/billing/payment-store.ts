import { sql } from "kysely";
import { notBefore, readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { PaymentKind, PaymentStatus, ProcessorName } from "../database/schema.ts";
import { together } from "../database/transaction.ts";
import { isUuid } from "../lib/ids.ts";

/** The columns of a `PaymentRow`. */
export const COLUMNS = [
  "account_id as accountId",
  "id",
  "kind",
  "approval_id as approvalId",
  "milestone_id as milestoneId",
  "card_id as cardId",
  "source_payment_id as sourcePaymentId",
  "amount_cents as amountCents",
  "currency",
  "key_number as keyNumber",
  "body",
  "status",
  "intent_id as intentId",
  "sent_id as sentId",
  "key_used_at as keyUsedAt",
  "action_url as actionUrl",
  "refusal_code as refusalCode",
  "refusal_message as refusalMessage",
  "created_at as createdAt",
  "resolved_at as resolvedAt",
] as const;

export type PaymentRow = NonNullable<Awaited<ReturnType<typeof findPayment>>>;
export type PaymentKey = { accountId: string; id: string };

export function findPayment(db: Db, { accountId, id }: PaymentKey) {
  return db
    .selectFrom("payments")
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .select(COLUMNS)
    .executeTakeFirst();
}

/** The time of a transaction that decides an attempt: never earlier than the attempt's last step. */
export async function readClockAfter(trx: Trx, { accountId, id }: PaymentKey): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`
    select greatest(date_trunc('milliseconds', now()), updated_at) as now
    from payments where account_id = ${accountId} and id = ${id}`.execute(trx);
  return rows[0]?.now ?? (await readClock(trx));
}

/** The attempt with this intent. */
export function findPaymentByIntent(db: Db, accountId: string, intentId: string) {
  return db
    .selectFrom("payments")
    .where("account_id", "=", accountId)
    .where("intent_id", "=", intentId)
    .select(COLUMNS)
    .executeTakeFirst();
}

/** The charge that funded a milestone; `undefined`: credits did, or it is not funded. */
export function findCharge(db: Db, accountId: string, milestoneId: string): Promise<PaymentRow | undefined> {
  return db
    .selectFrom("payments")
    .where("account_id", "=", accountId)
    .where("milestone_id", "=", milestoneId)
    .where("kind", "=", "charge")
    .where("status", "=", "succeeded")
    .select(COLUMNS)
    .executeTakeFirst();
}

/** The newest attempt of an approval, which its page shows. */
export function findLatestPayment(db: Db, accountId: string, approvalId: string) {
  return db
    .selectFrom("payments")
    .where("account_id", "=", accountId)
    .where("approval_id", "=", approvalId)
    .select(COLUMNS)
    .orderBy("created_at", "desc")
    .orderBy("id", "desc")
    .limit(1)
    .executeTakeFirst();
}

/** The undecided attempts of an approval. */
export function listOpenPayments(db: Db, accountId: string, approvalId: string): Promise<PaymentRow[]> {
  return db
    .selectFrom("payments")
    .where("account_id", "=", accountId)
    .where("approval_id", "=", approvalId)
    .where("status", "in", UNDECIDED)
    .select(COLUMNS)
    .orderBy("id")
    .execute();
}

export type NewPayment = PaymentKey & {
  kind: PaymentKind;
  approvalId: string;
  milestoneId: string;
  cardId: string | null;
  sourcePaymentId: string | null;
  amountCents: number;
  currency: string;
  processor: ProcessorName;
  body: Record<string, unknown>;
};

/** The names under which the processor knows this database and the account. */
export async function readNames(
  trx: Trx,
  accountId: string,
): Promise<{ databaseId: string; customerId: string | null }> {
  const { rows } = await sql<{ databaseId: string; customerId: string | null }>`
    select (select id from processor) as "databaseId",
      (select customer_id from processor_customers where account_id = ${accountId}) as "customerId"`.execute(
    trx,
  );
  const [names] = rows;
  if (names === undefined) throw new TypeError("a select without tables returns a row");
  return names;
}

/**
 * Inserts an attempt. Its key takes the next number of its milestone and kind.
 * @param lease of the process that drives it at once; absent: it is due for any process
 */
export async function insertPayment(trx: Trx, payment: NewPayment, lease: Lease | undefined, now: Date) {
  const leasedUntil = lease?.until ?? null;
  return trx
    .insertInto("payments")
    .columns([
      "account_id",
      "id",
      "kind",
      "approval_id",
      "milestone_id",
      "card_id",
      "source_payment_id",
      "amount_cents",
      "currency",
      "key_number",
      "body",
      "processor",
      "status",
      "lease",
      "leased_until",
      "due_at",
      "created_at",
      "updated_at",
    ])
    .expression(
      sql`select m.account_id, ${payment.id}::uuid, ${payment.kind}::text, ${payment.approvalId}::uuid, m.id,
        ${payment.cardId}::text, ${payment.sourcePaymentId}::uuid, ${payment.amountCents}::bigint, ${payment.currency}::text,
        (select coalesce(max(p.key_number) + 1, 0) from payments p
          where p.account_id = ${payment.accountId} and p.milestone_id = m.id and p.kind = ${payment.kind}),
        ${JSON.stringify(payment.body)}::jsonb, ${payment.processor}::text, 'created', ${lease?.id ?? null}::uuid,
        ${leasedUntil}::timestamptz, ${leasedUntil ?? now}::timestamptz, ${now}::timestamptz, ${now}::timestamptz
      from milestones m where m.account_id = ${payment.accountId} and m.id = ${payment.milestoneId}`,
    )
    .returning(COLUMNS)
    .executeTakeFirstOrThrow();
}

export type Lease = { id: string; until: Date };

/** The statuses of an attempt whose outcome is not booked. */
export const UNDECIDED: PaymentStatus[] = ["created", "submitted", "action_required", "unknown"];

/** Takes the lease if it is free. `undefined`: another process holds it, or the attempt is decided. */
export function takeLease(db: Db, { accountId, id }: PaymentKey, lease: Lease, now: Date) {
  return db
    .updateTable("payments")
    .set({
      lease: lease.id,
      leased_until: lease.until,
      due_at: lease.until,
      updated_at: notBefore("updated_at", now),
    })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "in", UNDECIDED)
    .where((where) => where.or([where("leased_until", "is", null), where("leased_until", "<=", now)]))
    .returning(COLUMNS)
    .executeTakeFirst();
}

/** Writes a step of the attempt under its lease. `false`: the lease was lost, so the caller must stop. */
export async function stepPayment(
  db: Db,
  { accountId, id }: PaymentKey,
  leaseId: string,
  step: {
    from: readonly PaymentStatus[];
    to: PaymentStatus;
    now: Date;
    dueAt: Date | null;
    intentId?: string;
    sentId?: string;
    keyNumber?: number;
    /** A request was sent under a new key just now. */
    keyUsed?: true;
    actionUrl?: string;
    refusal?: { code: string; message: string };
    /** Releases the lease. */
    release?: true;
  },
): Promise<boolean> {
  const decided = step.to === "succeeded" || step.to === "refused";
  const { numUpdatedRows } = await db
    .updateTable("payments")
    .set({
      status: step.to,
      due_at: step.dueAt,
      updated_at: notBefore("updated_at", step.now),
      action_url: step.actionUrl ?? null,
      refusal_code: step.refusal?.code ?? null,
      refusal_message: step.refusal?.message ?? null,
      resolved_at: decided ? notBefore("updated_at", step.now) : null,
      ...(step.intentId === undefined ? {} : { intent_id: step.intentId }),
      ...(step.sentId === undefined ? {} : { sent_id: step.sentId }),
      ...(step.keyNumber === undefined ? {} : { key_number: step.keyNumber }),
      ...(step.keyUsed ? { key_used_at: step.now } : {}),
      ...(step.release ? { lease: null, leased_until: null } : {}),
    })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("lease", "=", leaseId)
    .where("status", "in", [...step.from])
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/**
 * Marks an attempt as in progress.
 * @returns its invoice and subject; `undefined`: it was marked before, or is a refund, which has no invoice
 */
export async function markPending(trx: Trx, { accountId, id }: PaymentKey, now: Date) {
  const [marked, invoice] = await together(
    sql`
      update payments set pending_at = ${now} where account_id = ${accountId} and id = ${id} and pending_at is null
      returning id`.execute(trx),
    sql<{ id: string; contractId: string; jobId: string }>`
      select i.id, i.contract_id as "contractId", c.job_id as "jobId" from invoices i
      join contracts c on c.account_id = i.account_id and c.id = i.contract_id
      where i.account_id = ${accountId} and i.payment_id = ${id}`.execute(trx),
  );
  return marked.rows.length === 0 ? undefined : invoice.rows[0];
}

/** Whether the account has this attempt. */
export async function isAttempt(db: Db, accountId: string, id: string): Promise<boolean> {
  return isUuid(id) && (await findPayment(db, { accountId, id })) !== undefined;
}

/** The account's payments, newest first. */
export function listPayments(db: Db, accountId: string, limit: number): Promise<PaymentRow[]> {
  return db
    .selectFrom("payments")
    .where("account_id", "=", accountId)
    .select(COLUMNS)
    .orderBy("created_at", "desc")
    .orderBy("id", "desc")
    .limit(limit)
    .execute();
}
