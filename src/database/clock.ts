import { type RawBuilder, sql } from "kysely";
import type { Db } from "./connection.ts";

/**
 * The database's time, to the millisecond. Only this clock decides (invariant 12): a transaction reads it
 * with its first statement and hands it to the others as a parameter.
 */
export function readClock(db: Db): Promise<Date> {
  return read(db, sql`now()`);
}

/**
 * A column's new value: the time of this transaction, or the column's own or another's where that is later. A clock that
 * was set back never writes a time before the one that it follows.
 */
export function notBefore(column: string, now: Date): RawBuilder<Date> {
  return sql<Date>`greatest(${sql.ref(column)}, ${now}::timestamptz)`;
}

/**
 * The database's time at this very statement: for what was waited for within a transaction, whose own time
 * stands still.
 */
export function readClockNow(db: Db): Promise<Date> {
  return read(db, sql`clock_timestamp()`);
}

async function read(db: Db, clock: RawBuilder<unknown>): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`select date_trunc('milliseconds', ${clock}) as now`.execute(db);
  const now = rows[0]?.now;
  if (now === undefined) throw new TypeError("the database did not tell the time");
  return now;
}
