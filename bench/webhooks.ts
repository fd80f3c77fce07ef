import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { cpus } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type BenchDatabase, openDatabase } from "./database.ts";
import { startService, startWork } from "./processes.ts";
import { serviceEnvironment } from "./setup.ts";
import { medianOf } from "./statistics.ts";

/**
 * How long an event takes from the call that makes it to its arrival at a receiver that answers, while other
 * accounts' receivers hang, and while they do not: API and sweeps are processes of their own, as in production.
 */
const HEALTHY = 20;
/** Accounts whose receiver never answers, and what waits for each. */
const HANGING = 30;
const WAITING_FOR_EACH = 20;
const EVENTS_A_SECOND = 200;
const PATIENCE = 30_000;

const FULL = { pairs: 9, warmUp: 500, duration: 3_000 };
const QUICK = { pairs: 2, warmUp: 300, duration: 1_500 };

type Latencies = { p50: number; p99: number };

/** The receivers: one address that answers at once, and one that does not answer until it is told to. */
async function startReceivers() {
  const arrived = new Map<string, (time: number) => void>();
  const hanging = new Set<ServerResponse>();
  const state = { hangs: true };
  const server = createServer((request, response) => {
    const time = performance.now();
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      if (request.url === "/hangs" && state.hangs) {
        hanging.add(response);
        response.once("close", () => hanging.delete(response));
        return;
      }
      response.writeHead(request.url === "/hangs" ? 500 : 200).end();
      if (request.url === "/hangs") return;
      arrived.get(JSON.parse(Buffer.concat(chunks).toString()).resourceId)?.(time);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hanging,
    arrived,
    setHanging(hangs: boolean) {
      state.hangs = hangs;
      if (!hangs) for (const response of hanging) response.writeHead(500).end();
    },
    stop: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

type Receivers = Awaited<ReturnType<typeof startReceivers>>;
type Api = (method: string, path: string, body: object, token?: string) => Promise<{ token?: string }>;

function openApi(port: number, operatorKey: string): Api {
  return async (method, path, body, token = operatorKey) => {
    const response = await fetch(`http://127.0.0.1:${port}/api${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as { token?: string };
  };
}

async function createSubscriber(api: Api, account: string, url: string): Promise<string> {
  const features = { public_api_webhooks: true };
  await api("PUT", `/operator/v1/accounts/${account}`, { name: account, claimed: true, features });
  const scopes = ["webhooks:manage", "messages:read"];
  const { token } = await api("POST", `/operator/v1/accounts/${account}/tokens`, { name: "Bench", scopes });
  await api("POST", "/public/v1/webhooks", { url, eventTypes: ["message.received"] }, token);
  return account;
}

const postEvent = (api: Api, account: string, resourceId: string) =>
  api("POST", `/operator/v1/accounts/${account}/events`, { type: "message.received", resourceId });

/** Makes events at a steady rate, and waits until all have arrived. */
async function measure(
  api: Api,
  { arrived }: Receivers,
  accounts: readonly string[],
  milliseconds: number,
): Promise<Latencies> {
  const count = Math.round((milliseconds / 1_000) * EVENTS_A_SECOND);
  const begin = performance.now();
  const latencies = await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      await delay(Math.max(1, begin + (i * 1_000) / EVENTS_A_SECOND - performance.now()));
      const resourceId = crypto.randomUUID();
      const { promise, resolve } = Promise.withResolvers<number>();
      arrived.set(resourceId, resolve);
      const made = performance.now();
      await postEvent(api, accounts[i % accounts.length] ?? "", resourceId);
      const time = await Promise.race([promise, delay(PATIENCE, Number.NaN, { ref: false })]);
      if (Number.isNaN(time)) throw new Error(`an event has not arrived within ${PATIENCE} ms`);
      arrived.delete(resourceId);
      return time - made;
    }),
  );
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor(share * latencies.length)] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

/** Makes everything due that waits for the receivers that hang, and waits until they do. */
async function beginHanging(database: BenchDatabase, receivers: Receivers, known: boolean): Promise<void> {
  receivers.setHanging(true);
  await database.client.query(`update webhook_deliveries set status = 'PENDING', attempts = 0, due_at = now(),
    resolved_at = null where webhook_id in (select id from webhooks where url like '%/hangs')`);
  await database.client.query(
    `update webhooks set due_at = now(), failures = 0, slow_since = case when $1 then now() end where url like '%/hangs'`,
    [known],
  );
  const wanted = known ? 40 : 2 * HANGING;
  await until(async () => receivers.hanging.size >= Math.min(wanted, 2 * HANGING), "the receivers hang");
}

/** Lets them answer until nothing of theirs is due, so that the other side is measured alone. */
async function endHanging({ client }: BenchDatabase, receivers: Receivers): Promise<void> {
  receivers.setHanging(false);
  await until(async () => {
    const { rows } = await client.query(
      "select from webhooks where url like '%/hangs' and (lease is not null or due_at <= now()) limit 1",
    );
    return rows.length === 0;
  }, "nothing of theirs is under way");
}

async function until(condition: () => Promise<boolean>, said: string): Promise<void> {
  const end = performance.now() + PATIENCE;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited in vain until ${said}`);
    await delay(20);
  }
}

function print(name: string, sides: Latencies[], quiet: Latencies[]): void {
  const median = (values: number[]) => medianOf(values).median.toFixed(1);
  const ratio = medianOf(sides.map(({ p99 }, pair) => p99 / (quiet[pair]?.p99 ?? Number.NaN)));
  const interval = `${ratio.median.toFixed(3)} (${ratio.low.toFixed(3)} – ${ratio.high.toFixed(3)})`;
  const cells = [median(sides.map(({ p50 }) => p50)), median(sides.map(({ p99 }) => p99)), interval];
  printRow(name, cells);
}

function printRow(name: string, cells: string[]): void {
  const [p50 = "", p99 = "", ratio = ""] = cells;
  console.log(`${name.padEnd(36)}${p50.padStart(8)}${p99.padStart(8)}${ratio.padStart(24)}`);
}

const { values: flags } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
const size = flags.quick ? QUICK : FULL;
const stops: (() => Promise<unknown>)[] = [];
try {
  const database = await openDatabase();
  stops.push(database.stop);
  const receivers = await startReceivers();
  stops.push(receivers.stop);
  const environment: Record<string, string> = {
    ...serviceEnvironment(database.url),
    WEBHOOK_PRIVATE_HOSTS: "127.0.0.1",
  };
  const service = await startService(environment);
  stops.push(service.stop);
  const work = startWork(environment);
  stops.push(work.stop);
  const api = openApi(service.port, environment.OPERATOR_API_KEY ?? "");

  const healthy: string[] = [];
  for (let i = 0; i < HEALTHY; i++)
    healthy.push(await createSubscriber(api, `healthy-${i}`, `${receivers.origin}/answers`));
  receivers.setHanging(false);
  for (let i = 0; i < HANGING; i++) {
    await createSubscriber(api, `hanging-${i}`, `${receivers.origin}/hangs`);
    for (let n = 0; n < WAITING_FOR_EACH; n++) await postEvent(api, `hanging-${i}`, "waits");
  }
  await endHanging(database, receivers);
  await measure(api, receivers, healthy, size.warmUp);

  const sides = {
    quiet: async () => {},
    unknown: () => beginHanging(database, receivers, false),
    known: () => beginHanging(database, receivers, true),
  };
  const results: Record<keyof typeof sides, Latencies[]> = { quiet: [], unknown: [], known: [] };
  console.log(`Node ${process.version}, ${database.description}, ${cpus().length} × ${cpus()[0]?.model}`);
  console.log(
    `${size.pairs} rounds, ${EVENTS_A_SECOND} events a second for ${HEALTHY} accounts, ${HANGING} receivers that hang`,
  );
  for (let round = 0; round < size.pairs; round++) {
    const order = Object.keys(sides) as (keyof typeof sides)[];
    if (round % 2 === 1) order.reverse();
    for (const name of order) {
      await sides[name]();
      await measure(api, receivers, healthy, size.warmUp);
      results[name].push(await measure(api, receivers, healthy, size.duration));
      await endHanging(database, receivers);
    }
  }
  printRow("", ["p50 ms", "p99 ms", "p99 / alone (95 %)"]);
  print("alone", results.quiet, results.quiet);
  print("beside receivers that begin to hang", results.unknown, results.quiet);
  print("beside receivers known to hang", results.known, results.quiet);
} finally {
  for (const stop of stops.reverse()) await stop();
}
