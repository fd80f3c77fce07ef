import { sql } from "kysely";
import type { Db } from "../database/connection.ts";
import type { PaymentStatus } from "../database/schema.ts";

/** A payment as it is compared with the processor's books. */
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

/** The payments that intents belong to, by the intents' ids; each of the account that the processor names. */
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

/** A page of the payments of all accounts that succeeded, in the order of their keys. */
export function listSucceeded(
  db: Db,
  since: Date,
  after: KeyedPayment | undefined,
  limit: number,
): Promise<KeyedPayment[]> {
  let query = db
    .selectFrom("payments")
    .where("status", "=", "succeeded")
    .where("created_at", ">=", since)
    .select(COLUMNS)
    .orderBy("account_id")
    .orderBy("id")
    .limit(limit);
  if (after !== undefined)
    query = query.where(sql<boolean>`(account_id, id) > (${after.accountId}::uuid, ${after.id}::uuid)`);
  return query.execute();
}

/** The reversals of all accounts that are as young, or of which more may be heard. */
export async function listReversalsToCheck(db: Db, since: Date) {
  return db
    .selectFrom("reversals as r")
    .innerJoin("payments as p", (join) =>
      join.onRef("p.account_id", "=", "r.account_id").onRef("p.id", "=", "r.payment_id"),
    )
    .where((where) => where.or([where("r.created_at", ">=", since), where("r.final", "=", false)]))
    .select([
      "r.account_id as accountId",
      "r.id",
      "r.payment_id as paymentId",
      "r.kind",
      "r.status",
      "r.taken_cents as takenCents",
      "r.currency",
      sql<string>`coalesce(p.intent_id, '')`.as("intentId"),
    ])
    .orderBy("r.account_id")
    .orderBy("r.id")
    .execute();
}
