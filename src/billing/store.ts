import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import type { Database, ProcessorName } from "../database/schema.ts";
import type { ProcessorCard } from "./processor.ts";

const COLUMNS = ["id", "brand", "last4", "exp_month", "exp_year", "is_default", "created_at"] as const;

export type CardRow = Pick<Database["payment_methods"], (typeof COLUMNS)[number]>;

/** The account's cards, the default one first. */
export function listCards(db: Db, accountId: string): Promise<CardRow[]> {
  return db
    .selectFrom("payment_methods")
    .where("account_id", "=", accountId)
    .where("removed_at", "is", null)
    .select(COLUMNS)
    .orderBy("is_default", "desc")
    .orderBy("created_at", "desc")
    .orderBy("id")
    .execute();
}

/** Whether the account has or had this card. */
export async function hasCard(trx: Trx, accountId: string, id: string): Promise<boolean> {
  const row = await trx
    .selectFrom("payment_methods")
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .select("id")
    .executeTakeFirst();
  return row !== undefined;
}

export async function clearDefault(trx: Trx, accountId: string): Promise<void> {
  await trx
    .updateTable("payment_methods")
    .set({ is_default: false })
    .where("account_id", "=", accountId)
    .where("is_default", "=", true)
    .execute();
}

export async function setDefault(trx: Trx, accountId: string, id: string): Promise<void> {
  await trx
    .updateTable("payment_methods")
    .set({ is_default: true })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("removed_at", "is", null)
    .execute();
}

/** Adds a card as the default, or makes a present one the default. */
export function insertDefaultCard(
  trx: Trx,
  accountId: string,
  processor: ProcessorName,
  card: ProcessorCard,
  now: Date,
) {
  return trx
    .insertInto("payment_methods")
    .values({
      account_id: accountId,
      id: card.id,
      brand: card.brand,
      last4: card.last4,
      exp_month: card.expMonth,
      exp_year: card.expYear,
      is_default: true,
      processor,
      created_at: now,
      removed_at: null,
      detached_at: null,
    })
    .onConflict((conflict) =>
      conflict
        .columns(["account_id", "id"])
        .doUpdateSet({ is_default: true, removed_at: null, detached_at: null }),
    )
    .returning(COLUMNS)
    .executeTakeFirstOrThrow();
}

export async function removeCard(trx: Trx, accountId: string, id: string, now: Date): Promise<void> {
  await trx
    .updateTable("payment_methods")
    .set({ removed_at: now, is_default: false })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("removed_at", "is", null)
    .execute();
}

/** Removed cards that are still attached at the processor, the longest removed first. */
export function listUndetached(db: Db, limit: number): Promise<{ accountId: string; id: string }[]> {
  return db
    .selectFrom("payment_methods")
    .where("removed_at", "is not", null)
    .where("detached_at", "is", null)
    .select(["account_id as accountId", "id"])
    .orderBy("removed_at")
    .limit(limit)
    .execute();
}

/** Records that a removed card is no longer attached at the processor. */
export async function markDetached(db: Db, accountId: string, id: string): Promise<void> {
  await sql`
    update payment_methods set detached_at = now()
    where account_id = ${accountId} and id = ${id} and removed_at is not null`.execute(db);
}
