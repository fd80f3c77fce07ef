import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type BenchDatabase, openDatabase } from "./database.ts";
import type { Flood, FloodKind, FloodResult } from "./flood.ts";
import { type Service, startService, startWorker } from "./processes.ts";
import { serviceEnvironment } from "./setup.ts";

/**
 * Whether strangers' floods shut out those who share their address and are known: a token, one that was idle for 50
 * minutes, the operator, a signed-in person, and one who signs in from a known browser. Two processes, each flood alone
 * and all together, and once more with one of the processes restarted. Ends with 1 when somebody was not answered, or
 * waited for more than a second (p99).
 */
const PHASES: { name: string; kinds: FloodKind[]; restarts?: boolean }[] = [
  { name: "nothing", kinds: [] },
  { name: "1,000/s without a credential", kinds: ["no credential"] },
  { name: "500/s false tokens", kinds: ["false tokens"] },
  { name: "50/s wrong passwords", kinds: ["wrong passwords"] },
  { name: "all together", kinds: ["no credential", "false tokens", "wrong passwords"] },
  {
    name: "all, one restarted",
    kinds: ["no credential", "false tokens", "wrong passwords"],
    restarts: true,
  },
];
const PASSWORD = "correct horse battery";
const PATIENCE = 1_000;
const ASK_EVERY = 250;

type Probe = { name: string; every: number; ask(origin: string): Promise<boolean> };
type Outcome = { asked: number; answered: number; p50: number; p99: number };

