import { once } from "node:events";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { sql } from "kysely";
import { connect, type Db } from "../../src/database/connection.ts";
import { migrate } from "../../src/database/migrate.ts";
import { EVENT_SCOPES } from "../../src/events/schemas.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { auditAccounts } from "../../src/receipts/audit-service.ts";
import { booksOf, findFaults, readTotals } from "../support/books.ts";
import { ownClock } from "../support/clock.ts";
import type { FakeStripe } from "../support/stripe/fake.ts";
import { createDice, Tally } from "./dice.ts";
import { failOver, pause, pickFault, type Weather } from "./faults.ts";
import { type Instance, keepInstance } from "./instance.ts";
import { createWorld, type Deps, fundEverything, runClients, SANDBOX_CARDS, type World } from "./load.ts";
import { startFragilePostgres } from "./postgres.ts";
import {
  environmentOf,
  findDifferences,
  STRIPE_CARDS,
  STRIPE_MAIN,
  startStripe,
  troubleStripe,
} from "./stripe.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    small: { type: "boolean" },
    seed: { type: "string" },
    keep: { type: "boolean" },
    // Over Stripe's rails, with a Stripe that makes mistakes too.
    stripe: { type: "boolean" },
    // So many faults of all kinds, instead of some seconds of them.
    faults: { type: "string" },
    // So many fail-overs and nothing else.
    failovers: { type: "string" },
    // The standby has not all that was acknowledged when it takes over.
    async: { type: "boolean" },
  },
});
const BUDGET = Number(values.failovers ?? values.faults ?? Number.POSITIVE_INFINITY);
const SECONDS = Number.isFinite(BUDGET) ? undefined : Number(positionals[0] ?? (values.small ? 15 : 180));
const REPLICATION = values.async ? "asynchronous" : values.small ? "none" : "synchronous";
/** What was acknowledged may be gone. */
const LOSING = REPLICATION === "asynchronous";
const SEED = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32));
const ACCOUNTS = values.small ? 2 : 4;
const READY_WITHIN = 120_000;
const SETTLED_WITHIN = 5 * 60_000;
const POLL = 250;
const REPORT_EVERY = 20;
const LATE = "services that were not back within two minutes";
// Short, so that approvals expire while they are paid for.
const TTL_SECONDS = "20";

const dice = createDice(SEED);
const tally = new Tally();
const secret = Buffer.alloc(32, "s").toString("base64");
const operatorKey = "operator-key-for-chaos-operator-key-for-chaos";

/** Everything that was started, to be ended in the opposite order, however this ends. */
const endings: (() => Promise<unknown>)[] = [];
async function endAll(): Promise<void> {
  for (const ending of endings.splice(0).reverse()) await ending();
}
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void endAll().finally(() => process.exit(1)));
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function startInstances(url: string, folder: string, stripe?: FakeStripe): Promise<Instance[]> {
  const env = {
    DATABASE_URL: url,
    PUBLIC_URL: "http://localhost:3000",
    OPERATOR_API_KEY: operatorKey,
    SESSION_SECRET: secret,
    SECRETS_KEY: secret,
    RECEIPT_SIGNING_KEY: secret,
    LOG_LEVEL: "warn",
    RATE_LIMIT_PER_MINUTE: "1000000",
    APPROVAL_TTL_SECONDS: TTL_SECONDS,
    // Nothing here types amounts.
    CONFIRM_AMOUNT_FROM: "999999",
    NODE_COMPILE_CACHE: join(folder, "compiled"),
    ...(stripe && environmentOf(stripe)),
  };
  const main = stripe && STRIPE_MAIN;
  const instances: Instance[] = [];
  for (const name of ["one", "two"]) {
    const instance = keepInstance(await freePort(), env, join(folder, `${name}.log`), tally, main);
    endings.push(() => instance.stop());
    instances.push(instance);
  }
  return instances;
}

async function untilTrue(
  is: () => Promise<boolean>,
  what: string,
  within: number,
  stopping?: AbortSignal,
): Promise<void> {
  const end = Date.now() + within;
  while (!stopping?.aborted && !(await is().catch(() => false))) {
    if (Date.now() > end) throw new Error(`${what}: not within ${within / 1_000} s`);
    await delay(POLL);
  }
}

