import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import { drawJump } from "../lib/numbers.ts";
import type { EventPage, EventRow } from "./store.ts";

/** Queues `count` events of the account, from number `first` on, for the operator's feed. */
export async function insertIntoOutbox(
  trx: Trx,
  accountId: string,
  first: number,
  count: number,
): Promise<void> {
  const numbers = Array.from({ length: count }, (_, i) => first + i);
  await trx
    .insertInto("operator_outbox")
    .values(numbers.map((number) => ({ account_id: accountId, number })))
    .execute();
}

/**
 * Locks the head of the operator's feed, so that one transaction at a time appends to it. Returns its last number; after
 * a restore or fail-over, a number beyond all that may have been lost.
 */
export async function lockLastNumber(trx: Trx): Promise<number> {
  const { rows } = await sql<{ last: number; moved: boolean; now: Date }>`
    select last_event as last, run <> server_run() as moved, now() as now
    from operator_head for no key update`.execute(trx);
  const [head] = rows;
  if (head === undefined) throw new TypeError("the operator's feed has a head");
  if (!head.moved) return head.last;
  const { jump, clock } = drawJump(head.now);
  return Math.max(head.last + jump, clock);
}

export type OutboxRow = { account_id: string; number: number; position: number };

/** The oldest committed events in the queue. */
export function listOutbox(trx: Trx, limit: number): Promise<OutboxRow[]> {
  return trx
    .selectFrom("operator_outbox")
    .select(["account_id", "number", "position"])
    .orderBy("position")
    .limit(limit)
    .execute();
}

/** Appends these events to the operator's feed, in their order, from number `first` on. */
export async function insertOperatorEvents(
  trx: Trx,
  first: number,
  rows: readonly OutboxRow[],
): Promise<void> {
  await sql`
    insert into operator_events (number, account, type, resource_id, job_id, data, created_at)
    select ${first}::bigint + o.place - 1, a.id, e.type, e.resource_id, e.job_id, e.data, e.created_at
    from unnest(${rows.map((row) => row.account_id)}::uuid[], ${rows.map((row) => row.number)}::bigint[])
      with ordinality as o (account_id, number, place)
    join events e on e.account_id = o.account_id and e.number = o.number
    join accounts a on a.account_id = o.account_id`.execute(trx);
}

export async function deleteFromOutbox(trx: Trx, rows: readonly OutboxRow[]): Promise<void> {
  await sql`
    delete from operator_outbox
    where account_id = any(${rows.map((row) => row.account_id)}::uuid[])
      and position = any(${rows.map((row) => row.position)}::bigint[])`.execute(trx);
}

export async function updateLastNumber(trx: Trx, last: number): Promise<void> {
  await sql`
    update operator_head set last_event = ${last}, run = server_run(), runs = runs + (run <> server_run())::integer`.execute(
    trx,
  );
}

export async function readLastNumber(db: Db): Promise<number> {
  const { last_event } = await db.selectFrom("operator_head").select("last_event").executeTakeFirstOrThrow();
  return last_event;
}

/** An event with the operator's id for its account. */
export type OperatorEventRow = EventRow & { account: string };

/** One snapshot of the feed's head and of up to `limit` events after `cursor`, oldest first. */
export async function readOperatorPage(
  db: Db,
  cursor: number | null,
  limit: number,
): Promise<EventPage<OperatorEventRow>> {
  const { rows } = await sql<
    { first_event: number; last_event: number; moved: boolean } & {
      [K in keyof OperatorEventRow]: OperatorEventRow[K] | null;
    }
  >`
    select h.first_event, h.last_event, h.run <> server_run() as moved, e.number, e.account, e.type, e.resource_id, e.job_id, e.data, e.created_at
    from operator_head h
    left join lateral (
      select number, account, type, resource_id, job_id, data, created_at from operator_events
      where number > coalesce(${cursor}::bigint, h.first_event - 1)
      order by number limit ${limit}
    ) e on true
    order by e.number`.execute(db);
  return {
    firstEvent: rows[0]?.first_event ?? 1,
    lastEvent: rows[0]?.last_event ?? 0,
    mayHaveLost: rows[0]?.moved ?? false,
    rows: rows.filter((row): row is typeof row & OperatorEventRow => row.number !== null),
  };
}
