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
  await run(
    adminUrl,
    `create database ${name}${template === undefined ? "" : ` template ${template} strategy file_copy`}`,
  );
}

async function run(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

/** A database of the test file's own, migrated. It goes when the run's Postgres does. */
export async function cloneDatabase(): Promise<string> {
  const name = `test_${randomBytes(6).toString("hex")}`;
  await createDatabase(inject("adminUrl"), name, inject("template"));
  const url = databaseUrl(inject("adminUrl"), name);
  // A clone of the template has lost nothing.
  await run(url, "update operator_head set run = server_run()");
  await run(url, "update processor_search set run = server_run()");
  return url;
}

/**
 * A copy of a database as it is now, to go on with as if it had been restored from a backup. Breaks the connections to the
 * original, as a copy is made of what nobody uses.
 */
export async function backUpDatabase(url: string): Promise<string> {
  const original = new URL(url).pathname.slice(1);
  const name = `backup_${randomBytes(6).toString("hex")}`;
  const adminUrl = inject("adminUrl");
  await run(adminUrl, `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${original}'`);
  await createDatabase(adminUrl, name, original);
  return databaseUrl(adminUrl, name);
}

/** A database of the test's own with nothing in it. */
export async function emptyDatabase(): Promise<string> {
  const name = `empty_${randomBytes(6).toString("hex")}`;
  await createDatabase(inject("adminUrl"), name);
  return databaseUrl(inject("adminUrl"), name);
}
