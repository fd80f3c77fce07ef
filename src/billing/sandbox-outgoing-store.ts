import { type RawBuilder, sql } from "kysely";
import type { Db } from "../database/connection.ts";
import type { SentFilter } from "./processor.ts";

/** The sandbox's record of payouts and refunds. Only the sandbox reads and writes it. */
export type OutgoingRow = {
  id: string;
  account_id: string;
  amount_cents: number;
  currency: string;
  status: "pending" | "paid" | "succeeded" | "failed";
  failure_code: string | null;
  returned_cents: number;
  metadata: Record<string, string>;
  created_at: Date;
};

export type AskedTransfer = {
  destination: string;
  sourceIntentId: string | null;
  amountCents: number;
  currency: string;
  metadata: object;
};

type New = { id: string; accountId: string; key: string; now: Date };

const TRANSFER = sql`id, account_id, amount_cents, currency, status, failure_code, reversed_cents as returned_cents,
  metadata, created_at`;
const REFUND = sql`id, account_id, amount_cents, currency, status, failure_code,
  case when status = 'failed' then amount_cents else 0 end as returned_cents, metadata, created_at`;

/** Inserts a transfer. A repeated key returns the existing one, and whether the request was the same. */
export async function insertTransfer(
  db: Db,
  { id, accountId, key, now }: New,
  asked: AskedTransfer,
  outcome: { status: "pending" | "paid" },
): Promise<OutgoingRow & { same_body: boolean }> {
  const { destination, sourceIntentId, amountCents, currency } = asked;
  const metadata = JSON.stringify(asked.metadata);
  return one(
    await sql<OutgoingRow & { same_body: boolean }>`
      insert into sandbox.transfers (id, account_id, idempotency_key, destination, source_intent, amount_cents, currency,
        status, metadata, created_at)
      values (${id}, ${accountId}, ${key}, ${destination}, ${sourceIntentId}, ${amountCents}, ${currency},
        ${outcome.status}, ${metadata}, ${now})
      on conflict (idempotency_key) do update set idempotency_key = excluded.idempotency_key
      returning ${TRANSFER}, (destination, amount_cents, currency, metadata) =
        (${destination}, ${amountCents}::bigint, ${currency}, ${metadata}::jsonb) as same_body`.execute(db),
  );
}

export type AskedRefund = { sourceIntentId: string; amountCents: number; currency: string; metadata: object };

/** As `insertTransfer`, for a refund. `undefined`: nothing was paid, or less than would be refunded. */
export async function insertRefund(
  db: Db,
  { id, accountId, key, now }: New,
  asked: AskedRefund,
  outcome: { status: "pending" | "succeeded" | "failed"; failureCode: string | null },
): Promise<(OutgoingRow & { same_body: boolean }) | undefined> {
  const { sourceIntentId, amountCents, currency } = asked;
  const metadata = JSON.stringify(asked.metadata);
  const { rows } = await sql<OutgoingRow & { same_body: boolean }>`
    insert into sandbox.refunds (id, account_id, idempotency_key, intent_id, amount_cents, currency, status,
      failure_code, metadata, created_at)
    select ${id}, i.account_id, ${key}, i.id, ${amountCents}::bigint, ${currency}, ${outcome.status},
      ${outcome.failureCode}, ${metadata}::jsonb, ${now}::timestamptz
    from sandbox.intents i
    where i.id = ${sourceIntentId} and i.account_id = ${accountId} and i.status = 'succeeded'
      and (exists (select from sandbox.refunds r where r.idempotency_key = ${key}) or ${amountCents}::bigint <=
        i.amount_cents - (select coalesce(sum(r.amount_cents), 0) from sandbox.refunds r
          where r.intent_id = i.id and r.status <> 'failed'))
    on conflict (idempotency_key) do update set idempotency_key = excluded.idempotency_key
    returning ${REFUND}, (intent_id, amount_cents, currency, metadata) =
      (${sourceIntentId}, ${amountCents}::bigint, ${currency}, ${metadata}::jsonb) as same_body`.execute(db);
  return rows[0];
}

function one<T>({ rows }: { rows: T[] }): T {
  const [row] = rows;
  if (row === undefined) throw new TypeError("there is one under the key");
  return row;
}

/** The test payment method of an intent's card. */
export async function readTestMethod(db: Db, intentId: string): Promise<string | undefined> {
  const row = await db
    .selectFrom("sandbox.intents as i")
    .innerJoin("sandbox.payment_methods as m", "m.id", "i.payment_method")
    .where("i.id", "=", intentId)
    .select("m.test_method as testMethod")
    .executeTakeFirst();
  return row?.testMethod;
}

/** Settles pending transfers when they are read. */
export async function settleTransfers(db: Db, failing: readonly string[]): Promise<void> {
  await sql`
    update sandbox.transfers set
      status = case when destination = any(${failing}::text[]) then 'failed' else 'paid' end,
      failure_code = case when destination = any(${failing}::text[]) then 'account_closed' end,
      reversed_cents = case when destination = any(${failing}::text[]) then amount_cents else 0 end
    where status = 'pending'`.execute(db);
}

export async function settleRefunds(db: Db): Promise<void> {
  await sql`update sandbox.refunds set status = 'succeeded' where status = 'pending'`.execute(db);
}

export const listTransfers = (db: Db, of: SentFilter | { id: string }) =>
  list(db, sql`sandbox.transfers`, TRANSFER, of);
export const listRefunds = (db: Db, of: SentFilter | { id: string }) =>
  list(db, sql`sandbox.refunds`, REFUND, of);

async function list(
  db: Db,
  table: RawBuilder<unknown>,
  columns: RawBuilder<unknown>,
  of: SentFilter | { id: string },
): Promise<OutgoingRow[]> {
  const condition =
    "id" in of
      ? sql`id = ${of.id}`
      : "since" in of
        ? sql`created_at >= ${of.since}`
        : sql`account_id = ${of.accountId} and metadata ->> 'milestoneId' = ${of.milestoneId}`;
  const { rows } = await sql<OutgoingRow>`
    select ${columns} from ${table} where ${condition} order by created_at, id`.execute(db);
  return rows;
}
