import { sql } from "kysely";
import { notBefore, readClock, shortenWaits } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { PaymentStatus, ProcessorName } from "../database/schema.ts";

const COLUMNS = [
  "account_id as accountId",
  "id",
  "approval_id as approvalId",
  "milestone_id as milestoneId",
  "card_id as cardId",
  "amount_cents as amountCents",
  "currency",
  "key_number as keyNumber",
  "body",
  "status",
  "intent_id as intentId",
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

/** The time of the transaction that decides an attempt: not before the attempt's last step. */
export async function readClockAfter(trx: Trx, { accountId, id }: PaymentKey): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`
    select greatest(date_trunc('milliseconds', now()), updated_at) as now
    from payments where account_id = ${accountId} and id = ${id}`.execute(trx);
  return rows[0]?.now ?? (await readClock(trx));
}

/** The attempt that has this intent of the processor's. */
export function findPaymentByIntent(
  db: Db,
  accountId: string,
  intentId: string,
): Promise<PaymentRow | undefined> {
  return db
    .selectFrom("payments")
    .where("account_id", "=", accountId)
    .where("intent_id", "=", intentId)
    .select(COLUMNS)
    .executeTakeFirst();
}

/** The newest attempt of an approval: the one that its page tells of. */
export function findLatestPayment(
  db: Db,
  accountId: string,
  approvalId: string,
): Promise<PaymentRow | undefined> {
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

export type NewPayment = PaymentKey & {
  approvalId: string;
  milestoneId: string;
  cardId: string;
  amountCents: number;
  currency: string;
  processor: ProcessorName;
  body: Record<string, unknown>;
};

/** What the processor knows these books, and the account, by. */
export async function readNames(
  trx: Trx,
  accountId: string,
): Promise<{ databaseId: string; customerId: string | null }> {
  return trx
    .selectFrom("processor as p")
    .leftJoin("processor_customers as c", (join) => join.on("c.account_id", "=", accountId))
    .select(["p.id as databaseId", "c.customer_id as customerId"])
    .executeTakeFirstOrThrow();
}

/** Writes an attempt that is leased to its maker from the start. Its key's number is the next of the milestone's. */
export async function insertPayment(trx: Trx, payment: NewPayment, lease: Lease, now: Date): Promise<void> {
  await trx
    .insertInto("payments")
    .values({
      account_id: payment.accountId,
      id: payment.id,
      approval_id: payment.approvalId,
      milestone_id: payment.milestoneId,
      card_id: payment.cardId,
      amount_cents: payment.amountCents,
      currency: payment.currency,
      key_number: sql<number>`(
        select coalesce(max(key_number) + 1, 0) from payments
        where account_id = ${payment.accountId} and milestone_id = ${payment.milestoneId}
      )`,
      body: JSON.stringify(payment.body),
      processor: payment.processor,
      status: "created",
      intent_id: null,
      action_url: null,
      refusal_code: null,
      refusal_message: null,
      lease: lease.id,
      leased_until: lease.until,
      due_at: lease.until,
      alerted_at: null,
      created_at: now,
      updated_at: now,
      resolved_at: null,
    })
    .execute();
}

export type Lease = { id: string; until: Date };

const UNDECIDED: PaymentStatus[] = ["created", "submitted", "action_required", "unknown"];

/** Takes the lease, if nobody holds it. `undefined`: somebody does, or the attempt is decided. */
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

/** A step of the attempt, by whoever holds its lease. `false`: the lease was lost, and with it the right to go on. */
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
    keyNumber?: number;
    actionUrl?: string;
    refusal?: { code: string; message: string };
    /** Lets go of the lease. */
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
      ...(step.keyNumber === undefined ? {} : { key_number: step.keyNumber }),
      ...(step.release ? { lease: null, leased_until: null } : {}),
    })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("lease", "=", leaseId)
    .where("status", "in", [...step.from])
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** Attempts of any account that somebody should look after now, the longest due first. */
export function listDuePayments(db: Db, now: Date, limit: number): Promise<PaymentKey[]> {
  return db
    .selectFrom("payments")
    .where("due_at", "<=", now)
    .select(["account_id as accountId", "id"])
    .orderBy("due_at")
    .limit(limit)
    .execute();
}

/** Shortens leases and waits that a clock set back has made longer than `leaseSeconds` and `waitSeconds`. */
export async function shortenPaymentWaits(
  db: Db,
  { leaseSeconds, waitSeconds }: { leaseSeconds: number; waitSeconds: number },
): Promise<void> {
  const pending = sql<boolean>`due_at is not null`;
  const lease = sql<number>`${leaseSeconds}::float8`;
  const seconds = sql<number>`case when lease is null then ${waitSeconds}::float8 else ${lease} end`;
  await shortenWaits(db, "payments", "leased_until", { pending, seconds: lease });
  await shortenWaits(db, "payments", "due_at", { pending, seconds });
}

/**
 * The attempts that have been in doubt since before `before`, and of which nobody was told. What a pause holds back is not in
 * doubt: told of it now, nobody would be told later.
 */
export function listInDoubt(db: Db, before: Date): Promise<PaymentKey[]> {
  return db
    .selectFrom("payments")
    .where("due_at", "is not", null)
    .where("alerted_at", "is", null)
    .where("status", "in", ["created", "submitted", "unknown"])
    .where(sql<boolean>`not (status = 'created' and (select paused from payment_pause))`)
    .where("created_at", "<=", before)
    .select(["account_id as accountId", "id"])
    .execute();
}

/** Marks that an undecided attempt is in doubt. `undefined`: it was marked before, or is decided. */
export function markInDoubt(trx: Trx, { accountId, id }: PaymentKey, now: Date) {
  return trx
    .updateTable("payments")
    .set({ alerted_at: now })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("alerted_at", "is", null)
    .where("status", "in", UNDECIDED)
    .returning(COLUMNS)
    .executeTakeFirst();
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

export async function insertInvoice(
  trx: Trx,
  invoice: {
    accountId: string;
    id: string;
    approvalId: string;
    contractId: string;
    milestoneId: string;
    amountCents: number;
    currency: string;
  },
  now: Date,
): Promise<void> {
  await trx
    .insertInto("invoices")
    .values({
      account_id: invoice.accountId,
      id: invoice.id,
      approval_id: invoice.approvalId,
      contract_id: invoice.contractId,
      milestone_id: invoice.milestoneId,
      amount_cents: invoice.amountCents,
      currency: invoice.currency,
      status: "paid",
      created_at: now,
    })
    .execute();
}

export type LedgerLine = { account: string; amountCents: number };

/** Writes a movement whole, with one insert: the database refuses one that does not sum to zero. */
export async function insertMovement(
  trx: Trx,
  movement: {
    accountId: string;
    id: string;
    paymentId: string;
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
        payment_id: movement.paymentId,
        created_at: now,
      })),
    )
    .execute();
}
