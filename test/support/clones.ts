import { randomBytes } from "node:crypto";
import pg from "pg";
import { inject } from "vitest";

/** The address of another database on the same server. */
export function databaseUrl(adminUrl: string, name: string): string {
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  return url.href;
}

/** Makes a database, empty or as a copy of `template`. */
export async function createDatabase(adminUrl: string, name: string, template?: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    await client.query(
      `create database ${name}${template === undefined ? "" : ` template ${template} strategy file_copy`}`,
    );
  } finally {
    await client.end();
  }
}

/** A database of the test file's own, migrated. It goes when the run's Postgres does. */
export async function cloneDatabase(): Promise<string> {
  const name = `test_${randomBytes(6).toString("hex")}`;
  await createDatabase(inject("adminUrl"), name, inject("template"));
  return databaseUrl(inject("adminUrl"), name);
}

/** A database of the test's own with nothing in it. */
export async function emptyDatabase(): Promise<string> {
  const name = `empty_${randomBytes(6).toString("hex")}`;
  await createDatabase(inject("adminUrl"), name);
  return databaseUrl(inject("adminUrl"), name);
}
