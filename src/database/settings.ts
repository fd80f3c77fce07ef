import { sql } from "kysely";
import { type Db, STATEMENT_TIMEOUT } from "./connection.ts";

/**
 * What the running role carries itself, in this database. A role's settings hold on each connection that it opens,
 * through any pooler; what a client sends at its start is refused or dropped there, and a `set` leaks or vanishes.
 * Values are as `current_setting` writes them.
 */
export const ROLE_SETTINGS = {
  statement_timeout: `${STATEMENT_TIMEOUT / 1_000}s`,
  lock_timeout: "3s",
  // Ends a transaction whose process was cut off before its COMMIT, and so its locks.
  idle_in_transaction_session_timeout: "10s",
  // For single statements; transactions say it themselves.
  default_transaction_isolation: "read committed",
  search_path: "public",
} as const;

const SETTINGS = Object.entries(ROLE_SETTINGS);
/** Any number: one process at a time, as Postgres fails two that alter one role at once. */
const ALTERING = 1_129_270_867;

/**
 * Gives the role that `db` connects as the settings above, where one of them is not in force. The connection that was
 * looked at has them at once, and every later one; those that a pooler has open already keep the old ones.
 * @throws DatabaseError 25006 on a server that is read-only
 */
export async function settleRole(db: Db): Promise<void> {
  await db.connection().execute(async (connection) => {
    const settings = sql.join(
      SETTINGS.map(([name, value]) => sql`current_setting(${name}) = ${value}`),
      sql` and `,
    );
    const { rows } = await sql<{ inForce: boolean }>`select ${settings} as "inForce"`.execute(connection);
    if (rows[0]?.inForce === true) return;
    await connection.transaction().execute(async (trx) => {
      await sql`select pg_advisory_xact_lock(${ALTERING})`.execute(trx);
      const { rows } = await sql<{ database: string }>`select current_database() as database`.execute(trx);
      for (const [name, value] of SETTINGS) {
        await sql`alter role current_user in database ${sql.id(rows[0]?.database ?? "")} set ${sql.id(name)} = ${sql.lit(value)}`.execute(
          trx,
        );
        // Behind a pooler this stays with the server's connection: it is what each new one begins with.
        await sql`select set_config(${name}, ${value}, false)`.execute(trx);
      }
    });
  });
}
