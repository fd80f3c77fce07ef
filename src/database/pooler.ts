import { randomBytes } from "node:crypto";
import pg from "pg";
import { StartError } from "../lib/start-error.ts";
import { SettledClient } from "./client.ts";
import { APPLICATION } from "./connection.ts";

const CONNECT_TIMEOUT = 3_000;
/** A pooler with one connection to the server would have the other client wait. */
const ANSWER_TIMEOUT = 1_000;
/** On a busy pooler the first ones may meet the same connection of the server's again. */
const TRIES = 5;
/** That a statement is not there, or is there already: another client's. */
const MISPLACED = new Set(["26000", "42P05"]);

/**
 * Tries whether named statements survive the pooler at `url`, where there is one: in transaction mode the next
 * statement of a client may meet another connection of the server's, and old poolers do not carry its statements there.
 * @throws StartError in one line, where they do not; DatabaseError and others when the database does not answer
 */
export async function assertNamedStatements(url: string): Promise<void> {
  const client = await open(url);
  try {
    if ((await backendOf(client)).pooled) await tryNamedStatement(client, url);
  } finally {
    await client.end();
  }
}

async function tryNamedStatement(client: pg.Client, url: string): Promise<void> {
  const named = { name: `probe_${randomBytes(8).toString("hex")}`, text: "select $1::int", values: [1] };
  const other = await open(url);
  try {
    await client.query(named);
    for (let tried = 0; tried < TRIES; tried++) {
      // Takes the connection that the pooler would hand out next, so the first client meets another.
      await other.query("begin");
      await client.query(named);
      await other.query("rollback");
    }
  } catch (error) {
    // No answer in time, as from a pooler that is just full, says nothing about statements.
    if (!(error instanceof pg.DatabaseError)) return;
    if (!MISPLACED.has(error.code ?? "")) throw error;
    throw new StartError(
      "The pooler at DATABASE_URL loses prepared statements: use PgBouncer 1.21 or newer with max_prepared_statements above 0, or session mode, or Postgres itself.",
    );
  } finally {
    await other.end();
  }
}

/** The server's process behind a connection, and whether there is a pooler between: it hands out keys of its own. */
export async function backendOf(client: pg.Client): Promise<{ pid: number; pooled: boolean }> {
  const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid");
  const pid = rows[0]?.pid ?? 0;
  return { pid, pooled: "processID" in client && client.processID !== pid };
}

async function open(url: string): Promise<pg.Client> {
  const client = new SettledClient({
    connectionString: url,
    application_name: APPLICATION,
    connectionTimeoutMillis: CONNECT_TIMEOUT,
    query_timeout: ANSWER_TIMEOUT,
  });
  client.on("error", () => {});
  await client.connect();
  return client;
}
