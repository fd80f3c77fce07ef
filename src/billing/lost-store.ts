import { sql } from "kysely";
import type { Db } from "../database/connection.ts";
import type { IntentRecord } from "./processor.ts";

/** The run of the server that was searched last, from when on to search, and whether `present` is another run. */
export type Search = { run: string; present: string; seenAt: Date; moved: boolean };

export async function readSearch(db: Db): Promise<Search> {
  const { rows } = await sql<Search>`
    select run, server_run() as present, least(seen_at, now()) as "seenAt", run <> server_run() as moved
    from processor_search`.execute(db);
  const [search] = rows;
  if (search === undefined) throw new TypeError("there is one row of searches");
  return search;
}

/**
 * Records that this run was searched, unless another process did, or the server restarted since the search began: its
 * result may then be incomplete.
 */
export async function endSearch(db: Db, { run, present }: Search): Promise<void> {
  await sql`
    update processor_search set run = server_run(), seen_at = now()
    where run = ${run} and server_run() = ${present}`.execute(db);
}

/** Records that nothing is lost so far. A clock that was ahead takes the record back when it is set back. */
export async function noteSeen(db: Db): Promise<void> {
  await sql`update processor_search set seen_at = now() where run = server_run()`.execute(db);
}

/**
 * Treats the present run of the server as a new one, so that everything is searched.
 * @param since commits before it are present
 */
export async function forgetRun(db: Db, since: Date | undefined): Promise<void> {
  await sql`update account_heads set run = ''`.execute(db);
  await sql`update operator_head set run = ''`.execute(db);
  await sql`update processor_search set run = '', seen_at = least(seen_at, ${since ?? null}::timestamptz)`.execute(
    db,
  );
}

/** Stores intents that name a milestone and that no payment has. */
export async function keepLost(db: Db, intents: readonly IntentRecord[], now: Date): Promise<void> {
  const named = intents.flatMap(({ id, accountId, milestoneId }) =>
    accountId === null || milestoneId === null
      ? []
      : [{ account_id: accountId, intent_id: id, milestone_id: milestoneId, found_at: now }],
  );
  if (named.length === 0) return;
  const paid = await db
    .selectFrom("payments")
    .where("account_id", "=", sql<string>`any(${named.map((intent) => intent.account_id)}::uuid[])`)
    .where("intent_id", "=", sql<string>`any(${named.map((intent) => intent.intent_id)}::text[])`)
    .select(["account_id", "intent_id"])
    .execute();
  const known = new Set(paid.map((payment) => `${payment.account_id} ${payment.intent_id}`));
  const lost = named.filter((intent) => !known.has(`${intent.account_id} ${intent.intent_id}`));
  if (lost.length === 0) return;
  await db
    .insertInto("lost_intents")
    .values(lost)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** Stored intents of this milestone, or of any. */
export async function listLost(db: Db, of?: { accountId: string; milestoneId: string }) {
  const { rows } = await sql<{ accountId: string; intentId: string }>`
    select l.account_id as "accountId", l.intent_id as "intentId" from lost_intents l
    where ${of === undefined ? sql`true` : sql`l.account_id = ${of.accountId} and l.milestone_id = ${of.milestoneId}`}
      and not exists (
        select from payments p where p.account_id = ${of?.accountId ?? sql`l.account_id`} and p.intent_id = l.intent_id)
    order by l.account_id, l.intent_id`.execute(db);
  return rows;
}

/** Those that were not reported yet. */
export function listUntold(db: Db): Promise<{ accountId: string; intentId: string }[]> {
  return db
    .selectFrom("lost_intents as l")
    .where("l.told_at", "is", null)
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom("payments as p")
            .whereRef("p.account_id", "=", "l.account_id")
            .whereRef("p.intent_id", "=", "l.intent_id")
            .select("p.id"),
        ),
      ),
    )
    .select(["l.account_id as accountId", "l.intent_id as intentId"])
    .orderBy("l.account_id")
    .orderBy("l.intent_id")
    .execute();
}

export async function markTold(db: Db, accountId: string, intentId: string, now: Date): Promise<void> {
  await db
    .updateTable("lost_intents")
    .set({ told_at: now })
    .where("account_id", "=", accountId)
    .where("intent_id", "=", intentId)
    .execute();
}

export async function forgetLost(db: Db, accountId: string, intentId: string): Promise<void> {
  await db
    .deleteFrom("lost_intents")
    .where("account_id", "=", accountId)
    .where("intent_id", "=", intentId)
    .execute();
}
