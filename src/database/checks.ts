import { sql } from "kysely";
import { MINUTE } from "../lib/time.ts";
import type { Db } from "./connection.ts";
import { GRANTS } from "./grants.ts";
import { pendingMigrations } from "./migrate.ts";
import { ROLE_SETTINGS } from "./settings.ts";

const OLDEST = 15;
/** Longer than any version of the service asks for, so that two can stand side by side. */
const LONGEST_LIMIT = MINUTE;
const SHOWN = 3;

type Facts = {
  version: number;
  encoding: string;
  clientEncoding: string;
  dateStyle: string;
  timeZone: string;
  standby: boolean;
  readOnly: boolean;
  role: string;
  isolation: string;
  searchPath: string;
  statementTimeout: number;
  lockTimeout: number;
  idleInTransactionTimeout: number;
};

/**
 * What about the server itself would make calls fail, however the schema and the role are: asked before anything is
 * written.
 * @returns one line a fault, each with what to do
 */
export async function findServerFaults(db: Db): Promise<string[]> {
  return serverFaults(await readFacts(db));
}

/**
 * Everything that would make calls fail later: the server, what is in force on its connections (through the pooler, if
 * there is one), the schema, and the rights of the role. Three statements, which write nothing.
 * @returns one line a fault, each with what to do
 */
export async function findFaults(db: Db): Promise<string[]> {
  const facts = await readFacts(db);
  const faults = [...serverFaults(facts), ...settingFaults(facts)];
  const missing = await findMissingGrants(db, facts.role);
  // Without its rights it may not even read which migrations there were.
  if (missing.length > 0) return [...faults, ...missing];
  const pending = await pendingMigrations(db);
  return pending.length === 0 ? faults : [...faults, behind(pending)];
}

/** @param pending names of migrations; at least one */
export function behind(pending: readonly string[]): string {
  return `The database is behind this version (${pending.length} migrations): run \`npm run migrate\`, or the image with \`migrate\`, first.`;
}

async function readFacts(db: Db): Promise<Facts> {
  const milliseconds = (name: keyof typeof ROLE_SETTINGS) =>
    sql<number>`(select setting::int from pg_settings where name = ${sql.lit(name)})`;
  const { rows } = await sql<Facts>`select
    current_setting('server_version_num')::int as version,
    current_setting('server_encoding') as encoding,
    current_setting('client_encoding') as "clientEncoding",
    current_setting('DateStyle') as "dateStyle",
    current_setting('TimeZone') as "timeZone",
    pg_is_in_recovery() as standby,
    current_setting('transaction_read_only') = 'on' as "readOnly",
    current_user::text as role,
    current_setting('default_transaction_isolation') as isolation,
    current_setting('search_path') as "searchPath",
    ${milliseconds("statement_timeout")} as "statementTimeout",
    ${milliseconds("lock_timeout")} as "lockTimeout",
    ${milliseconds("idle_in_transaction_session_timeout")} as "idleInTransactionTimeout"`.execute(db);
  const [facts] = rows;
  if (facts === undefined) throw new TypeError("the database did not describe itself");
  return facts;
}

function serverFaults({ version, encoding, standby, readOnly }: Facts): string[] {
  const faults: string[] = [];
  const major = Math.floor(version / 10_000);
  if (major < OLDEST) faults.push(`This is Postgres ${major}, and ${OLDEST} or newer is needed: upgrade it.`);
  if (encoding !== "UTF8") {
    faults.push(
      `The database is encoded in ${encoding}, which cannot hold most names: create a new one with \`create database … encoding 'UTF8' template template0\`.`,
    );
  }
  if (standby) {
    faults.push("This Postgres is a standby, which takes no writes: point DATABASE_URL to the primary.");
  } else if (readOnly) {
    faults.push(
      "This Postgres takes no writes (default_transaction_read_only is on): switch it off for this role and database; some providers switch it on when the disk is full.",
    );
  }
  return faults;
}

const STALE =
  "a pooler keeps connections from before the role had its settings, or sets its own: `RECONNECT` in PgBouncer's console, and look for connect_query.";

function settingFaults(facts: Facts): string[] {
  const faults: string[] = [];
  const expect = (name: string, actual: string, wanted: string, right: boolean) => {
    if (!right) faults.push(`${name} is ${actual}, where ${wanted} is needed: ${STALE}`);
  };
  const isUtc = /^(UTC|Etc\/UTC|GMT)$/i.test(facts.timeZone);
  expect("client_encoding", facts.clientEncoding, "UTF8", facts.clientEncoding === "UTF8");
  expect("DateStyle", facts.dateStyle, "ISO", facts.dateStyle.startsWith("ISO"));
  expect("TimeZone", facts.timeZone, "UTC", isUtc);
  const { default_transaction_isolation, search_path } = ROLE_SETTINGS;
  expect(
    "default_transaction_isolation",
    facts.isolation,
    default_transaction_isolation,
    facts.isolation === default_transaction_isolation,
  );
  expect("search_path", facts.searchPath || "empty", search_path, facts.searchPath === search_path);
  const limits = {
    statement_timeout: facts.statementTimeout,
    lock_timeout: facts.lockTimeout,
    idle_in_transaction_session_timeout: facts.idleInTransactionTimeout,
  };
  for (const [name, value] of Object.entries(limits)) {
    expect(name, `${value} ms`, "a time limit of a minute at most", value > 0 && value <= LONGEST_LIMIT);
  }
  return faults;
}

/** Of the tables that are there: which are not, the migrations say. */
async function findMissingGrants(db: Db, role: string): Promise<string[]> {
  const needed = Object.entries(GRANTS).flatMap(([table, privileges]) => {
    const [name = "", schema = "public"] = table.split(".").reverse();
    return privileges.map((privilege) => ({ schema, name, privilege }));
  });
  const { rows } = await sql<{ schema: string; name: string; privilege: string }>`
    select g.schema, g.name, g.privilege
    from unnest(${needed.map((one) => one.schema)}::text[], ${needed.map((one) => one.name)}::text[],
      ${needed.map((one) => one.privilege)}::text[]) with ordinality as g (schema, name, privilege, position)
    join pg_namespace n on n.nspname = g.schema
    join pg_class c on c.relnamespace = n.oid and c.relname = g.name
    where not (has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, g.privilege))
    order by g.position`.execute(db);
  if (rows.length === 0) return [];
  const missing = rows
    .slice(0, SHOWN)
    .map(({ schema, name, privilege }) => `${privilege} on ${schema}.${name}`);
  const more = rows.length > SHOWN ? ` and ${rows.length - SHOWN} more` : "";
  return [
    `The role ${role} may not ${missing.join(", ")}${more}: run \`migrate\` with DATABASE_MIGRATE_URL, which grants it; docs/database.md says how roles are made.`,
  ];
}
