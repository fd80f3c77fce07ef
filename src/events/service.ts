import type { Db, Trx } from "../database/connection.ts";
import { noteChange } from "../database/transaction.ts";
import { Problem } from "../lib/problems.ts";
import { coversScope } from "../lib/scopes.ts";
import { EVENT_SCOPES, type Event, type EventType, type PageQuery, type Updates } from "./schemas.ts";
import { type EventRow, insertEvents, type NewEvent, readEventPage, takeEventNumbers } from "./store.ts";

export type { NewEvent } from "./store.ts";

const DEFAULT_LIMIT = 50;

/**
 * Appends events to the account's feed, in the transaction of the change that they tell of. Call it last:
 * it takes the account's head, after which nothing else may be locked (invariant 11). Once it has committed,
 * whoever waits for the account's events is woken.
 * @returns the events as the feed shows them
 */
export async function appendEvents(
  trx: Trx,
  accountId: string,
  events: readonly (NewEvent & { type: EventType })[],
  now: Date,
): Promise<Event[]> {
  if (events.length === 0) return [];
  const first = await takeEventNumbers(trx, accountId, events.length);
  await insertEvents(trx, accountId, first, events, now);
  noteChange(trx, accountId);
  return events.map((event, i) =>
    toEvent({
      number: first + i,
      type: event.type,
      resource_id: event.resourceId,
      job_id: event.jobId,
      data: event.data,
      created_at: now,
    }),
  );
}

/**
 * A page of the account's feed, oldest first (CONTRACT.md §2): whoever follows `nextCursor` sees every event
 * that the token may read, once and in order.
 * @param query.cursor digits; absent: from the oldest event kept. `limit`: events scanned, 1–200
 * @throws Problem bad_request {field: "cursor", reason: "cursor_ahead" | "cursor_expired", …}
 */
export async function readUpdates(
  db: Db,
  grant: { accountId: string; scopes: readonly string[] },
  query: PageQuery,
): Promise<Updates> {
  // More digits than a bigint has: surely ahead of every event.
  const cursor = query.cursor === undefined ? null : Math.min(Number(query.cursor), Number.MAX_SAFE_INTEGER);
  const { firstEvent, lastEvent, rows } = await readEventPage(
    db,
    grant.accountId,
    cursor,
    query.limit ?? DEFAULT_LIMIT,
  );
  const from = cursor ?? firstEvent - 1;
  if (from > lastEvent) {
    const details = { field: "cursor", reason: "cursor_ahead", latestCursor: String(lastEvent) };
    throw new Problem(
      "bad_request",
      details,
      "The cursor lies beyond the last event. Go on from `details.latestCursor`.",
    );
  }
  if (from < firstEvent - 1) {
    const details = { field: "cursor", reason: "cursor_expired", oldestCursor: String(firstEvent - 1) };
    throw new Problem(
      "bad_request",
      details,
      "Events after the cursor are no longer kept. Go on from `details.oldestCursor`.",
    );
  }
  const scanned = rows.at(-1)?.number;
  return {
    events: rows.filter((row) => mayRead(grant.scopes, row.type)).map(toEvent),
    nextCursor: scanned === undefined ? (query.cursor ?? String(from)) : String(scanned),
    hasMore: (scanned ?? from) < lastEvent,
  };
}

function mayRead(scopes: readonly string[], type: string): boolean {
  const needed = EVENT_SCOPES[type as EventType];
  return needed !== undefined && coversScope(scopes, needed);
}

function toEvent(row: EventRow): Event {
  return {
    id: String(row.number),
    type: row.type,
    apiVersion: "v1",
    createdAt: row.created_at.toISOString(),
    resourceId: row.resource_id,
    jobId: row.job_id,
    data: row.data,
  };
}
