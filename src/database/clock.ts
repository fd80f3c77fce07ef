import { sql } from "kysely";
import type { Db } from "./connection.ts";

/**
 * The database's time, to the millisecond. Only this clock decides (invariant 12): a transaction reads it
 * with its first statement and hands it to the others as a parameter.
 */
export async function readClock(db: Db): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`select date_trunc('milliseconds', now()) as now`.execute(db);
  const now = rows[0]?.now;
  if (now === undefined) throw new TypeError("the database did not tell the time");
  return now;
}