const allReady = (instances: readonly Instance[]) => async () =>
  (await Promise.all(instances.map((instance) => instance.isReady()))).every(Boolean);

/**
 * Makes faults at random until the budget is spent or it is told to stop. Mostly it waits until all are back, so that
 * there is something to strike in the midst of; now and then it strikes while they are coming up.
 */
async function strike(weather: Weather, stopping: AbortSignal): Promise<void> {
  for (let made = 0; made < BUDGET && !stopping.aborted; made++) {
    if (dice.roll() < 0.8)
      await untilTrue(allReady(weather.instances), "the services are back", READY_WITHIN, stopping).catch(
        noteLate,
      );
    await pause(dice, stopping);
    if (stopping.aborted) return;
    const fault = values.failovers === undefined ? pickFault(dice, REPLICATION !== "none") : failOver;
    await fault(weather);
    if ((made + 1) % REPORT_EVERY === 0) console.log(`${made + 1} faults made`);
  }
}

function noteLate(): void {
  tally.add(LATE);
}

type OpenPayment = { id: string; [column: string]: unknown };

async function readOpen(db: Db): Promise<OpenPayment[]> {
  const { rows } = await sql<OpenPayment>`
    select p.id, p.kind, p.status, p.approval_id, p.milestone_id, p.key_number, p.intent_id, p.sent_id, p.created_at,
      p.key_used_at, p.due_at, p.leased_until, p.alerted_at, now(), v.status as approval, v.executing_at, v.expires_at
    from payments p left join approvals v on v.account_id = p.account_id and v.id = p.approval_id
    where p.status not in ('succeeded', 'refused')`.execute(db);
  return rows;
}

/** After an hour of faults an attempt is looked at every ten minutes, and may need several looks: none waits any longer. */
async function endWaits(db: Db): Promise<void> {
  await sql`update payments set due_at = now() where due_at > now() and lease is null`.execute(db);
}

/** What clients were told and what the books say, put side by side. */
async function compare(db: Db, worlds: readonly World[], stripe?: FakeStripe): Promise<string[]> {
  const books = stripe && booksOf(stripe);
  const faults = await findFaults(db, books);
  if (stripe !== undefined) faults.push(...(await findDifferences(db, stripe)));
  const { rows } = await sql<{ id: string; status: string }>`select id, status from approvals`.execute(db);
  const statuses = new Map(rows.map(({ id, status }) => [id, status]));
  for (const { seen } of worlds) {
    for (const [id, { ended }] of seen) {
      const status = statuses.get(id);
      if (LOSING) continue;
      if (status === undefined) faults.push(`an approval that a client was told of is lost: ${id}`);
      else if (ended !== undefined && status !== ended)
        faults.push(`a client was told ${ended} of an approval that is ${status}: ${id}`);
    }
  }
  for (const world of worlds) faults.push(...(await findUntold(db, world)));
  for await (const { account, findings } of auditAccounts(db, new Map()))
    faults.push(...findings.map((finding) => `${account}: ${finding}`));
  const totals = await readTotals(db, books);
  const { succeeded, charged, invoiced, booked, sum } = totals;
  if (new Set([succeeded, charged, invoiced, booked]).size !== 1 || sum !== 0)
    faults.push(`the books do not agree: ${JSON.stringify(totals)}`);
  for (const bad of ["LOST", "CHANGED", "GAP", "service ended by itself", LATE])
    faults.push(...tally.lines().filter((line) => line.includes(bad)));
  const outcomes = Map.groupBy(rows, ({ status }) => status);
  for (const [status, { length }] of outcomes) tally.add(`approvals at the end: ${status}`, length);
  if (!outcomes.has("confirmed")) faults.push("nothing was confirmed, so that nothing was shown");
  console.log(`${(charged / 100).toFixed(2)} USD moved, and every book says so: ${JSON.stringify(totals)}`);
  return faults;
}

