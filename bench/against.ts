import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { type Contender, compare } from "./compare.ts";
import { listBackends, readCpu } from "./cpu.ts";
import { type Account, FIRST_ACCOUNT, MILESTONES } from "./data.ts";
import { type BenchDatabase, createDatabase, openServer, readApprovals } from "./database.ts";
import type { Slice, SliceResult } from "./load.ts";
import { createAccountsByApi } from "./operator-data.ts";
import { run, startService, startWorker, type Worker } from "./processes.ts";
import { printHeader } from "./report.ts";
import { approvalRequests, fundRequests, type Target } from "./requests.ts";
import { runSlice, serviceEnvironment } from "./setup.ts";

/** This version beside another commit's: `npm run bench -- against <commit>`. Each has a database of its own on one server. */
const { positionals, values: flags } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: "boolean", default: false } },
});
const [commit] = positionals;
if (commit === undefined) throw new Error("Name a commit: npm run bench -- against <commit>");

const CALLERS = 16;
const PAIRS = flags.quick ? 2 : 9;
/** Accounts of one slice of new requests: 1,600 requests, half a second to a second. */
const ACCOUNTS = flags.quick ? 10 : 40;
const SLICE = { warmUp: 0, duration: flags.quick ? 200 : 700 };
const UNBOUNDED = { ...SLICE, duration: Number.POSITIVE_INFINITY };

/** One of the two versions, running, with what there is to ask of it. */
type Side = { target: Target; pid: number; database: BenchDatabase; fresh: Account[]; asked: Account[] };

const stops: (() => Promise<unknown>)[] = [];
const ROOT = path.join(import.meta.dirname, "..");

/** Checks the commit out into a folder of its own, with the packages that it locks. */
async function checkOut(commit: string): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "countersign-against-"));
  stops.push(() => rm(folder, { recursive: true, force: true }));
  await run("git", ["worktree", "add", "--detach", folder, commit]);
  stops.push(() => run("git", ["worktree", "remove", "--force", folder]));
  await run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: folder,
  });
  return folder;
}

async function startSide(
  server: Awaited<ReturnType<typeof openServer>>,
  name: string,
  root: string,
): Promise<Side> {
  const database = await createDatabase(server, (url) =>
    run(process.execPath, ["src/main.ts", "migrate"], {
      cwd: root,
      env: { PATH: process.env.PATH, ...serviceEnvironment(url) },
    }),
  );
  stops.push(database.stop);
  const environment = serviceEnvironment(database.url);
  const service = await startService(environment, root);
  stops.push(service.stop);
  const { port, pid } = service;
  const target = { name, port, credentials: ({ token }: Account) => `Authorization: Bearer ${token}` };
  const count = (PAIRS + 1) * ACCOUNTS;
  const operator = { port, key: environment.OPERATOR_API_KEY ?? "" };
  const fresh = await createAccountsByApi(operator, FIRST_ACCOUNT, count, CALLERS);
  // Plans are made anew, for tables with rows.
  await database.client.query("vacuum analyze");
  return { target, pid, database, fresh, asked: [] };
}

/** Runs the three calls, one after another, each in interleaved slices. */
async function compareSides(load: Worker<Slice, SliceResult>, sides: readonly Side[]): Promise<void> {
  const contenders = (work: (side: Side) => Promise<SliceResult>): Contender[] =>
    sides.map((side) => ({
      name: side.target.name,
      run: async () => {
        const backends = await listBackends(side.database);
        const before = [await readCpu([side.pid]), await readCpu(backends)] as const;
        const { answers, all, seconds, p50, p99 } = await work(side);
        const each = (after: number, before: number) => (1_000_000 * (after - before)) / all;
        const serviceCpu = each(await readCpu([side.pid]), before[0]);
        const postgresCpu = each(await readCpu(backends), before[1]);
        return { rate: answers / seconds, p50, p99, serviceCpu, postgresCpu };
      },
    }));
  const askNew = async (side: Side): Promise<SliceResult> => {
    const accounts = side.fresh.splice(0, ACCOUNTS);
    side.asked.push(...accounts);
    const requests = fundRequests(side.target, accounts, MILESTONES);
    return runSlice({ load, size: UNBOUNDED }, side.target, requests, {
      expected: 202,
      once: true,
      callers: CALLERS,
    });
  };
  const cycle = (side: Side, requests: string[], expected: number) =>
    runSlice({ load, size: SLICE }, side.target, requests, { expected, once: false, callers: CALLERS });

  for (const side of sides) await askNew(side);
  await compare("fund-new", contenders(askNew), PAIRS);
  for (const { database } of sides) await database.client.query("vacuum analyze");
  const repeat = (side: Side) => cycle(side, fundRequests(side.target, side.asked, MILESTONES), 202);
  await compare("fund-repeat", contenders(repeat), PAIRS);
  const approvals = new Map<Side, string[]>();
  for (const side of sides) {
    const read = await readApprovals(side.database, side.asked);
    approvals.set(side, approvalRequests(side.target, read));
  }
  await compare(
    "get-approval",
    contenders((side) => cycle(side, approvals.get(side) ?? [], 200)),
    PAIRS,
  );
}

try {
  const load = startWorker<Slice, SliceResult>("load.ts");
  stops.push(load.stop);
  // Without its load the run fails, and so everything else is stopped and removed too.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void load.stop());
  const other = await checkOut(commit);
  const server = await openServer();
  stops.push(server.stop);
  const sides = [await startSide(server, "this", ROOT), await startSide(server, commit, other)];
  console.log(`${PAIRS} pairs, ${CALLERS} callers, ${sides[0]?.database.description}`);
  printHeader();
  await compareSides(load, sides);
} finally {
  for (const stop of stops.reverse()) await stop();
}
