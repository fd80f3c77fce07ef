import { randomBytes } from "node:crypto";
import pg from "pg";
import { inject } from "vitest";
import { RUNNING_ROLE } from "../../src/database/grants.ts";
import { asRole, OWNER } from "./roles.ts";

/** The address of another database on the same server. */
export function databaseUrl(adminUrl: string, name: string): string {
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  return url.href;
}

/** Makes a database, empty or as a copy of `template`, on each of these servers. */
export async function createDatabase(
  adminUrls: readonly string[],
  name: string,
  template?: string,
): Promise<void> {
  const from = template === undefined ? "" : ` template ${template} strategy file_copy`;
  await Promise.all(adminUrls.map((url) => run(url, `create database ${name}${from}`)));
}

/**
 * Makes an empty database whose language is Turkish, if the server knows that: there `lower('I')` is not `i`, and no rule
 * may depend on it.
 */
export async function createTurkishDatabase(adminUrl: string, name: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    const { rows } = await client.query("select from pg_collation where collname = 'tr-x-icu'");
    const turkish = " template template0 locale_provider icu icu_locale 'tr-TR'";
    await client.query(`create database ${name}${rows.length === 0 ? "" : turkish}`);
  } finally {
    await client.end();
  }
}

/** Every server that has a part of a test's database: one, or all nodes of a Citus cluster. */
function servers(): string[] {
  return [inject("adminUrl"), ...inject("workers")];
}

/** Drops the template of a run and all databases that its tests have made. */
export async function dropDatabases(adminUrl: string, template: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ datname: string }>(
      "select datname from pg_database where starts_with(datname, $1)",
      [template],
    );
    for (const { datname } of rows) await client.query(`drop database if exists ${datname} with (force)`);
  } finally {
    await client.end();
  }
}

/** Any number: of several runs on one server one at a time changes the roles, which the databases share. */
const ROLES = 1_129_270_868;

/** Runs `work` while no other run does the same on this server. */
export async function onlyOne(adminUrl: string, work: () => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    await client.query("select pg_advisory_lock($1)", [ROLES]);
    await work();
  } finally {
    await client.end();
  }
}

/** A name for a database of the run. */
export function newName(): string {
  return `${inject("template")}_${randomBytes(6).toString("hex")}`;
}

/** Runs one statement on a connection of its own. */
export async function run(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

/**
 * A database of the test file's own, migrated, as the role that runs the service sees it: it owns nothing, and may do
 * what `src/database/grants.ts` says. It goes when the run's Postgres does.
 */
export async function cloneDatabase(): Promise<string> {
  const name = newName();
  await createDatabase(servers(), name, inject("template"));
  await setRun(name);
  return pooledUrl(asRole(databaseUrl(inject("adminUrl"), name), RUNNING_ROLE));
}

/** The same database through the run's PgBouncer, where it has one (`TEST_PGBOUNCER`). */
function pooledUrl(url: string): string {
  const port = inject("poolerPort");
  if (port === undefined) return url;
  const pooled = new URL(url);
  pooled.hostname = "127.0.0.1";
  pooled.port = port;
  return pooled.href;
}

/** The same database, and the same role, without a pooler between. */
export function directUrl(url: string): string {
  const direct = URL.parse(url);
  if (direct === null || direct.port !== inject("poolerPort")) return url;
  const { hostname, port } = new URL(inject("adminUrl"));
  direct.hostname = hostname;
  direct.port = port;
  return direct.href;
}

/** A clone of the template has lost nothing. */
async function setRun(name: string): Promise<void> {
  const url = databaseUrl(inject("adminUrl"), name);
  await run(url, "update operator_head set run = server_run()");
  await run(url, "update processor_search set run = server_run()");
}

/** The same database as the role that owns its tables, for what the service itself must not be able to do. */
export function asOwner(url: string): string {
  return asRole(directUrl(url), OWNER);
}

/** The same database as the server's superuser. */
export function asAdmin(url: string): string {
  return databaseUrl(inject("adminUrl"), new URL(url).pathname.slice(1));
}

/**
 * A copy of a database as it is now, to go on with as if it had been restored from a backup. Breaks the connections to the
 * original, as only an unused database can be copied.
 */
export async function backUpDatabase(url: string): Promise<string> {
  const original = new URL(url).pathname.slice(1);
  const name = newName();
  const adminUrl = inject("adminUrl");
  await run(adminUrl, `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${original}'`);
  await createDatabase([adminUrl], name, original);
  return pooledUrl(asRole(databaseUrl(adminUrl, name), RUNNING_ROLE));
}

/** A database of the test's own with nothing in it. */
export async function emptyDatabase(): Promise<string> {
  const name = newName();
  await createDatabase([inject("adminUrl")], name);
  return databaseUrl(inject("adminUrl"), name);
}