/** Events that the account's agent may read and that its feed had passed without telling them. */
async function findUntold(db: Db, { account, events, told }: World): Promise<string[]> {
  const { rows } = await sql<{ number: number; type: string }>`
    select number, type from events
    where account_id = ${accountKey(account)} and number <= ${events} and type = any(${Object.keys(EVENT_SCOPES)})
  `.execute(db);
  return rows
    .filter(({ number }) => !told.has(number))
    .map(({ number, type }) => `GAP: the feed of ${account} left out ${type} ${number}`);
}

async function run(): Promise<string[]> {
  const budget =
    SECONDS === undefined ? `${BUDGET} ${values.failovers ? "fail-overs" : "faults"}` : `${SECONDS} s`;
  const rails = values.stripe ? "Stripe" : "the sandbox";
  console.log(`chaos of ${budget} over ${rails}, replication ${REPLICATION}, seed ${SEED}`);
  const folder = await mkdtemp(join(tmpdir(), "countersign-chaos-"));
  if (!values.keep) endings.push(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }));
  // As root it is another user's Postgres that has to enter.
  await chmod(folder, 0o711);
  const postgres = await startFragilePostgres(folder, REPLICATION);
  endings.push(() => postgres.stop());
  await migrate(postgres.url);
  const clock = await ownClock(postgres.url);
  const stripe = values.stripe ? await startStripe() : undefined;
  if (stripe !== undefined) endings.push(() => stripe.close());
  const instances = await startInstances(postgres.url, folder, stripe);
  await untilTrue(allReady(instances), "the services are ready", READY_WITHIN);

  const cards = stripe === undefined ? SANDBOX_CARDS : STRIPE_CARDS;
  const origin = () => dice.pick(instances).origin;
  const deps: Deps = { dice, tally, operatorKey, cards, losing: LOSING, origin };
  const worlds: World[] = [];
  for (let i = 0; i < ACCOUNTS; i++) worlds.push(await createWorld(deps));

  const stopping = new AbortController();
  const killing = new AbortController();
  const clients = worlds.map((world) => runClients(deps, world, stopping.signal));
  const weather = { dice, tally, instances, postgres, clock };
  const striking = strike(weather, killing.signal).finally(() => killing.abort());
  const trouble = stripe && troubleStripe(stripe, deps, killing.signal);
  if (SECONDS !== undefined) {
    await delay(SECONDS * 1_000, undefined, { signal: killing.signal }).catch(() => {});
    killing.abort();
  }
  await striking;
  await trouble;
  await untilTrue(() => clock.set(0).then(() => true), "the clock is right again", READY_WITHIN);
  stopping.abort();
  await Promise.all(clients);

  const options = { size: 2, statementTimeout: 30_000, lockTimeout: 3_000, onIdleError: () => {} };
  const connection = connect(postgres.url, options);
  endings.push(() => connection.close());
  const began = Date.now();
  await untilTrue(
    async () => {
      await endWaits(connection.db);
      return (await readOpen(connection.db)).length === 0;
    },
    "all payments are settled",
    SETTLED_WITHIN,
  ).catch(async (error: Error) => {
    const open = (await readOpen(connection.db)).map((payment) => JSON.stringify(payment));
    throw new Error([error.message, ...open].join("\n"));
  });
  console.log(`all settled ${((Date.now() - began) / 1_000).toFixed(1)} s after the last client stopped`);
  await untilTrue(allReady(instances), "the services are back by themselves", READY_WITHIN);
  const unfunded = LOSING
    ? (await Promise.all(worlds.map((world) => fundEverything(deps, world)))).flat()
    : [];
  return [...unfunded, ...(await compare(connection.db, worlds, stripe))];
}

let faults: string[];
try {
  faults = await run();
} catch (error) {
  faults = [String(error instanceof Error ? error.stack : error)];
} finally {
  await endAll();
}
console.log(tally.lines().join("\n"));
for (const fault of faults) console.error(`FAULT ${fault}`);
console.log(faults.length === 0 ? "nothing lost, nothing double" : `${faults.length} faults, seed ${SEED}`);
process.exitCode = faults.length === 0 ? 0 : 1;
