import { randomBytes } from "node:crypto";
import type { BareSetUp } from "./bare.ts";
import { type Account, createAccounts, milestoneId } from "./data.ts";
import { type BenchDatabase, openDatabase } from "./database.ts";
import type { Slice, SliceResult } from "./load.ts";
import { startService, startWorker, type Worker } from "./processes.ts";
import { type Recordings, record } from "./recording.ts";
import { fundRequests, type Target } from "./requests.ts";

/** Times in milliseconds; `accounts` are for one slice, which ends early once all their milestones are used. */
export type Size = { pairs: number; warmUp: number; duration: number; accounts: number };

/** Everything that runs, and what there is to ask it for. */
export type Bench = {
  size: Size;
  database: BenchDatabase;
  load: Worker<Slice, SliceResult>;
  recordings: Recordings;
  service: Target;
  bare: Target;
  /** Connections to Postgres that each server holds under load. */
  poolSize: number;
  /** Accounts of which nothing has been asked. */
  fresh: Account[];
  /** Accounts with PENDING approvals each. */
  asked: Account[];
};

/** HTTP connections, each with one request under way: enough to keep every connection to Postgres busy. */
export const CALLERS = 40;
/** Pending approvals of each account in the cases that only read. */
export const PENDING = 10;

/** Starts it all; each thing that was started is in `stops` at once, to be stopped in reverse. */
export async function setUp(size: Size, stops: (() => Promise<unknown>)[]): Promise<Bench> {
  const load = startWorker<Slice, SliceResult>("load.ts");
  stops.push(load.stop);
  // Without its load the run fails, and so everything else is stopped and removed too.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void load.stop());

  const database = await openDatabase();
  stops.push(database.stop);
  // Both servers ask for fresh milestones in every pair and to warm up; one group is for the cases that read.
  const groups = 2 * (size.pairs + 1) + 1;
  const [model, ...fresh] = await createAccounts(database.client, groups * size.accounts + 1);
  if (model === undefined) throw new RangeError("no accounts");
  const asked = fresh.splice(0, size.accounts);
  const environment = serviceEnvironment(database.url);
  const recordings = await record(environment, model);

  const running = await startService(environment);
  stops.push(running.stop);
  const service: Target = {
    name: "service",
    port: running.port,
    credentials: ({ token }) => `Authorization: Bearer ${token}`,
  };
  const bench = { size, database, load, recordings, service, fresh, asked };
  const unbounded = { load, size: { ...size, duration: Number.POSITIVE_INFINITY } };
  await runSlice(unbounded, service, fundRequests(service, asked, PENDING), { expected: 202, once: true });

  const poolSize = await countConnections(database);
  const worker = startWorker<BareSetUp, number>("bare.ts");
  stops.push(worker.stop);
  const { accountId, digest, number } = model;
  const about = { accountId, digest, milestoneId: milestoneId(model, 0), contractId: `contract-${number}` };
  const port = await worker.ask({ databaseUrl: database.url, poolSize, recordings, about });
  const bare: Target = {
    name: "bare",
    port,
    credentials: ({ accountId, digest }) =>
      `Account: ${accountId}\r\nToken-Digest: ${digest.toString("hex")}`,
  };
  // The tables are what they will stay: plans are made anew, for tables with rows.
  await database.client.query("vacuum analyze");
  return { ...bench, bare, poolSize };
}

/**
 * Puts a server under load for one slice.
 * @param options.once ends the slice when the requests are used up, instead of beginning again
 * @throws Error for any answer of another status
 */
export async function runSlice(
  { load, size }: { load: Bench["load"]; size: Pick<Size, "warmUp" | "duration"> },
  { name, port }: Target,
  requests: string[],
  { expected, once, callers = CALLERS }: { expected: number; once: boolean; callers?: number },
): Promise<SliceResult> {
  const { warmUp, duration } = size;
  const slice = { port, requests, cycle: !once, callers, warmUp, duration, expected };
  const result = await load.ask(slice);
  if (result.unexpected !== undefined) throw new Error(`${name} answered ${result.unexpected}`);
  return result;
}

/** What an operator would set for production, with the limit out of the way. */
export function serviceEnvironment(databaseUrl: string): Record<string, string> {
  const key = () => randomBytes(32).toString("base64");
  return {
    DATABASE_URL: databaseUrl,
    PUBLIC_URL: "http://localhost:3000",
    OPERATOR_API_KEY: key(),
    SESSION_SECRET: key(),
    SECRETS_KEY: key(),
    RECEIPT_SIGNING_KEY: key(),
    LOG_LEVEL: "info",
    RATE_LIMIT_PER_MINUTE: "1000000",
  };
}

async function countConnections({ client }: BenchDatabase): Promise<number> {
  const { rows } = await client.query(`select count(*)::integer as connections from pg_stat_activity
    where datname = current_database() and application_name = 'countersign'`);
  return rows[0].connections;
}
