import { type RawBuilder, sql } from "kysely";
import { type Db, type Trx, transact } from "./connection.ts";
import type { Database } from "./schema.ts";

const CLOCK = "select date_trunc('milliseconds', now()) as now";
const clocks = new WeakMap<Db, Date>();

/** Begins a transaction and reads its time, in one round trip. @throws what `work` throws */
export function withClock<T>(db: Db, work: (trx: Trx, now: Date) => Promise<T>): Promise<T> {
  return transact<{ now: Date }, T>(db, CLOCK, (trx, [row]) => {
    if (row === undefined) throw new TypeError("the database did not tell the time");
    clocks.set(trx, row.now);
    return work(trx, row.now);
  });
}

/**
 * The database's time, to the millisecond. Only this clock decides (invariant 12): a transaction reads it
 * with its first statement and hands it to the others as a parameter.
 */
export async function readClock(db: Db): Promise<Date> {
  return clocks.get(db) ?? read(db, sql`now()`);
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

/** How much a wait may exceed its length before it is shortened: writers read the clock a little later than the sweep. */
const SLACK_SECONDS = 1;

/**
 * Shortens waits that are longer than their kind lasts. They were written before the database's clock was set back, and
 * would otherwise last until the clock has caught up.
 * @param pending the rows that wait
 * @param seconds how long a wait of a row lasts at most
 */
export async function shortenWaits(
  db: Db,
  table: keyof Database,
  column: "due_at" | "leased_until",
  { pending, seconds }: { pending: RawBuilder<boolean>; seconds: RawBuilder<number> },
): Promise<void> {
  await sql`
    update ${sql.table(table)} set ${sql.ref(column)} = now() + make_interval(secs => ${seconds})
    where ${pending} and ${sql.ref(column)} > now() + make_interval(secs => ${seconds} + ${SLACK_SECONDS})`.execute(
    db,
  );
}

async function read(db: Db, clock: RawBuilder<unknown>): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`select date_trunc('milliseconds', ${clock}) as now`.execute(db);
  const now = rows[0]?.now;
  if (now === undefined) throw new TypeError("the database did not tell the time");
  return now;
}

/** The rows of any account that are due, longest first. */
export async function listDue(
  db: Db,
  table: "payments" | "top_ups",
  now: Date,
  limit: number,
): Promise<{ accountId: string; id: string }[]> {
  const { rows } = await sql<{ accountId: string; id: string }>`
    select account_id as "accountId", id from ${sql.table(table)} where due_at <= ${now}
    order by due_at limit ${limit}`.execute(db);
  return rows;
}
