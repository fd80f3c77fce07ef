import { type Selectable, sql } from "kysely";
import { listDue, shortenWaits } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { Database, TopUpAsker } from "../database/schema.ts";
import type { CheckoutRecord, ProcessorName } from "./processor.ts";

const COLUMNS = [
  "account_id as accountId",
  "id",
  "amount_cents as amountCents",
  "currency",
  "status",
  "asked_by as askedBy",
  "session_number as sessionNumber",
  "session_id as sessionId",
  "session_url as sessionUrl",
  "intent_id as intentId",
  "created_at as createdAt",
  "expires_at as expiresAt",
  "completed_at as completedAt",
] as const;

export type TopUpKey = { accountId: string; id: string };
export type TopUpRow = TopUpKey & {
  amountCents: number;
  currency: string;
  status: Selectable<Database["top_ups"]>["status"];
  askedBy: TopUpAsker;
  sessionNumber: number;
  sessionId: string | null;
  sessionUrl: string | null;
  intentId: string | null;
  createdAt: Date;
  expiresAt: Date;
  completedAt: Date | null;
};

export async function insertTopUp(
  trx: Trx,
  topUp: TopUpKey & {
    amountCents: number;
    currency: string;
    askedBy: TopUpAsker;
    processor: ProcessorName;
    expiresAt: Date;
  },
  now: Date,
) {
  return trx
    .insertInto("top_ups")
    .values({
      account_id: topUp.accountId,
      id: topUp.id,
      amount_cents: topUp.amountCents,
      currency: topUp.currency,
      status: "PENDING",
      asked_by: JSON.stringify(topUp.askedBy),
      processor: topUp.processor,
      session_id: null,
      session_url: null,
      intent_id: null,
      due_at: topUp.expiresAt,
      created_at: now,
      expires_at: topUp.expiresAt,
      completed_at: null,
    })
    .returning(COLUMNS)
    .executeTakeFirstOrThrow();
}

export function findTopUp(db: Db, { accountId, id }: TopUpKey): Promise<TopUpRow | undefined> {
  return db
    .selectFrom("top_ups")
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .select(COLUMNS)
    .executeTakeFirst();
}

/** The top-up with that id in any of the accounts. */
export function findTopUpOfAny(db: Db, accountIds: readonly string[], id: string) {
  return db
    .selectFrom("top_ups")
    .where("account_id", "=", sql<string>`any(${accountIds}::uuid[])`)
    .where("id", "=", id)
    .select(COLUMNS)
    .executeTakeFirst();
}

export function lockTopUp(trx: Trx, { accountId, id }: TopUpKey): Promise<TopUpRow | undefined> {
  return trx
    .selectFrom("top_ups")
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .select(COLUMNS)
    .forNoKeyUpdate()
    .executeTakeFirst();
}

/** The account's top-ups, newest first. */
export function listTopUps(db: Db, accountId: string, limit: number): Promise<TopUpRow[]> {
  return db
    .selectFrom("top_ups")
    .where("account_id", "=", accountId)
    .select(COLUMNS)
    .orderBy("created_at", "desc")
    .orderBy("id", "desc")
    .limit(limit)
    .execute();
}

export async function countPending(trx: Trx, accountId: string): Promise<number> {
  const { count } = await trx
    .selectFrom("top_ups")
    .where("account_id", "=", accountId)
    .where("status", "=", "PENDING")
    .select(sql<number>`count(*)::int`.as("count"))
    .executeTakeFirstOrThrow();
  return count;
}

/** Stores the page of a pending top-up under its present key. `false`: it has another page, or is no longer pending. */
export async function keepSession(
  trx: Trx,
  { accountId, id, sessionNumber }: TopUpRow,
  session: { id: string; url: string; dueAt: Date },
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("top_ups")
    .set({ session_id: session.id, session_url: session.url, due_at: session.dueAt })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "=", "PENDING")
    .where("session_number", "=", sessionNumber)
    .where((where) => where.or([where("session_id", "is", null), where("session_id", "=", session.id)]))
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** Switches to the next key, because a page under the present one can no longer be paid. */
export async function dropSession(trx: Trx, { accountId, id, sessionNumber }: TopUpRow): Promise<void> {
  await trx
    .updateTable("top_ups")
    .set({ session_id: null, session_url: null, session_number: sessionNumber + 1 })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "=", "PENDING")
    .where("session_number", "=", sessionNumber)
    .execute();
}

