import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { type Contender, compare } from "./compare.ts";
import { MILESTONES } from "./data.ts";
import { FOLDER, readApprovals } from "./database.ts";
import { findPgbench, preparePgbench } from "./pgbench.ts";
import { printHeader } from "./report.ts";
import { approvalRequests, fundRequests, type Target } from "./requests.ts";
import { type Bench, CALLERS, PENDING, runSlice, type Size, setUp } from "./setup.ts";

const FULL: Size = { pairs: 9, warmUp: 300, duration: 2_000, accounts: 500 };
const QUICK: Size = { pairs: 2, warmUp: 100, duration: 300, accounts: 100 };

async function fundNew(bench: Bench): Promise<void> {
  const { fresh, size, recordings } = bench;
  let answers = 0;
  const before = await countApprovals(bench);
  const contenders = sidesOf(bench, recordings.fundNew.statements.length, async (target) => {
    const requests = fundRequests(target, fresh.splice(0, size.accounts), MILESTONES);
    const result = await runSlice(bench, target, requests, { expected: 202, once: true });
    answers += result.all;
    return result;
  });
  const [service, bare] = contenders;
  await service.run();
  await bare.run();
  const pgbench = await pgbenchSide(bench);
  await compare("fund-new", [service, bare, ...(pgbench === undefined ? [] : [pgbench])], size.pairs);
  const rows = (await countApprovals(bench)) - before;
  if (rows !== answers) throw new Error(`${answers} requests were answered, and ${rows} approvals recorded`);
}

async function fundRepeat(bench: Bench): Promise<void> {
  const before = await countApprovals(bench);
  const contenders = sidesOf(bench, bench.recordings.fundRepeat.statements.length, (target) =>
    runSlice(bench, target, fundRequests(target, bench.asked, PENDING), { expected: 202, once: false }),
  );
  await compare("fund-repeat", contenders, bench.size.pairs);
  if ((await countApprovals(bench)) !== before)
    throw new Error("a repeated request has recorded an approval");
}

async function getApproval(bench: Bench): Promise<void> {
  const approvals = await readApprovals(bench.database, bench.asked);
  const contenders = sidesOf(bench, bench.recordings.getApproval.statements.length, (target) =>
    runSlice(bench, target, approvalRequests(target, approvals), { expected: 200, once: false }),
  );
  await compare("get-approval", contenders, bench.size.pairs);
}

function sidesOf(
  { service, bare }: Bench,
  queries: number,
  run: (target: Target) => ReturnType<typeof runSlice>,
): [Contender, Contender] {
  const side = (target: Target): Contender => ({
    name: target.name,
    queries,
    run: async () => {
      const { answers, seconds, p50, p99 } = await run(target);
      return { rate: answers / seconds, p50, p99 };
    },
  });
  return [side(service), side(bare)];
}

async function pgbenchSide({ database, poolSize, recordings, size }: Bench): Promise<Contender | undefined> {
  const program = await findPgbench();
  if (program === undefined) {
    console.log("pgbench is skipped: it is neither on PATH nor in /usr/lib/postgresql/*/bin");
    return undefined;
  }
  const pgbench = await preparePgbench(program, database, FOLDER, poolSize, recordings.fundNew);
  const seconds = Math.ceil(size.duration / 1_000);
  return { name: "pgbench", queries: 2, run: async () => ({ rate: await pgbench(seconds) }) };
}

async function countApprovals({ database }: Bench): Promise<number> {
  const { rows } = await database.client.query("select count(*)::integer as count from approvals");
  return rows[0].count;
}

const { values: flags } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
const stops: (() => Promise<unknown>)[] = [];
try {
  const bench = await setUp(flags.quick ? QUICK : FULL, stops);
  const { database, poolSize, size } = bench;
  console.log(`Node ${process.version}, ${database.description}, ${cpus().length} × ${cpus()[0]?.model}`);
  console.log(`${size.pairs} pairs, ${CALLERS} callers, ${poolSize} connections to Postgres each`);
  printHeader();
  await fundNew(bench);
  await fundRepeat(bench);
  await getApproval(bench);
} finally {
  for (const stop of stops.reverse()) await stop();
}
