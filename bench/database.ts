import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import path from "node:path";
import pg from "pg";
import { startEmbeddedPostgres } from "../src/database/embedded.ts";
import { migrate } from "../src/database/migrate.ts";
import type { Account } from "./data.ts";

/** Where the embedded Postgres and pgbench's script go: a disk, as fsync in memory costs nothing. */
export const FOLDER = path.join(import.meta.dirname, "..", ".bench");

export type BenchDatabase = {
  url: string;
  /** For what is done outside the timed parts. */
  client: pg.Client;
  /** What it is, for people. */
  description: string;
  stop(): Promise<void>;
};

/** A server on which databases are created for the run. */
type Server = { url: string; description: string; stop(): Promise<void> };

/**
 * Creates a migrated database for this run: on the server of BENCH_DATABASE_URL, else on an embedded one with
 * Postgres's default settings. The database is dropped, and the embedded server stopped, when the run ends.
 */
export async function openDatabase(): Promise<BenchDatabase> {
  const server = await openServer();
  try {
    const database = await createDatabase(server, migrate);
    const stop = () => database.stop().then(server.stop);
    return { ...database, stop };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** The server of BENCH_DATABASE_URL, else an embedded one. */
export async function openServer(): Promise<Server> {
  const url = process.env.BENCH_DATABASE_URL;
  if (url === undefined) return { ...(await startEmbedded()), description: "embedded" };
  return { url, description: "as given", stop: async () => {} };
}

/** Creates a database on the server; `stop` drops it. */
export async function createDatabase(
  server: Server,
  migrateDatabase: (url: string) => Promise<unknown>,
): Promise<BenchDatabase> {
  const name = `countersign_bench_${randomBytes(4).toString("hex")}`;
  const admin = new pg.Client({ connectionString: server.url });
  const url = new URL(server.url);
  url.pathname = `/${name}`;
  const client = new pg.Client({ connectionString: url.href });
  const stop = async () => {
    await client.end();
    await admin.query(`drop database if exists ${name} with (force)`);
    await admin.end();
  };
  await admin.connect();
  try {
    await admin.query(`create database ${name}`);
    await migrateDatabase(url.href);
    await client.connect();
    const description = `${await describe(client)}, ${server.description}`;
    return { url: url.href, client, description, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The approvals of the accounts. */
export async function readApprovals(
  { client }: Pick<BenchDatabase, "client">,
  accounts: readonly Account[],
): Promise<{ account: Account; approvalId: string }[]> {
  const byId = new Map(accounts.map((account) => [account.accountId, account]));
  const { rows } = await client.query<{ account_id: string; id: string }>(
    "select account_id, id from approvals where account_id = any($1)",
    [[...byId.keys()]],
  );
  return rows.flatMap(({ account_id, id }) => {
    const account = byId.get(account_id);
    return account === undefined ? [] : [{ account, approvalId: id }];
  });
}

async function startEmbedded(): Promise<{ url: string; stop(): Promise<void> }> {
  const postgres = await startEmbeddedPostgres({ dataDir: FOLDER });
  const stop = async () => {
    await postgres.stop();
    for (const folder of [FOLDER, path.dirname(postgres.dataFolder)]) {
      await rm(folder, { recursive: true, force: true, maxRetries: 10 });
    }
  };
  return { url: postgres.url, stop };
}

async function describe(client: pg.Client): Promise<string> {
  const { rows } = await client.query(`select current_setting('server_version') as version,
    current_setting('fsync') as fsync, current_setting('synchronous_commit') as commit`);
  return `Postgres ${rows[0].version}, fsync ${rows[0].fsync}, synchronous_commit ${rows[0].commit}`;
}