/** `false`: it is completed already. */
export async function completeTopUp(
  trx: Trx,
  { accountId, id }: TopUpKey,
  paid: { sessionId: string; intentId: string },
  now: Date,
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("top_ups")
    .set({
      status: "COMPLETED",
      session_id: paid.sessionId,
      session_url: null,
      intent_id: paid.intentId,
      completed_at: now,
      due_at: null,
    })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "in", ["PENDING", "EXPIRED"])
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** Expires a pending top-up, if its page is still the one that was read. */
export async function expireTopUp(trx: Trx, { accountId, id, sessionId }: TopUpRow): Promise<void> {
  await trx
    .updateTable("top_ups")
    .set({ status: "EXPIRED", session_url: null, due_at: null })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "=", "PENDING")
    .where(sql<boolean>`session_id is not distinct from ${sessionId}`)
    .execute();
}

/** Takes a due top-up for another look. `false`: another process has, or it is decided. */
export async function takeTopUp(
  db: Db,
  { accountId, id }: TopUpKey,
  { now, dueAt }: { now: Date; dueAt: Date },
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable("top_ups")
    .set({ due_at: dueAt })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("due_at", "<=", now)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** Top-ups of any account that have expired or whose page is due to be read, longest due first. */
export function listDueTopUps(db: Db, now: Date, limit: number): Promise<TopUpKey[]> {
  return listDue(db, "top_ups", now, limit);
}

/** Shortens waits that a clock set back has made longer: until a top-up expires, or until its page is read. */
export function shortenTopUpWaits(
  db: Db,
  { lastsSeconds, waitSeconds }: { lastsSeconds: number; waitSeconds: number },
): Promise<void> {
  return shortenWaits(db, "top_ups", "due_at", {
    pending: sql`due_at is not null`,
    seconds: sql`case when session_id is null then ${lastsSeconds}::float8 else ${waitSeconds}::float8 end`,
  });
}

/** Makes the account's pending top-ups due, so that their pages are ended. */
export async function makeTopUpsDue(trx: Trx, accountId: string, now: Date): Promise<void> {
  await trx
    .updateTable("top_ups")
    .set({ due_at: now })
    .where("account_id", "=", accountId)
    .where("status", "=", "PENDING")
    .execute();
}

/** Restores a top-up that the database has lost from the processor's record of its page, if its account exists. */
export async function insertLostTopUp(
  trx: Trx,
  { accountId, id }: TopUpKey,
  { id: sessionId, amountCents, currency, createdAt }: CheckoutRecord,
  { processor, expiresAt }: { processor: ProcessorName; expiresAt: Date },
): Promise<void> {
  await sql`
    insert into top_ups (account_id, id, amount_cents, currency, status, asked_by, processor, session_id, created_at, expires_at)
    select account_id, ${id}::uuid, ${amountCents}::bigint, ${currency}, 'EXPIRED', '{"kind": "lost"}'::jsonb, ${processor},
      ${sessionId}, ${createdAt}::timestamptz, ${expiresAt}::timestamptz
    from accounts where account_id = ${accountId}
    on conflict do nothing`.execute(trx);
}

/** The recipients of mail about an account's money, and the account's name. */
export function listMailed(db: Db, accountId: string, roles: readonly ("owner" | "approver")[]) {
  return db
    .selectFrom("members as m")
    .innerJoin("accounts as a", "a.account_id", "m.account_id")
    .where("m.account_id", "=", accountId)
    .where("m.status", "=", "active")
    .where("m.role", "in", [...roles])
    .select(["m.email", "m.name", "a.name as accountName"])
    .orderBy("m.id")
    .execute();
}
