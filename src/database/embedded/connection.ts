import { StartError } from "../../lib/start-error.ts";
import { SettledClient } from "../client.ts";
import { type Cluster, NAME } from "./cluster.ts";

const CONNECT_TIMEOUT = 5_000;
const STATEMENT_TIMEOUT = 30_000;
const WRONG_PASSWORD = "28P01";

/** The address of the cluster's own database, password included. Port on 127.0.0.1. */
export function databaseUrl(cluster: Cluster, port: number, database: string = NAME): string {
  // Said outright, as PGSSLMODE and PGSSLNEGOTIATION would be heeded otherwise.
  return `postgres://${NAME}:${cluster.password}@127.0.0.1:${port}/${database}?sslmode=disable&sslnegotiation=postgres`;
}

/**
 * Whether the cluster's Postgres answers on `port`: not while it starts, recovers or stops, and not when
 * something else listens there.
 * @throws StartError when it refuses our password
 */
export async function answers(cluster: Cluster, port: number): Promise<boolean> {
  try {
    const rows = await query(databaseUrl(cluster, port, "postgres"), "show data_directory");
    return rows[0]?.data_directory === cluster.dataFolder;
  } catch (error) {
    if (codeOf(error) === WRONG_PASSWORD) throw wrongPassword(cluster);
    return false;
  }
}

/**
 * Makes the cluster's own database, where it is missing.
 * @throws StartError when it cannot be made
 */
export async function ensureDatabase(cluster: Cluster, port: number): Promise<void> {
  const url = databaseUrl(cluster, port, "postgres");
  try {
    const found = await query(url, `select 1 from pg_database where datname = '${NAME}'`);
    if (found.length === 0) await query(url, `create database ${NAME}`);
  } catch (error) {
    if (codeOf(error) === WRONG_PASSWORD) throw wrongPassword(cluster);
    const said = error instanceof Error ? error.message : String(error);
    throw new StartError(`The Postgres on ${cluster.dataFolder} cannot be used: ${said}`);
  }
}

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new SettledClient({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT,
    query_timeout: STATEMENT_TIMEOUT,
  });
  client.on("error", () => {});
  try {
    await client.connect();
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end().catch(() => {});
  }
}

function wrongPassword({ dataFolder }: Cluster): StartError {
  return new StartError(
    `The Postgres on ${dataFolder} refuses the password kept for it in DATA_DIR: put the old one back`,
  );
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
