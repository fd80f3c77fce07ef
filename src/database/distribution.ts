import { sql } from "kysely";
import type { Db } from "./connection.ts";

const distributed = new WeakSet<Db>();

/** Finds out, once for a pool, whether the accounts' tables are distributed over a Citus cluster. */
export async function noteDistribution(db: Db): Promise<void> {
  const { rows: citus } = await sql`select from pg_extension where extname = 'citus'`.execute(db);
  if (citus.length === 0) return;
  const { rows } = await sql`
    select from pg_dist_partition where logicalrelid = to_regclass('public.accounts')`.execute(db);
  if (rows.length > 0) distributed.add(db);
}

/** Whether each account's rows are on one of several nodes: a statement for several accounts would ask many of them. */
export function isDistributed(db: Db): boolean {
  return distributed.has(db);
}
