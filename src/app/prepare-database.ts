import type { Logger } from "pino";
import type { Config } from "../config/config.ts";
import { behind, findFaults, findServerFaults } from "../database/checks.ts";
import type { Db } from "../database/connection.ts";
import { noteDistribution } from "../database/distribution.ts";
import { type Migrated, migrate, pendingMigrations } from "../database/migrate.ts";
import { assertNamedStatements } from "../database/pooler.ts";
import { settleRole } from "../database/settings.ts";
import { asDatabaseError } from "../database/unusable.ts";
import { StartError } from "../lib/start-error.ts";

/**
 * Migrates where that is asked for, settles the role that the service runs as, and sees that everything is as the
 * service needs it.
 * @param database.db a pool on `url`
 * @throws StartError with one line a fault
 */
export async function prepareDatabase(
  { migrateOnStart, databaseMigrateUrl }: Config,
  { db, url, logger }: { db: Db; url: string; logger: Logger },
): Promise<void> {
  try {
    refuse(await findServerFaults(db));
    await settleRole(db);
    if (migrateOnStart) {
      const { ran } = await migrateAs(databaseMigrateUrl ?? url, databaseMigrateUrl);
      if (ran.length > 0) logger.info({ migrations: ran }, "schema migrated");
    }
    refuse(await findFaults(db));
    await noteDistribution(db);
    await assertNamedStatements(url);
  } catch (error) {
    throw asDatabaseError(error);
  }
}

function migrateAs(url: string, migrateUrl: string | undefined): Promise<Migrated> {
  return migrate(url).catch((error: unknown) => {
    throw asDatabaseError(error, migrateUrl === undefined ? "DATABASE_URL" : "DATABASE_MIGRATE_URL");
  });
}

function refuse(faults: readonly string[]): void {
  if (faults.length > 0) throw new StartError(faults.join("\n"));
}

/** @throws StartError when the schema lacks what this version needs */
export async function assertMigrated(db: Db): Promise<void> {
  const pending = await pendingMigrations(db);
  if (pending.length > 0) throw new StartError(behind(pending));
}
