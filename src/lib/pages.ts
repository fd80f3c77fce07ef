import { isUuid } from "./ids.ts";
import { badField } from "./problems.ts";

/** A list's page: how many, and the `nextCursor` of the page before. */
export type PageQuery = { cursor?: string | undefined; limit?: number | undefined };

export const PAGE_LIMIT = 50;

/**
 * Cuts what was read into a page.
 * @param rows one more than `limit`, if there are
 * @param cursorOf where the next page begins: after the last row of this one
 */
export function toPage<Row, Cursor>(
  rows: readonly Row[],
  limit: number,
  cursorOf: (last: Row) => Cursor,
): { page: Row[]; nextCursor: Cursor | null } {
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return { page, nextCursor: rows.length > limit && last !== undefined ? cursorOf(last) : null };
}

/**
 * A cursor that is the id of the last row, as ids of our own are in the order in which they were made.
 * @throws Problem bad_request {field: "cursor"}
 */
export function idCursorOf(cursor: string | undefined): string | undefined {
  if (cursor === undefined || isUuid(cursor)) return cursor;
  throw unknownCursor();
}

/**
 * A cursor that holds a time and an id: the place in a list by time.
 * @throws Problem bad_request {field: "cursor"}
 */
export function timeCursorOf(cursor: string | undefined): { at: Date; id: string } | undefined {
  if (cursor === undefined) return undefined;
  const [, at = "", id] = /^(\d{1,15})\.(.{1,64})$/.exec(cursor) ?? [];
  if (id === undefined) throw unknownCursor();
  return { at: new Date(Number(at)), id };
}

/**
 * As `timeCursorOf`, where ids are our own.
 * @throws Problem bad_request {field: "cursor"}
 */
export function ownTimeCursorOf(cursor: string | undefined): { at: Date; id: string } | undefined {
  const place = timeCursorOf(cursor);
  if (place === undefined || isUuid(place.id)) return place;
  throw unknownCursor();
}

/** The cursor of a row, for `timeCursorOf`. */
export function timeCursor({ at, id }: { at: Date; id: string }): string {
  return `${at.getTime()}.${id}`;
}

function unknownCursor() {
  return badField("cursor", "`cursor` must be a `nextCursor` that was given.");
}
