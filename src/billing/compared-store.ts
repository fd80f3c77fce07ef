import { sql } from "kysely";
import type { Db } from "../database/connection.ts";
import type { PaymentStatus } from "../database/schema.ts";
import { isUuid } from "../lib/ids.ts";

/** A payment as it is compared with the processor's record. */
export type KeyedPayment = {
  accountId: string;
  id: string;
  intentId: string | null;
  status: PaymentStatus;
  amountCents: number;
  currency: string;
  createdAt: Date;
};

const COLUMNS = [
  "account_id as accountId",
  "id",
  "intent_id as intentId",
  "status",
  "amount_cents as amountCents",
  "currency",
  "created_at as createdAt",
] as const;

/** The payments of these intents, by intent id, each in the account that the processor names. */
export async function findPaymentsByIntents(
  db: Db,
  intents: readonly { accountId: string | null; intentId: string }[],
): Promise<Map<string, KeyedPayment>> {
  const rows = await db
    .selectFrom("payments")
    .where("account_id", "=", sql<string>`any(${intents.map(({ accountId }) => accountId)}::uuid[])`)
    .where("intent_id", "=", sql<string>`any(${intents.map(({ intentId }) => intentId)}::text[])`)
    .select(COLUMNS)
    .execute();
  return new Map(rows.map((row) => [row.intentId ?? "", row]));
}

/** A page of all accounts' succeeded payments, by key. */
export function listSucceeded(
  db: Db,
  since: Date,
  after: KeyedPayment | undefined,
  limit: number,
): Promise<KeyedPayment[]> {
  let query = db
    .selectFrom("payments")
    .where("status", "=", "succeeded")
    .where("kind", "=", "charge")
    .where("created_at", ">=", since)
    .select(COLUMNS)
    .orderBy("account_id")
    .orderBy("id")
    .limit(limit);
  if (after !== undefined)
    query = query.where(sql<boolean>`(account_id, id) > (${after.accountId}::uuid, ${after.id}::uuid)`);
  return query.execute();
}

const TOP_UPS = sql`t.account_id as "accountId", t.id, t.amount_cents as "amountCents", t.currency,
  case t.status when 'COMPLETED' then 'succeeded' when 'PENDING' then 'created' else 'refused' end as status`;

/** The top-ups of these intents, by intent id. Excludes a top-up that another intent has paid. */
export async function findTopUpsByIntents(
  db: Db,
  records: readonly { id: string; accountId: string | null; topUpId: string | null; createdAt: Date }[],
): Promise<Map<string, KeyedPayment>> {
  const ids = records.map(({ topUpId }) => topUpId).filter((id) => id !== null && isUuid(id));
  if (ids.length === 0) return new Map();
  const { rows } = await sql<KeyedPayment>`
    select ${TOP_UPS}, t.intent_id as "intentId", t.created_at as "createdAt" from top_ups t
    where t.account_id = any(${records.map(({ accountId }) => accountId)}::uuid[]) and t.id = any(${ids}::uuid[])`.execute(
    db,
  );
  const known = new Map(rows.map((row) => [row.id, row]));
  return new Map(
    records.flatMap(({ id, topUpId, createdAt }) => {
      const row = known.get(topUpId ?? "");
      if (row === undefined || (row.intentId !== null && row.intentId !== id)) return [];
      return [[id, { ...row, intentId: id, createdAt }]];
    }),
  );
}

/** A page of all accounts' top-ups paid since then, by key. */
export async function listCompletedTopUps(
  db: Db,
  since: Date,
  after: KeyedPayment | undefined,
  limit: number,
) {
  const { rows } = await sql<KeyedPayment>`
    select ${TOP_UPS}, t.intent_id as "intentId", t.completed_at as "createdAt" from top_ups t
    where t.status = 'COMPLETED' and t.completed_at >= ${since}
      and ${after === undefined ? sql`true` : sql`(t.account_id, t.id) > (${after.accountId}::uuid, ${after.id}::uuid)`}
    order by t.account_id, t.id limit ${limit}`.execute(db);
  return rows;
}

/** The reversals of all accounts that are recent or not final. */
export async function listReversalsToCheck(db: Db, since: Date) {
  return db
    .selectFrom("reversals as r")
    .leftJoin("payments as p", (join) =>
      join.onRef("p.account_id", "=", "r.account_id").onRef("p.id", "=", "r.payment_id"),
    )
    .leftJoin("top_ups as t", (join) =>
      join.onRef("t.account_id", "=", "r.account_id").onRef("t.id", "=", "r.top_up_id"),
    )
    .where("r.kind", "in", ["refund", "dispute"])
    .where((where) => where.or([where("r.created_at", ">=", since), where("r.final", "=", false)]))
    .select([
      "r.account_id as accountId",
      "r.id",
      sql<string>`coalesce(r.payment_id, r.top_up_id)`.as("paymentId"),
      "r.kind",
      "r.status",
      "r.taken_cents as takenCents",
      "r.currency",
      sql<string>`coalesce(p.intent_id, t.intent_id, '')`.as("intentId"),
    ])
    .orderBy("r.account_id")
    .orderBy("r.id")
    .execute();
}

/** A payout or refund as it is compared with the processor's record, with the amount booked as returned. */
export type SentPayment = Omit<KeyedPayment, "intentId"> & { sentId: string | null; returnedCents: number };

const SENT = sql<SentPayment>`p.account_id as "accountId", p.id, p.sent_id as "sentId", p.status,
  p.amount_cents as "amountCents", p.currency, p.created_at as "createdAt", coalesce((
    select sum(r.taken_cents)::bigint from reversals r where r.account_id = p.account_id and r.payment_id = p.id
      and r.kind in ('failed_refund', 'returned_payout')), 0) as "returnedCents"`;

/** The attempts of these records, by id, each in the account that the processor names. */
export async function findPaymentsByIds(
  db: Db,
  records: readonly { accountId: string | null; attemptId: string | null }[],
): Promise<Map<string, SentPayment>> {
  const ids = records.map(({ attemptId }) => attemptId).filter((id) => id !== null && isUuid(id));
  const { rows } = await sql<SentPayment>`
    select ${SENT} from payments p
    where p.account_id = any(${records.map(({ accountId }) => accountId)}::uuid[]) and p.id = any(${ids}::uuid[])`.execute(
    db,
  );
  return new Map(rows.map((row) => [row.id, row]));
}

/** A page of all accounts' succeeded payouts or refunds, by key. */
export async function listSent(
  db: Db,
  kind: "payout" | "refund",
  since: Date,
  after: SentPayment | undefined,
  limit: number,
): Promise<SentPayment[]> {
  const { rows } = await sql<SentPayment>`
    select ${SENT} from payments p
    where p.kind = ${kind} and p.status = 'succeeded' and p.created_at >= ${since}
      and ${after === undefined ? sql`true` : sql`(p.account_id, p.id) > (${after.accountId}::uuid, ${after.id}::uuid)`}
    order by p.account_id, p.id limit ${limit}`.execute(db);
  return rows;
}
