import { once } from "node:events";
import {
  Agent,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { describe, expect, test, vi } from "vitest";
import { cloneDatabase } from "../support/clones.ts";
import { closeAfterFile } from "../support/closing.ts";
import { createFixture } from "../support/fixtures.ts";
import { longTest } from "../support/long.ts";
import { freePort, launch, startProcess, waitUntil } from "../support/process.ts";
import { serviceEnvironment, startService } from "../support/service.ts";

vi.setConfig({ testTimeout: 120_000 });

const url = await cloneDatabase();
const { app } = await startService({}, url);

const get = (port: number, path: string) => fetch(`http://127.0.0.1:${port}${path}`);

describe("a process that was told to stop", () => {
  test("goes on serving while it drains, is not ready, and closes each connection after its answer", async () => {
    const { token, milestone } = await createFixture(app);
    const service = await startProcess("serve", url, { DRAIN_SECONDS: "600" });
    const ended = service.stop();
    await waitUntil(async () => (await get(service.port, "/readyz")).status === 503, "it is not ready");
    const answer = await service.call("POST", `/milestones/${milestone}/fund`, { token });
    expect(answer.status).toBe(202);
    expect(answer.headers.connection).toBe("close");
    expect((await get(service.port, "/livez")).status).toBe(200);
    await service.kill9();
    await ended;
  });

  longTest("loses no request of a proxy's when two are restarted one after the other", async () => {
    const { token, milestone } = await createFixture(app);
    const settings = { PUBLIC_URL: "http://localhost:3000", DRAIN_SECONDS: "1" };
    const start = () => startProcess("serve", url, settings);
    const running = [await start(), await start()];
    const proxy = await startBalancer(() => running.map(({ port }) => port));
    const failed: unknown[] = [];
    let answered = 0;
    let restarting = true;
    const caller = async () => {
      while (restarting) {
        const fund = { method: "POST", headers: { authorization: `Bearer ${token}` } };
        const answer = await fetch(`${proxy}/milestones/${milestone}/fund`, fund).catch((error) => ({
          error,
        }));
        if ("status" in answer && answer.status === 202) answered += 1;
        else failed.push("error" in answer ? answer.error : answer.status);
        if ("body" in answer) await answer.text();
      }
    };
    const callers = Array.from({ length: 8 }, caller);
    for (const place of [0, 1, 0, 1]) {
      const before = running[place];
      const next = await start();
      running[place] = next;
      expect(await before?.stop()).toMatchObject({ code: 0, stderr: "" });
    }
    restarting = false;
    await Promise.all(callers);
    expect(failed).toEqual([]);
    expect(answered).toBeGreaterThan(100);
  });
});

/**
 * Passes requests on to one port after the other over kept connections, as a proxy does by default: a request that could not
 * be sent goes to the next port, and one that was sent is not repeated.
 */
async function startBalancer(ports: () => number[]): Promise<string> {
  const agent = new Agent({ keepAlive: true });
  let turn = 0;
  const passOn = (incoming: IncomingMessage, body: Buffer, port: number) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const { method, url: path, headers } = incoming;
      const outgoing = httpRequest({ port, host: "127.0.0.1", method, path, headers, agent }, resolve);
      outgoing.once("error", reject);
      outgoing.end(body);
    });
  const answerFrom = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await buffer(incoming);
    for (let tried = 0; ; tried++) {
      const all = ports();
      const port = all[turn++ % all.length] ?? 0;
      try {
        const answer = await passOn(incoming, body, port);
        response.writeHead(answer.statusCode ?? 502, { "content-type": "application/json" });
        answer.pipe(response);
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ECONNREFUSED" && tried < 3) continue;
        response.writeHead(502).end(String(error));
        return;
      }
    }
  };
  const server = createServer((incoming, response) => void answerFrom(incoming, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closeAfterFile(async () => {
    server.closeAllConnections();
    server.close();
    agent.destroy();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("work answers /livez, /readyz and /metrics on HEALTH_PORT, says in the log that it runs, and others tell when it was seen", async () => {
  const port = await freePort();
  const settings = { ...serviceEnvironment(url), LOG_LEVEL: "info", HEALTH_PORT: String(port) };
  const worker = launch(["work"], settings);
  await waitUntil(async () => (await get(port, "/livez")).status === 200, "it lives");
  await waitUntil(async () => {
    const ready = await app.inject({ url: "/readyz" });
    return ready.statusCode === 200 && ready.json().workSeenAt !== null;
  }, "it was seen");
  const { status, workSeenAt } = await (await get(port, "/readyz")).json();
  expect({ status, workSeenAt }).toEqual({
    status: "ready",
    workSeenAt: expect.stringMatching(/^\d{4}-.*Z$/),
  });
  const metrics = await (await get(port, "/metrics")).text();
  expect(metrics).toMatch(/^countersign_sweep_last_success_timestamp_seconds\{job="due payments"\} \d/m);
  expect(metrics).toMatch(/^countersign_work_seen_seconds \d/m);
  expect((await get(port, "/sign-in")).status).toBe(404);
  expect(worker.output()).toMatch(/"msg":"work runs"/);
  expect(await worker.stop()).toMatchObject({ code: 0, stderr: "" });
});

test("serve answers /metrics without a key on METRICS_PORT, and nothing else there", async () => {
  const port = await freePort();
  await startProcess("serve", url, { METRICS_PORT: String(port) });
  const answer = await get(port, "/metrics");
  expect([answer.status, answer.headers.get("content-type")]).toEqual([
    200,
    "text/plain; version=0.0.4; charset=utf-8",
  ]);
  const text = await answer.text();
  expect(text).toMatch(/^countersign_database_pool_connections\{state="limit"\} 10$/m);
  expect(text).toMatch(/^nodejs_eventloop_lag_seconds /m);
  for (const path of ["/livez", "/readyz", "/approvals"]) expect((await get(port, path)).status).toBe(404);
});
