import { type CompiledQuery, Kysely, PostgresDialect } from "kysely";
import type { Connection, Db } from "../../src/database/connection.ts";
import type { Database } from "../../src/database/schema.ts";

/**
 * The tables that the statements of `read` read whole although an index was preferred at any cost: what such a statement
 * does grows with the table.
 */
export async function tablesReadWhole(
  { pool }: Connection,
  read: (db: Db) => Promise<unknown>,
): Promise<string[]> {
  const queries: CompiledQuery[] = [];
  const dialect = new PostgresDialect({ pool });
  await read(new Kysely<Database>({ dialect, log: ({ query }) => void queries.push(query) }));
  const client = await pool.connect();
  try {
    await client.query("begin");
    await client.query("set local enable_seqscan = off");
    const plans: string[] = [];
    for (const { sql, parameters } of queries) {
      const { rows } = await client.query(`explain ${sql}`, [...parameters]);
      plans.push(...rows.map((row: Record<string, string>) => row["QUERY PLAN"] ?? ""));
    }
    return plans.flatMap((line) => /Seq Scan on (\S+)/.exec(line)?.[1] ?? []);
  } finally {
    await client.query("rollback");
    client.release();
  }
}