async function prepare(service: Service, database: BenchDatabase, operatorKey: string) {
  const origin = `http://127.0.0.1:${service.port}`;
  const operate = async (method: string, path: string, body: object) => {
    const headers = { authorization: `Bearer ${operatorKey}`, "content-type": "application/json" };
    const url = `${origin}/api/operator/v1/accounts/bench${path}`;
    const response = await fetch(url, { method, headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as { token: string; inviteUrl: string };
  };
  await operate("PUT", "", { name: "Bench", claimed: true });
  const scopes = ["payments:read"];
  const known = (await operate("POST", "/tokens", { name: "Known", scopes })).token;
  const idle: string[] = [];
  for (const { name } of PHASES) idle.push((await operate("POST", "/tokens", { name, scopes })).token);
  for (const token of [known, ...idle])
    await fetch(`${origin}/updates`, { headers: { authorization: `Bearer ${token}` } });

  const email = "owner@example.com";
  const { inviteUrl } = await operate("POST", "/members", { email, name: "Ada Owner", role: "owner" });
  const token = new URL(inviteUrl).searchParams.get("token") ?? "";
  const session = cookieIn(await post(`${origin}/invite`, { token, password: PASSWORD }), "countersign");
  const page = await fetch(`${origin}/approvals`, { headers: { accept: "text/html", cookie: session } });
  const device = cookieIn(page, "countersign-device");

  // Shared about once a second; then everybody has been idle for 50 minutes.
  await delay(2_500);
  await database.client.query("update known_credentials set accepted_at = now() - interval '50 minutes'");
  return { known, idle, email, session, device };
}

function post(url: string, fields: Record<string, string>, cookie = ""): Promise<Response> {
  const headers = { accept: "text/html", "sec-fetch-site": "same-origin", cookie };
  return fetch(url, {
    method: "POST",
    headers,
    body: new URLSearchParams(fields),
    redirect: "manual",
    signal: AbortSignal.timeout(10_000),
  });
}

function cookieIn(answer: Response, name: string): string {
  const found = answer.headers.getSetCookie().find((line) => line.startsWith(`${name}=`));
  if (found === undefined) throw new Error(`no cookie ${name} in an answer of ${answer.status}`);
  return found.split(";", 1)[0] ?? "";
}

type Known = Awaited<ReturnType<typeof prepare>>;

function probesOf(
  { known, idle, email, session, device }: Known,
  phase: number,
  operatorKey: string,
): Probe[] {
  const get = async (url: string, headers: Record<string, string>) => {
    const signal = AbortSignal.timeout(10_000);
    const answer = await fetch(url, { headers, redirect: "manual", signal });
    await answer.text();
    return answer.status === 200;
  };
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  return [
    { name: "known token", every: ASK_EVERY, ask: (at) => get(`${at}/updates`, bearer(known)) },
    // One of each phase's own, once in each process: else it would not be idle.
    {
      name: "idle token",
      every: Number.POSITIVE_INFINITY,
      ask: (at) => get(`${at}/updates`, bearer(idle[phase] ?? "")),
    },
    {
      name: "operator",
      every: ASK_EVERY,
      ask: (at) => get(`${at}/api/operator/v1/accounts/bench`, bearer(operatorKey)),
    },
    {
      name: "signed-in person",
      every: ASK_EVERY,
      ask: (at) => get(`${at}/approvals`, { accept: "text/html", cookie: session }),
    },
    {
      name: "known browser signs in",
      every: 4 * ASK_EVERY,
      ask: async (at) => {
        const answer = await post(`${at}/sign-in`, { email, password: PASSWORD }, device);
        await answer.text();
        return answer.status === 303;
      },
    },
  ];
}

/** Asks at a steady rate until `ended`, of each process that runs in turn. */
async function observe(probe: Probe, running: () => Service[], ended: AbortSignal): Promise<Outcome> {
  const times: number[] = [];
  let answered = 0;
  const under: Promise<void>[] = [];
  for (let turn = 0; !ended.aborted; turn++) {
    const services = running();
    const { port } = services[turn % services.length] ?? { port: 0 };
    const begin = performance.now();
    under.push(
      probe
        .ask(`http://127.0.0.1:${port}`)
        .catch(() => false)
        .then((good) => {
          times.push(performance.now() - begin);
          if (good) answered += 1;
        }),
    );
    const once = !Number.isFinite(probe.every) && turn + 1 >= services.length;
    await delay(once ? 2 ** 31 - 1 : Math.min(probe.every, 2 * ASK_EVERY), undefined, {
      signal: ended,
    }).catch(() => {});
  }
  await Promise.all(under);
  times.sort((a, b) => a - b);
  const at = (share: number) => Math.round(times[Math.floor(share * times.length)] ?? Number.NaN);
  return { asked: times.length, answered, p50: at(0.5), p99: at(0.99) };
}

async function main(seconds: number): Promise<boolean> {
  const stops: (() => Promise<unknown>)[] = [];
  try {
    const database = await openDatabase();
    stops.push(database.stop);
    const environment: Record<string, string> = { ...serviceEnvironment(database.url), LOG_LEVEL: "warn" };
    const operatorKey = environment.OPERATOR_API_KEY ?? "";
    const before = await startService(environment);
    stops.push(before.stop);
    const known = await prepare(before, database, operatorKey);
    await before.stop();
    const services = [await startService(environment), await startService(environment)];
    stops.push(() => Promise.all(services.map((service) => service.stop())));
    const flood = startWorker<Flood, FloodResult>("flood.ts");
    stops.push(flood.stop);
    console.log(`${database.description}; ${seconds} s each; all from one address, to two processes\n`);
    let good = true;
    for (const [phase, { name, kinds, restarts }] of PHASES.entries()) {
      const ports = services.map(({ port }) => port);
      const ended = new AbortController();
      const flooding = flood.ask({ ports, kinds, seconds, email: known.email });
      // So that limits are reached before the first is asked.
      await delay(Math.min(2_000, seconds * 100));
      let running = services;
      const restarting = restarts ? restartSecond() : undefined;
      async function restartSecond(): Promise<void> {
        running = services.slice(0, 1);
        await services[1]?.stop();
        services[1] = await startService(environment);
        running = services;
      }
      const probes = probesOf(known, phase, operatorKey);
      const observing = Promise.all(probes.map((probe) => observe(probe, () => running, ended.signal)));
      const { sent, answers } = await flooding;
      await restarting;
      if (restarts) await delay(2_000);
      ended.abort();
      console.log(`${name}  (sent ${JSON.stringify(sent)}, answered ${JSON.stringify(answers)})`);
      for (const [i, { asked, answered, p50, p99 }] of (await observing).entries()) {
        const fine = answered === asked && asked > 0 && p99 < PATIENCE;
        good &&= fine;
        const said = `${answered} of ${asked} answered, p50 ${p50} ms, p99 ${p99} ms`;
        console.log(`  ${fine ? "ok  " : "FAIL"} ${(probes[i]?.name ?? "").padEnd(24)} ${said}`);
      }
    }
    return good;
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

const { values } = parseArgs({ options: { seconds: { type: "string", default: "60" } } });
process.exitCode = (await main(Number(values.seconds))) ? 0 : 1;
