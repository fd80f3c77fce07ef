import { readdir } from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { sql } from "kysely";
import { FileMigrationProvider, Migrator } from "kysely/migration";
import { type Connection, connect, type Db } from "./connection.ts";

const FOLDER = path.join(import.meta.dirname, "..", "..", "migrations");
const STATEMENT_TIMEOUT = 60_000;
const LOCK_TIMEOUT = 5_000;
const ATTEMPTS = 5;
const LOCK_NOT_AVAILABLE = "55P03";

/**
 * Brings the database at `url` up to this version's schema. Forward only; two at once are safe, as the
 * migrator holds a lock. A migration that cannot get its locks within 5 s gives way to the traffic, and is
 * tried again.
 * @returns the names of the migrations that ran, oldest first.
 */
export async function migrate(url: string): Promise<string[]> {
  const connection = connect(url, {
    size: 1,
    statementTimeout: STATEMENT_TIMEOUT,
    lockTimeout: LOCK_TIMEOUT,
    onIdleError: () => {},
  });
  try {
    return await migrateToLatest(connection);
  } finally {
    await connection.close();
  }
}

async function migrateToLatest({ db }: Connection): Promise<string[]> {
  const migrator = new Migrator({
    db,
    provider: new FileMigrationProvider({ fs: { readdir }, path, migrationFolder: FOLDER }),
  });
  for (let attempt = 1; ; attempt++) {
    const { error, results } = await migrator.migrateToLatest();
    if (error === undefined) return (results ?? []).map((result) => result.migrationName);
    if (attempt === ATTEMPTS || !isLockTimeout(error)) throw error;
    await delay(attempt * 200);
  }
}

/**
 * Names of the migrations that this version needs and the database has not had. A schema that is ahead is
 * fine: old and new processes run side by side during an upgrade.
 */
export async function pendingMigrations(db: Db): Promise<string[]> {
  const files = await readdir(FOLDER);
  const wanted = files.filter((file) => file.endsWith(".ts")).map((file) => file.slice(0, -".ts".length));
  const table = await sql<{
    found: boolean;
  }>`select to_regclass('kysely_migration') is not null as found`.execute(db);
  if (table.rows[0]?.found !== true) return wanted.sort();
  const { rows } = await sql<{ name: string }>`select name from kysely_migration`.execute(db);
  const done = new Set(rows.map((row) => row.name));
  return wanted.filter((name) => !done.has(name)).sort();
}

function isLockTimeout(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === LOCK_NOT_AVAILABLE;
}
