import { sql } from "kysely";
import type { Db } from "./connection.ts";

/** Rows that probes write, so that the probes of many processes seldom wait for each other. */
const SLOTS = 32;

/**
 * Sees that the database takes writes: commits a row, which a read-only server, a full disk under its log or a
 * synchronous standby that is gone prevents; and has it put a sort of 400 kB on disk, which a full disk under its data
 * prevents, while small updates still find room in pages that are there.
 * @throws DatabaseError, 53100 for a full disk, or the error of a connection that gives no answer
 */
export async function probeWrites(db: Db): Promise<void> {
  await sql`
    insert into write_probes (slot, written_at) values (floor(random() * ${SLOTS}::int), now())
    on conflict (slot) do update set written_at = excluded.written_at`.execute(db);
  await db.transaction().execute(async (trx) => {
    await sql`set local work_mem = '64kB'`.execute(trx);
    await sql`select count(*) from (
      select g from generate_series(1, 20000) as g order by random() offset 0
    ) as spilled`.execute(trx);
  });
}
