import type { Db, Trx } from "../database/connection.ts";
import { noteChange } from "../database/transaction.ts";
import { coversScope, type Scope } from "../lib/scopes.ts";
import { insertIntoOutbox } from "./operator-store.ts";
import { EVENT_SCOPES, type Event, type EventType, type PageQuery, type Updates } from "./schemas.ts";
import { insertEvents, type NewEvent, readEventPage, readLastEvents, takeEventNumbers } from "./store.ts";
import { toEvent, toPage, toRange } from "./wire.ts";

export type { NewEvent } from "./store.ts";

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
  await insertIntoOutbox(trx, accountId, first, events.length);
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
 * that they may read, once and in order.
 * @param grant.scopes those of a token, or all there is
 * @param query.cursor digits; absent: from the oldest event kept. `limit`: events scanned, 1–200
 * @throws Problem cursor_ahead, cursor_expired
 */
export async function readUpdates(
  db: Db,
  { accountId, scopes }: { accountId: string; scopes: readonly string[] | "all" },
  query: PageQuery,
): Promise<Updates> {
  const { cursor, limit } = toRange(query);
  const { rows, ...page } = toPage(await readEventPage(db, accountId, cursor, limit), query);
  return { events: rows.filter((row) => mayRead(scopes, row.type)).map(toEvent), ...page };
}

/** Where the account's feed ends just now: the cursor after which only what is still to come follows. */
export async function readLatestCursor(db: Db, accountId: string): Promise<string> {
  const [head] = await readLastEvents(db, [accountId]);
  return String(head?.lastEvent ?? 0);
}

function mayRead(scopes: readonly string[] | "all", type: string): boolean {
  if (scopes === "all") return true;
  const needed = (EVENT_SCOPES as Record<string, Scope>)[type];
  return needed !== undefined && coversScope(scopes, needed);
}
