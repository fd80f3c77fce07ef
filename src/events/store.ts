import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import { drawJump } from "../lib/numbers.ts";

export type NewEvent = {
  type: string;
  resourceId: string;
  jobId: string | null;
  data: Record<string, unknown>;
};

export type EventRow = {
  number: number;
  type: string;
  resource_id: string;
  job_id: string | null;
  data: Record<string, unknown>;
  created_at: Date;
};

/**
 * Takes the next `count` numbers of the account. The row stays locked until the transaction ends, so that the
 * order of the numbers is the order of the commits, without gaps (invariant 6). After a restore or fail-over numbers may have
 * been lost: then feed and chain go on beyond them.
 */
export async function takeEventNumbers(
  trx: Trx,
  accountId: string,
  count: number,
  now: Date,
): Promise<number> {
  const taken = await sql<{ last: number }>`
    update account_heads set last_event = last_event + ${count}
    where account_id = ${accountId} and run = server_run_at(account_id)
    returning last_event as last`.execute(trx);
  const { jump, clock } = drawJump(now);
  const jumped =
    taken.rows.length > 0
      ? taken
      : await sql<{ last: number }>`
          update account_heads set run = server_run_at(account_id),
            last_event = greatest(last_event + ${jump}::bigint, ${clock}::bigint) + ${count},
            chain_floor = greatest(chain_index + ${jump}::bigint, ${clock}::bigint)
          where account_id = ${accountId}
          returning last_event as last`.execute(trx);
  const last = jumped.rows[0]?.last;
  if (last === undefined) throw new TypeError("an account has a head");
  return last - count + 1;
}

/** Writes the events. @returns them as the feed reads them, in their order */
export async function insertEvents(
  trx: Trx,
  accountId: string,
  first: number,
  events: readonly NewEvent[],
  now: Date,
): Promise<EventRow[]> {
  const rows = await trx
    .insertInto("events")
    .values(
      events.map((event, i) => ({
        account_id: accountId,
        number: first + i,
        type: event.type,
        resource_id: event.resourceId,
        job_id: event.jobId,
        data: JSON.stringify(event.data),
        created_at: now,
      })),
    )
    .returning(["number", "type", "resource_id", "job_id", "data", "created_at"])
    .execute();
  return rows.sort((a, b) => a.number - b.number);
}

/** How far the accounts' feeds go. */
export function readLastEvents(db: Db, accountIds: readonly string[]) {
  return db
    .selectFrom("account_heads")
    .where("account_id", "=", sql<string>`any(${accountIds}::uuid[])`)
    .select(["account_id as accountId", "last_event as lastEvent"])
    .execute();
}

export type EventPage<Row extends EventRow = EventRow> = {
  firstEvent: number;
  lastEvent: number;
  /** After a restore or fail-over: a reader ahead of the last event may have read events that were lost. */
  mayHaveLost: boolean;
  rows: Row[];
};

/** One snapshot of the account's head and of up to `limit` events after `cursor`, oldest first. */
export async function readEventPage(
  db: Db,
  accountId: string,
  cursor: number | null,
  limit: number,
): Promise<EventPage> {
  const { rows } = await sql<
    { first_event: number; last_event: number; moved: boolean } & {
      [K in keyof EventRow]: EventRow[K] | null;
    }
  >`
    select h.first_event, h.last_event, h.run <> server_run_at(h.account_id) as moved, e.number, e.type, e.resource_id, e.job_id, e.data, e.created_at
    from account_heads h
    left join lateral (
      select number, type, resource_id, job_id, data, created_at from events
      where account_id = ${accountId} and number > coalesce(${cursor}::bigint, h.first_event - 1)
      order by number limit ${limit}
    ) e on true
    where h.account_id = ${accountId}
    order by e.number`.execute(db);
  return {
    firstEvent: rows[0]?.first_event ?? 1,
    lastEvent: rows[0]?.last_event ?? 0,
    mayHaveLost: rows[0]?.moved ?? false,
    rows: rows.filter((row): row is typeof row & EventRow => row.number !== null),
  };
}
