import { type Selectable, sql } from "kysely";
import type { Db } from "../database/connection.ts";
import type { Database, SandboxIntentStatus } from "../database/schema.ts";
import type { ProcessorCard } from "./processor.ts";

/** The sandbox's record of intents. Only the sandbox reads and writes it. */
export type Intent = {
  id: string;
  status: SandboxIntentStatus;
  declineCode: string | null;
  testMethod: string;
};

export async function insertCard(
  db: Db,
  accountId: string,
  card: ProcessorCard,
  testMethod: string,
): Promise<void> {
  await db
    .insertInto("sandbox.payment_methods")
    .values({
      id: card.id,
      account_id: accountId,
      test_method: testMethod,
      brand: card.brand,
      last4: card.last4,
      exp_month: card.expMonth,
      exp_year: card.expYear,
      detached_at: null,
    })
    .execute();
}

export async function detachCard(db: Db, accountId: string, cardId: string, now: Date): Promise<void> {
  await db
    .updateTable("sandbox.payment_methods")
    .set({ detached_at: now })
    .where("id", "=", cardId)
    .where("account_id", "=", accountId)
    .where("detached_at", "is", null)
    .execute();
}

export type AskedIntent = { cardId: string; amountCents: number; currency: string; metadata: object };

/** Creates an intent. A repeated key returns the existing one, and whether the request was the same. */
export async function insertIntent(
  db: Db,
  id: string,
  request: AskedIntent & { accountId: string; key: string },
  now: Date,
): Promise<Omit<Intent, "testMethod"> & { sameBody: boolean }> {
  const { rows } = await sql<Omit<Intent, "testMethod"> & { sameBody: boolean }>`
    insert into sandbox.intents (id, account_id, idempotency_key, payment_method, amount_cents, currency, status, metadata, created_at)
    values (${id}, ${request.accountId}, ${request.key}, ${request.cardId}, ${request.amountCents},
      ${request.currency}, 'requires_confirmation', ${JSON.stringify(request.metadata)}, ${now})
    on conflict (idempotency_key) do update set idempotency_key = excluded.idempotency_key
    returning id, status, decline_code as "declineCode",
      (payment_method, amount_cents, currency, metadata) = (${request.cardId}, ${request.amountCents}::bigint,
        ${request.currency}, ${JSON.stringify(request.metadata)}::jsonb) as "sameBody"`.execute(db);
  const [intent] = rows;
  if (intent === undefined) throw new TypeError("there is one under the key");
  return intent;
}

/** @throws Error if there is no such intent, as a processor would */
export async function findIntent(db: Db, id: string): Promise<Intent> {
  return db
    .selectFrom("sandbox.intents as i")
    .innerJoin("sandbox.payment_methods as m", "m.id", "i.payment_method")
    .where("i.id", "=", id)
    .select(["i.id", "i.status", "i.decline_code as declineCode", "m.test_method as testMethod"])
    .executeTakeFirstOrThrow();
}

const RECORD = [
  "id",
  "account_id",
  "amount_cents",
  "currency",
  "status",
  "decline_code",
  "metadata",
  "created_at",
] as const;

export type IntentRow = Pick<Selectable<Database["sandbox.intents"]>, (typeof RECORD)[number]>;

/** The intent with that id, or all that were created since then. */
export function readIntents(
  db: Db,
  which: { id: string } | { since: Date; accountId?: string },
): Promise<IntentRow[]> {
  const query = db.selectFrom("sandbox.intents").select(RECORD).orderBy("created_at").orderBy("id");
  if ("id" in which) return query.where("id", "=", which.id).execute();
  const { since, accountId } = which;
  const made = query.where("created_at", ">=", since);
  return (accountId === undefined ? made : made.where("account_id", "=", accountId)).execute();
}

/** The account and approval of an intent that waits for the bank's verification; `undefined`: it does not wait. */
export async function findAuthenticating(
  db: Db,
  id: string,
): Promise<{ accountId: string; approvalId: string } | undefined> {
  const row = await db
    .selectFrom("sandbox.intents")
    .where("id", "=", id)
    .where("status", "=", "requires_action")
    .select(["account_id", "metadata"])
    .executeTakeFirst();
  const approvalId = row?.metadata.approvalId;
  return row === undefined || approvalId === undefined
    ? undefined
    : { accountId: row.account_id, approvalId };
}

/** Moves an intent from one of the states `from`; does nothing in any other state. */
export async function moveIntent(
  db: Db,
  id: string,
  move: { from: readonly SandboxIntentStatus[]; to: SandboxIntentStatus; declineCode?: string },
): Promise<Intent> {
  await db
    .updateTable("sandbox.intents")
    .set({ status: move.to, decline_code: move.declineCode ?? null })
    .where("id", "=", id)
    .where("status", "in", [...move.from])
    .execute();
  return findIntent(db, id);
}

/** Charges an intent in state `from`, once: state and charge in one transaction. */
export async function charge(
  db: Db,
  intentId: string,
  chargeId: string,
  from: SandboxIntentStatus,
  now: Date,
): Promise<Intent> {
  await sql`
    with charged as (
      update sandbox.intents set status = 'succeeded', decline_code = null
      where id = ${intentId} and status = ${from}
      returning id, account_id, idempotency_key, amount_cents, currency, metadata
    )
    insert into sandbox.charges (id, intent_id, account_id, idempotency_key, amount_cents, currency, status, metadata, created_at)
    select ${chargeId}, id, account_id, idempotency_key, amount_cents, currency, 'succeeded', metadata, ${now}
    from charged`.execute(db);
  return findIntent(db, intentId);
}

/** The sandbox's charges, newest first. */
export function listCharges(db: Db, accountId: string) {
  return db
    .selectFrom("sandbox.charges")
    .where("account_id", "=", accountId)
    .select(["id", "idempotency_key", "amount_cents", "currency", "status", "metadata", "created_at"])
    .orderBy("created_at", "desc")
    .orderBy("id")
    .execute();
}
