import type { Db, Trx } from "../database/connection.ts";
import { noteChange, together } from "../database/transaction.ts";
import { newId } from "../lib/ids.ts";
import { coversScope, type Scope } from "../lib/scopes.ts";
import { insertDeliveries, type Subscriber, wakeSubscribers } from "./delivery-store.ts";
import { insertIntoOutbox } from "./operator-store.ts";
import {
  DELIVERIES,
  EVENT_SCOPES,
  type Event,
  type EventType,
  type PageQuery,
  type Updates,
} from "./schemas.ts";
import { insertEvents, type NewEvent, readEventPage, readLastEvents, takeEventNumbers } from "./store.ts";
import { toEvent, toPage, toRange } from "./wire.ts";

export { deleteFeed } from "./retention-store.ts";
export type { NewEvent } from "./store.ts";

/**
 * Appends events to the account's feed, with a delivery for each webhook that subscribes to their type, in the transaction
 * of the change itself. Call it last: it locks those webhooks and then the account's head, after which nothing else may be
 * locked (invariant 11). The commit wakes waiting readers and the sender of deliveries.
 * @returns the events as the feed shows them
 */
export async function appendEvents(
  trx: Trx,
  accountId: string,
  events: readonly (NewEvent & { type: EventType })[],
  now: Date,
): Promise<Event[]> {
  if (events.length === 0) return [];
  const types = [...new Set(events.map(({ type }) => type))];
  const [subscribers, first] = await together(
    wakeSubscribers(trx, accountId, types, now),
    takeEventNumbers(trx, accountId, events.length, now),
  );
  const [rows] = await together(
    insertEvents(trx, accountId, first, events, now),
    insertIntoOutbox(trx, accountId, first, events.length),
  );
  const appended = rows.map(toEvent);
  if (subscribers.length > 0) {
    await queueDeliveries(trx, accountId, subscribers, appended, now);
    noteChange(trx, DELIVERIES);
  }
  noteChange(trx, accountId);
  return appended;
}

/** Creates a delivery for each webhook and each event that it subscribes to. Its body is the event as in the feed. */
async function queueDeliveries(
  trx: Trx,
  accountId: string,
  subscribers: readonly Subscriber[],
  events: readonly Event[],
  now: Date,
): Promise<void> {
  const deliveries = events.flatMap((event) => {
    const body = JSON.stringify(event);
    return subscribers
      .filter(({ eventTypes }) => eventTypes.includes(event.type))
      .map(({ id: webhookId }) => {
        const eventNumber = Number(event.id);
        return { id: newId(), webhookId, eventNumber, eventType: event.type, body };
      });
  });
  await insertDeliveries(trx, accountId, deliveries, now);
}

/**
 * A page of the account's feed, oldest first (docs/contract.md §2). A reader that follows `nextCursor` sees every event that it
 * may read, once and in order.
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

/** The cursor at the present end of the account's feed. */
export async function readLatestCursor(db: Db, accountId: string): Promise<string> {
  const [head] = await readLastEvents(db, [accountId]);
  return String(head?.lastEvent ?? 0);
}

function mayRead(scopes: readonly string[] | "all", type: string): boolean {
  if (scopes === "all") return true;
  const needed = (EVENT_SCOPES as Record<string, Scope>)[type];
  return needed !== undefined && coversScope(scopes, needed);
}
