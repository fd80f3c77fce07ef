import { once } from "node:events";
import { readdirSync } from "node:fs";
import { type AddressInfo, connect, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { connectionLimits } from "../../src/http/connections.ts";
import { createServer, type ServerOptions } from "../../src/http/server.ts";
import { cloneDatabase } from "../support/clones.ts";
import { closeAfterFile } from "../support/closing.ts";
import { freePort, launchWith, waitUntil } from "../support/process.ts";
import { serviceEnvironment } from "../support/service.ts";
import { sendRaw } from "./socket.ts";

const QUIET = 300;
const TOTAL = 40;
const PER_ADDRESS = 10;
const PROBE = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

const sockets = new Set<Socket>();
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
});

/** A server with two routes, one of which answers when the test lets it. */
async function openServer(options: Partial<ServerOptions> = {}) {
  const app = createServer({ logger: createLogger("silent"), trustProxy: false, ...options });
  const gate = Promise.withResolvers<void>();
  app.get("/livez", { config: { access: { by: "public" } } }, async () => ({ status: "live" }));
  let arrived = 0;
  app.get("/waits", { config: { access: { by: "public" } } }, async () => {
    arrived += 1;
    await gate.promise;
    return {};
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  closeAfterFile(() => {
    gate.resolve();
    return app.close();
  });
  const { port } = app.server.address() as AddressInfo;
  return { app, port, arrived: () => arrived, answer: gate.resolve };
}

/** Opens a connection that never ends its half, and says `text` at most. */
async function open(port: number, text = "", from = "127.0.0.1"): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", localAddress: from, allowHalfOpen: true });
  sockets.add(socket);
  socket.on("error", () => {});
  socket.resume();
  socket.once("close", () => sockets.delete(socket));
  await once(socket, "connect");
  socket.write(text);
  return socket;
}

const countOf = (app: Awaited<ReturnType<typeof openServer>>["app"]) =>
  new Promise<number>((resolve) => app.server.getConnections((_error, count) => resolve(count)));

describe("connections", () => {
  test("that say nothing are bounded, and a probe among hundreds of them gets its answer", async () => {
    const { app, port } = await openServer({ connections: { total: TOTAL } });
    for (let i = 0; i < QUIET; i++) await open(port, i % 2 === 0 ? "" : "GET /livez HTTP/1.1\r\nHost: ");
    expect((await sendRaw(port, PROBE)).answers.map(({ status }) => status)).toEqual([200]);
    expect(await countOf(app)).toBeLessThanOrEqual(TOTAL);
  });

  test("of one address never take the places of another's", async () => {
    const { app, port } = await openServer({ connections: { total: TOTAL, perAddress: PER_ADDRESS } });
    const neighbour = await open(port, "", "127.0.0.2");
    for (let i = 0; i < QUIET; i++) await open(port);
    expect(await countOf(app)).toBeLessThanOrEqual(PER_ADDRESS + 1);
    neighbour.write(PROBE);
    const [answer] = await once(neighbour.setEncoding("latin1"), "data");
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("that wait for an answer keep their places, and one more is closed", async () => {
    const { port, arrived, answer } = await openServer({
      connections: { total: TOTAL, perAddress: PER_ADDRESS },
    });
    const waiting: Promise<unknown[]>[] = [];
    for (let i = 0; i < PER_ADDRESS; i++) {
      const socket = await open(port, "GET /waits HTTP/1.1\r\nHost: localhost\r\n\r\n");
      waiting.push(once(socket.setEncoding("latin1"), "data"));
    }
    await waitUntil(() => arrived() === PER_ADDRESS, "every request of the address is being answered");
    expect((await sendRaw(port, PROBE)).answers).toEqual([]);
    answer();
    for (const [text] of await Promise.all(waiting)) expect(text).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("are closed after a 408, even if the caller never closes theirs", async () => {
    const { app, port } = await openServer();
    Object.assign(app.server, { requestTimeout: 100, headersTimeout: 100, connectionsCheckingInterval: 20 });
    for (let i = 0; i < 20; i++) await open(port, "POST /livez HTTP/1.1\r\nHost: localhost\r\n");
    await waitUntil(async () => (await countOf(app)) === 0, "the server has closed every socket");
    expect(sockets.size).toBe(20);
  });

  test("whose caller reads no answer are closed after a minute without a byte", async () => {
    const { app } = await openServer();
    expect(app.server.timeout).toBe(60_000);
  });

  test("are a share of the descriptors for one address, unless a proxy stands between", () => {
    const { total, perAddress } = connectionLimits({ behindProxy: false });
    expect(perAddress).toBe(Math.ceil(total / 4));
    expect(connectionLimits({ behindProxy: true })).toEqual({ total, perAddress: undefined });
  });
});

test("a process with 256 descriptors answers a probe beside 400 quiet sockets", async () => {
  const port = await freePort();
  const env = { ...serviceEnvironment(await cloneDatabase()), PORT: String(port) };
  const program = launchWith({ descriptors: 256 }, ["serve"], env);
  await waitUntil(async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).status === 200, "it is ready");
  for (let i = 0; i < 400; i++) await open(port, "GET ");
  expect(readdirSync(`/proc/${program.pid}/fd`).length).toBeLessThan(256);
  for (const path of ["/livez", "/readyz"]) {
    expect((await fetch(`http://127.0.0.1:${port}${path}`)).status, path).toBe(200);
  }
  await program.stop();
});
