import { type Selectable, sql } from "kysely";
import type { Db } from "../database/connection.ts";
import type { Database } from "../database/schema.ts";
import type { CheckoutRequest } from "./processor.ts";

const COLUMNS = [
  "id",
  "account_id",
  "amount_cents",
  "currency",
  "status",
  "intent_id",
  "metadata",
  "return_url",
  "created_at",
] as const;

export type SessionRow = Pick<Selectable<Database["sandbox.checkout_sessions"]>, (typeof COLUMNS)[number]>;

/** Creates a page. A repeated key returns the existing one. */
export async function insertSession(db: Db, id: string, request: CheckoutRequest, now: Date) {
  return db
    .insertInto("sandbox.checkout_sessions")
    .values({
      id,
      account_id: request.accountId,
      idempotency_key: request.key,
      amount_cents: request.amountCents,
      currency: request.currency,
      status: "open",
      intent_id: null,
      metadata: JSON.stringify({ topUpId: request.topUpId }),
      return_url: request.returnUrl,
      created_at: now,
    })
    .onConflict((conflict) =>
      conflict.column("idempotency_key").doUpdateSet({ idempotency_key: request.key }),
    )
    .returning(COLUMNS)
    .executeTakeFirstOrThrow();
}

export function findSession(db: Db, id: string): Promise<SessionRow | undefined> {
  return db.selectFrom("sandbox.checkout_sessions").where("id", "=", id).select(COLUMNS).executeTakeFirst();
}

export function listSessions(
  db: Db,
  { since, accountId }: { since: Date; accountId?: string },
): Promise<SessionRow[]> {
  const made = db
    .selectFrom("sandbox.checkout_sessions")
    .where("created_at", ">=", since)
    .select(COLUMNS)
    .orderBy("created_at")
    .orderBy("id");
  return (accountId === undefined ? made : made.where("account_id", "=", accountId)).execute();
}

/** Ends an open page. */
export async function expireSession(db: Db, id: string): Promise<void> {
  await db
    .updateTable("sandbox.checkout_sessions")
    .set({ status: "expired" })
    .where("id", "=", id)
    .where("status", "=", "open")
    .execute();
}

/** Pays an open page, once: page, intent and charge in one transaction. */
export async function paySession(
  db: Db,
  id: string,
  paid: { cardId: string; intentId: string; chargeId: string },
  now: Date,
): Promise<void> {
  await sql`
    with open as (
      select id, account_id, amount_cents, currency, metadata from sandbox.checkout_sessions
      where id = ${id} and status = 'open' for update
    ), intent as (
      insert into sandbox.intents (id, account_id, idempotency_key, payment_method, amount_cents, currency, status, metadata, created_at)
      select ${paid.intentId}, account_id, id, ${paid.cardId}, amount_cents, currency, 'succeeded', metadata, ${now}::timestamptz
      from open
      returning id, account_id, idempotency_key, amount_cents, currency, metadata
    ), charged as (
      insert into sandbox.charges (id, intent_id, account_id, idempotency_key, amount_cents, currency, status, metadata, created_at)
      select ${paid.chargeId}, id, account_id, idempotency_key, amount_cents, currency, 'succeeded', metadata, ${now}::timestamptz
      from intent
      returning intent_id
    )
    update sandbox.checkout_sessions s set status = 'complete', intent_id = charged.intent_id
    from charged where s.id = ${id}`.execute(db);
}
