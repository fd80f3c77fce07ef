import { readdir } from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { sql } from "kysely";
import { FileMigrationProvider, Migrator } from "kysely/migration";
import { StartError } from "../lib/start-error.ts";
import { MINUTE } from "../lib/time.ts";
import { connect, type Db } from "./connection.ts";
import { grantToRunningRole } from "./grants.ts";

const FOLDER = path.join(import.meta.dirname, "..", "..", "migrations");
const STATEMENT_TIMEOUT = MINUTE;
const LOCK_TIMEOUT = 5_000;
const ATTEMPTS = 5;
const LOCK_NOT_AVAILABLE = "55P03";

export type Migrated = {
  /** The migrations that ran, oldest first. */
  ran: string[];
  /** Those that a newer version ran before, and that this one does not know. */
  newer: string[];
};

/**
 * Brings the database at `url` up to this version's schema, and gives the running role its rights. Forward only; two
 * at once are safe, as the migrator holds a lock. A migration that cannot get its locks within 5 s gives way to the
 * traffic, and is tried again. A schema that a newer version has made is left as it is, rights included.
 * @param url leads to Postgres itself, as the role that owns the tables or is to own them
 * @throws StartError when this version and the schema have each what the other lacks
 */
export async function migrate(url: string): Promise<Migrated> {
  const connection = connect(url, {
    size: 1,
    statementTimeout: STATEMENT_TIMEOUT,
    lockTimeout: LOCK_TIMEOUT,
    onIdleError: () => {},
  });
  const { db } = connection;
  try {
    await sql`set search_path to public`.execute(db);
    // Where the accounts' tables are distributed (docs/scaling.md); elsewhere they are never read.
    await sql`set citus.enable_unsafe_triggers to on`.execute(db);
    await sql`set citus.multi_shard_modify_mode to 'sequential'`.execute(db);
    const { pending, newer } = await compareMigrations(db);
    if (newer.length > 0 && pending.length > 0) {
      throw new StartError(
        `The database has migrations of another version (${newer.join(", ")}) and lacks some of this one (${pending.join(", ")}): use the newest version.`,
      );
    }
    if (newer.length > 0) return { ran: [], newer };
    const ran = await migrateToLatest(db);
    await grantToRunningRole(db);
    return { ran, newer };
  } finally {
    await connection.close();
  }
}

async function migrateToLatest(db: Db): Promise<string[]> {
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
  return (await compareMigrations(db)).pending;
}

async function compareMigrations(db: Db): Promise<{ pending: string[]; newer: string[] }> {
  const files = await readdir(FOLDER);
  const wanted = files.filter((file) => file.endsWith(".ts")).map((file) => file.slice(0, -".ts".length));
  const found = await sql`select from pg_class
    where relname = 'kysely_migration' and relnamespace = (select oid from pg_namespace where nspname = 'public')`.execute(
    db,
  );
  if (found.rows.length === 0) return { pending: wanted.sort(), newer: [] };
  const { rows } = await sql<{ name: string }>`select name from public.kysely_migration`.execute(db);
  const done = new Set(rows.map((row) => row.name));
  return {
    pending: wanted.filter((name) => !done.has(name)).sort(),
    newer: [...done].filter((name) => !wanted.includes(name)).sort(),
  };
}

function isLockTimeout(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === LOCK_NOT_AVAILABLE;
}
