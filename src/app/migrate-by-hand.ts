import { migrate } from "../database/migrate.ts";
import { asDatabaseError } from "../database/unusable.ts";

/**
 * Migrates the database at `url`, and nothing else: no other setting is read.
 * @returns what to tell the operator
 * @throws StartError in one line
 */
export async function migrateByHand(url: string): Promise<string> {
  const { newer } = await migrate(url).catch((error: unknown) => {
    throw asDatabaseError(error, "DATABASE_MIGRATE_URL (or DATABASE_URL)");
  });
  return describeMigrated(newer);
}

/** @param newer names of the migrations that only a newer version knows */
export function describeMigrated(newer: readonly string[]): string {
  if (newer.length === 0) return "The database is at this version's schema.";
  return `The database is ahead of this version, by ${newer.join(", ")}: nothing was changed, and this version runs on it.`;
}
