import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import path from "node:path";
import pg from "pg";
import { startEmbeddedPostgres } from "../src/database/embedded.ts";
import { migrate } from "../src/database/migrate.ts";

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

/**
 * Makes a database of the run's own, migrated: on the server of BENCH_DATABASE_URL, else on an embedded one with
 * Postgres's default settings. It goes when the run ends.
 */
export async function openDatabase(): Promise<BenchDatabase> {
  const given = process.env.BENCH_DATABASE_URL;
  const server = given === undefined ? await startEmbedded() : { url: given, stop: async () => {} };
  const name = `countersign_bench_${randomBytes(4).toString("hex")}`;
  const admin = new pg.Client({ connectionString: server.url });
  const url = new URL(server.url);
  url.pathname = `/${name}`;
  const client = new pg.Client({ connectionString: url.href });
  const stop = async () => {
    await client.end();
    await admin.query(`drop database if exists ${name} with (force)`);
    await admin.end();
    await server.stop();
  };
  await admin.connect();
  try {
    await admin.query(`create database ${name}`);
    await migrate(url.href);
    await client.connect();
    const description = `${await describe(client)}, ${given === undefined ? "embedded" : "as given"}`;
    return { url: url.href, client, description, stop };
  } catch (error) {
    await stop();
    throw error;
  }
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
