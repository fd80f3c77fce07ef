import { readFile } from "node:fs/promises";
import { cpus } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import pino from "pino";
import { ChangeBus } from "../src/database/change-bus.ts";
import { readClock } from "../src/database/clock.ts";
import { type Connection, connect } from "../src/database/connection.ts";
import { startListening } from "../src/database/listening.ts";
import { inTransaction } from "../src/database/transaction.ts";
import { appendEvents } from "../src/events/service.ts";
import { type Contender, compare } from "./compare.ts";
import { type Account, createAccounts, MILESTONES } from "./data.ts";
import { openDatabase } from "./database.ts";
import { Holders } from "./holders.ts";
import type { Slice, SliceResult } from "./load.ts";
import { startService, startWorker } from "./processes.ts";
import { printHeader, type Sample } from "./report.ts";
import { fundRequests, type Target } from "./requests.ts";
import { CALLERS, runSlice, serviceEnvironment } from "./setup.ts";

/** What waiting costs: memory, the time from a commit to the answer, and what the fund path pays for it. */
const { values: flags } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
const WAITERS = flags.quick ? 1_000 : 10_000;
const EACH = 5;
const PAIRS = flags.quick ? 2 : 9;
const SIZE = { pairs: PAIRS, warmUp: 300, duration: flags.quick ? 300 : 2_000, accounts: 200 };
const COMMITS = flags.quick ? 50 : 500;
/** Until sockets that were opened or closed have been dealt with. */
const SETTLING = flags.quick ? 300 : 2_000;
/** A second, while the fund path is measured. */
const COMMIT_RATE = 20;

const stops: (() => unknown)[] = [];

/** Memory of a process that is in RAM, in bytes, once it has come to rest. */
async function readMemory(pid: number): Promise<number> {
  await delay(flags.quick ? 500 : 3_000);
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return 1_024 * Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
}

/** Commits one event of the account. */
async function commitEvent({ db }: Connection, { accountId }: Account): Promise<void> {
  const event = { type: "milestone.status_changed" as const, resourceId: "bench", jobId: null, data: {} };
  await inTransaction(db, async (trx) => {
    await appendEvents(trx, accountId, [event], await readClock(trx));
  });
}

const percentile = (sorted: readonly number[], share: number) =>
  (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN).toFixed(1);

/** How long it takes from a commit, in another process, until each of the account's callers has its answer. */
async function measureWaking(
  writer: Connection,
  holders: Holders,
  accounts: readonly Account[],
): Promise<void> {
  const times: number[] = [];
  const before = { ...holders.answers };
  let strangers = 0;
  for (let i = 0; i < COMMITS; i++) {
    const account = accounts[(i * 7) % accounts.length] as Account;
    let committed = 0;
    let missing = EACH;
    const answered = new Promise<void>((resolve) => {
      holders.onEvent = ({ number }) => {
        if (number !== account.number) strangers += 1;
        times.push(performance.now() - committed);
        missing -= 1;
        if (missing === 0) resolve();
      };
    });
    await commitEvent(writer, account);
    committed = performance.now();
    await answered;
    // Or the next would wait its turn: processes tell each other 20 times a second at most.
    await delay(60);
  }
  times.sort((a, b) => a - b);
  const news = holders.answers.news - before.news;
  console.log(
    `commit to answer, across processes: p50 ${percentile(times, 0.5)} ms, p99 ${percentile(times, 0.99)} ms, ` +
      `longest ${percentile(times, 1)} ms (${COMMITS} commits, ${news} answers)`,
  );
  if (strangers > 0) throw new Error(`${strangers} callers of other accounts were given an event`);
  holders.onEvent = () => {};
}

/** Commits at a rate until it is stopped. */
function keepCommitting(writer: Connection, accounts: readonly Account[]): () => Promise<void> {
  let stopped = false;
  const running = (async () => {
    for (let i = 0; !stopped; i++) {
      const next = delay(1_000 / COMMIT_RATE);
      await commitEvent(writer, accounts[i % accounts.length] as Account);
      await next;
    }
  })();
  return () => {
    stopped = true;
    return running;
  };
}

async function run(): Promise<void> {
  const load = startWorker<Slice, SliceResult>("load.ts");
  stops.push(load.stop);
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void load.stop());
  const database = await openDatabase();
  stops.push(database.stop);
  console.log(`Node ${process.version}, ${database.description}, ${cpus().length} × ${cpus()[0]?.model}`);
  const slices = 3 * PAIRS + 1;
  const accounts = await createAccounts(database.client, WAITERS / EACH + slices * SIZE.accounts);
  const waiting = accounts.splice(0, WAITERS / EACH);
  await database.client.query("vacuum analyze");

  const service = await startService(serviceEnvironment(database.url));
  stops.push(service.stop);
  const target: Target = {
    name: "service",
    port: service.port,
    credentials: ({ token }) => `Authorization: Bearer ${token}`,
  };
  const writer = connect(database.url, {
    size: 5,
    statementTimeout: 5_000,
    lockTimeout: 3_000,
    onIdleError: () => {},
  });
  stops.push(writer.close);
  const listening = await startListening({
    db: writer.db,
    changeBus: new ChangeBus(writer.db),
    url: database.url,
    logger: pino({ level: "silent" }),
  });
  stops.push(() => listening.stop());

  const holders = new Holders(target);
  stops.push(() => holders.close());
  const fund = async (): Promise<Sample> => {
    const requests = fundRequests(target, accounts.splice(0, SIZE.accounts), MILESTONES);
    const result = await runSlice({ load, size: SIZE }, target, requests, { expected: 202, once: true });
    return { rate: result.answers / result.seconds, p50: result.p50, p99: result.p99 };
  };
  // Warm, so that what grows from here on is the waiters'.
  await fund();

  const before = await readMemory(service.pid);
  await holders.open(waiting, EACH);
  const after = await readMemory(service.pid);
  console.log(
    `${WAITERS} requests of ${waiting.length} tokens wait on one process: ` +
      `${((after - before) / WAITERS / 1_024).toFixed(1)} KiB each, ${(after / 2 ** 20).toFixed(0)} MiB in all`,
  );
  await measureWaking(writer, holders, waiting);

  console.log(
    `the fund path of the same process, ${PAIRS} rounds, ${CALLERS} callers: with waiters and without`,
  );
  printHeader();
  const haveWaiting = async (wanted: boolean): Promise<void> => {
    if (holders.isOpen === wanted) return;
    if (wanted) await holders.open(waiting, EACH);
    else holders.close();
    await delay(SETTLING);
  };
  const contenders: Contender[] = [
    {
      name: "waiters",
      run: async () => {
        await haveWaiting(true);
        return fund();
      },
    },
    {
      name: "none",
      run: async () => {
        await haveWaiting(false);
        return fund();
      },
    },
    {
      name: "and woken",
      run: async () => {
        await haveWaiting(true);
        const stopCommitting = keepCommitting(writer, waiting);
        const sample = await fund();
        await stopCommitting();
        return sample;
      },
    },
  ];
  await compare("fund-new", contenders, PAIRS);
  const { news, empty, refused } = holders.answers;
  console.log(`meanwhile the waiters had ${news} pages with events, ${empty} without, ${refused} refusals`);
  if (refused > 0) throw new Error(holders.firstRefusal);
}

try {
  await run();
} finally {
  for (const stop of stops.reverse()) await stop();
}
