import { sql } from "kysely";
import { inject } from "vitest";
import type { Connection, Db } from "../../src/database/connection.ts";

/** A lock that others wait for; it goes with its block, however the test ends. */
export type HeldLock = AsyncDisposable & { letGo(): Promise<void> };

/** Takes a lock with one statement, in a transaction of its own. */
export async function holdLock({ pool }: Connection, statement: string): Promise<HeldLock> {
  const client = await pool.connect();
  await client.query("begin");
  await client.query(statement);
  let held = true;
  const letGo = async (): Promise<void> => {
    if (!held) return;
    held = false;
    await client.query("commit");
    client.release();
  };
  return { letGo, [Symbol.asyncDispose]: letGo };
}

/** How many statements of this database wait for a lock. */
export async function countWaiting(db: Db): Promise<number> {
  const activity = sql.table(inject("workers").length > 0 ? "citus_stat_activity" : "pg_stat_activity");
  const { rows } = await sql<{ count: number }>`
    select count(*) from ${activity}
    where datname = current_database() and wait_event_type = 'Lock'`.execute(db);
  return rows[0]?.count ?? 0;
}
