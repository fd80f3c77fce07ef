import { Problem } from "../lib/problems.ts";
import type { Event, PageQuery } from "./schemas.ts";
import type { EventPage, EventRow } from "./store.ts";

const DEFAULT_LIMIT = 50;

/** An event as every feed shows it. */
export function toEvent(row: EventRow): Event {
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

/** What to read for a query: the events after `cursor`, or from the oldest kept when it is null. */
export function toRange(query: PageQuery): { cursor: number | null; limit: number } {
  return {
    // More digits than a bigint has: surely ahead of every event.
    cursor: query.cursor === undefined ? null : Math.min(Number(query.cursor), Number.MAX_SAFE_INTEGER),
    limit: query.limit ?? DEFAULT_LIMIT,
  };
}

/**
 * The rows of a page, and where its reader goes on (docs/contract.md §2).
 * @throws Problem cursor_ahead, cursor_expired
 */
export function toPage<Row extends EventRow>(
  { firstEvent, lastEvent, mayHaveLost, rows }: EventPage<Row>,
  query: PageQuery,
): { rows: Row[]; nextCursor: string; hasMore: boolean } {
  const from = toRange(query).cursor ?? firstEvent - 1;
  if (from > lastEvent && !mayHaveLost) {
    throw new Problem("cursor_ahead", { field: "cursor", latestCursor: String(lastEvent) });
  }
  if (from < firstEvent - 1) {
    throw new Problem("cursor_expired", { field: "cursor", oldestCursor: String(firstEvent - 1) });
  }
  const last = rows.at(-1)?.number;
  return {
    rows,
    nextCursor: last === undefined ? (query.cursor ?? String(from)) : String(last),
    hasMore: (last ?? from) < lastEvent,
  };
}
