import { sql } from "kysely";
import { afterAll, describe, expect, test } from "vitest";
import { connect, type Trx } from "../../src/database/connection.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import { asAdmin, emptyDatabase } from "../support/clones.ts";
import { waitUntil } from "../support/process.ts";

const url = asAdmin(await emptyDatabase());
const { db, close } = connect(url, { size: 5, onIdleError: () => {} });
afterAll(close);
await sql`create table numbered (number int primary key)`.execute(db);

/** Takes the next number as code does that holds no lock: reads the highest, and inserts the one after it. */
async function takeNext(trx: Trx): Promise<number> {
  const { rows } = await sql<{
    next: number;
  }>`select coalesce(max(number), 0) + 1 as next from numbered`.execute(trx);
  const next = rows[0]?.next ?? 0;
  await sql`insert into numbered values (${next})`.execute(trx);
  return next;
}

describe("a transaction", () => {
  test("that finds its number taken by another is run again, like one that was in a deadlock", async () => {
    const first = await db.startTransaction().execute();
    const taken = await takeNext(first);
    let tries = 0;
    const second = inTransaction(db, (trx) => {
      tries += 1;
      return takeNext(trx);
    });
    // It waits for the first to say whether it keeps its number.
    await waitUntil(async () => {
      const { rows } = await sql`select 1 from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`.execute(db);
      return rows.length > 0;
    }, "the second waits");
    await first.commit().execute();
    expect(await second).toBe(taken + 1);
    expect(tries).toBe(2);
  });

  test("that never finds a free one is given up after three tries, with what the database said", async () => {
    let tries = 0;
    const never = inTransaction(db, async (trx) => {
      tries += 1;
      await sql`insert into numbered values (1)`.execute(trx);
    });
    await expect(never).rejects.toMatchObject({ code: "23505" });
    expect(tries).toBe(3);
  });

  test("reads what others have committed, whatever the server's default isolation is", async () => {
    const name = new URL(url).pathname.slice(1);
    await sql.raw(`alter database ${name} set default_transaction_isolation = 'repeatable read'`).execute(db);
    const other = connect(url, { size: 1, onIdleError: () => {} });
    const isolation = await inTransaction(other.db, (trx) =>
      sql<{ transaction_isolation: string }>`show transaction_isolation`.execute(trx),
    );
    expect(isolation.rows).toEqual([{ transaction_isolation: "read committed" }]);
    await other.close();
  });
});
