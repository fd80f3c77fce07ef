import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import http from "node:http";
import https from "node:https";
import net, { type AddressInfo } from "node:net";
import tls from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createDeliveryClient } from "../../src/webhooks/delivery-client.ts";
import { createResolver } from "../../src/webhooks/resolver.ts";
import { RECEIVER_CERTIFICATE, TEST_AUTHORITY } from "../support/certificates.ts";

type Options = Partial<Parameters<typeof createDeliveryClient>[0]>;
type World = Exclude<Parameters<typeof createDeliveryClient>[1], undefined>;

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const BODY = '{"id":"1","type":"approval.confirmed"}';
const NO_PUBLIC_ADDRESS = "the host does not lead to a public address";

/** A server on loopback that keeps what it was sent. */
async function listen(server: http.Server | net.Server, host = "127.0.0.1"): Promise<number> {
  server.listen(0, host);
  await once(server, "listening");
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function receiver(answer: RequestListener = (_, response) => response.end()) {
  const seen: { request: IncomingMessage; body: string }[] = [];
  const port = await listen(
    http.createServer((request, response: ServerResponse<IncomingMessage> & { req: IncomingMessage }) => {
      let body = "";
      request.on("data", (chunk) => {
        body += chunk;
      });
      request.on("end", () => {
        seen.push({ request, body });
        answer(request, response);
      });
    }),
  );
  return { port, seen };
}

/** A client to which 127.0.0.1 is the public internet, and all else is not, unless told otherwise. */
function client(world: World = {}, options: Options = {}) {
  const made = createDeliveryClient(
    { privateHosts: [], allowLocalhost: false, maxSockets: 10, ...options },
    {
      resolve: async () => [{ address: "127.0.0.1", family: 4 }],
      isPublic: (address) => address === "127.0.0.1",
      ...world,
    },
  );
  closing.push(() => made.close());
  return made;
}

/** The same for plain HTTP, which only hosts that the operator named may speak. */
function plainClient(world: World = {}, options: Options = {}) {
  return client(world, { privateHosts: ["plain.test"], ...options });
}

const to = (url: string, headers = {}) => ({ url, headers, body: BODY });

describe("a delivery", () => {
  test("posts the body with its headers and ours, over a connection of its own", async () => {
    const { port, seen } = await receiver();
    const deliver = plainClient().deliver;
    const outcome = await deliver(to(`http://plain.test:${port}/hooks?a=1`, { "X-OpenTrain-Event": "e" }));
    expect(outcome).toEqual({
      ok: true,
      status: 200,
      error: null,
      milliseconds: expect.any(Number),
      timedOut: false,
    });
    await deliver(to(`http://plain.test:${port}/hooks?a=1`));
    const [first, second] = seen;
    expect(first?.body).toBe(BODY);
    expect(first?.request).toMatchObject({ method: "POST", url: "/hooks?a=1" });
    expect(first?.request.headers).toEqual({
      host: `plain.test:${port}`,
      connection: "close",
      "content-type": "application/json",
      "content-length": String(BODY.length),
      "user-agent": "OpenTrain-Webhooks/1.0",
      "x-opentrain-event": "e",
    });
    expect(first?.request.socket).not.toBe(second?.request.socket);
  });

  test.each([200, 201, 204, 299])("has arrived when %i is answered", async (status) => {
    const { port } = await receiver((_, response) => response.writeHead(status).end("ignored"));
    expect(await plainClient().deliver(to(`http://plain.test:${port}/`))).toMatchObject({
      ok: true,
      status,
      error: null,
    });
  });

  test.each([300, 304, 400, 404, 410, 429, 500, 503])("has not when %i is", async (status) => {
    const { port } = await receiver((_, response) => response.writeHead(status).end());
    expect(await plainClient().deliver(to(`http://plain.test:${port}/`))).toMatchObject({
      ok: false,
      status,
      error: expect.stringContaining(`answered ${status}`),
      timedOut: false,
    });
  });

  test.each([301, 302, 303, 307, 308])("follows no redirect: a %i leads nowhere", async (status) => {
    const inside = await receiver();
    const { port } = await receiver((_, response) =>
      response.writeHead(status, { Location: `http://127.0.0.1:${inside.port}/` }).end(),
    );
    expect(await plainClient().deliver(to(`http://plain.test:${port}/`))).toMatchObject({
      ok: false,
      status,
      error: `answered ${status}, a redirect, which is not followed`,
    });
    expect(inside.seen).toEqual([]);
  });
});

describe("the guard", () => {
  test("refuses a name that resolves inside, without a connection", async () => {
    let connections = 0;
    const port = await listen(net.createServer(() => connections++));
    const deliver = client({ isPublic: () => false }).deliver;
    expect(await deliver(to(`https://receiver.example:${port}/`))).toMatchObject({
      ok: false,
      status: null,
      error: NO_PUBLIC_ADDRESS,
    });
    expect(connections).toBe(0);
  });

  test("judges by what is really public, unless a test says otherwise", async () => {
    let connections = 0;
    const port = await listen(net.createServer(() => connections++));
    const real = createDeliveryClient(
      { privateHosts: [], allowLocalhost: false, maxSockets: 1 },
      { resolve: async () => [{ address: "127.0.0.1", family: 4 }] },
    );
    closing.push(() => real.close());
    for (const host of ["receiver.example", "127.0.0.1", "2130706433", "0x7f.1", "[::ffff:7f00:1]"]) {
      const outcome = await real.deliver(to(`https://${host}:${port}/`));
      expect(outcome).toMatchObject({ ok: false, error: NO_PUBLIC_ADDRESS });
    }
    expect(connections).toBe(0);
  });

  test("gives an unknown name and one that leads inside the same answer", async () => {
    const unknown = client({ resolve: () => Promise.reject(new Error("ENOTFOUND")) });
    const none = client({ resolve: async () => [] });
    for (const { deliver } of [unknown, none]) {
      expect(await deliver(to("https://receiver.example/"))).toMatchObject({ error: NO_PUBLIC_ADDRESS });
    }
  });

  // Only Linux and Windows have the rest of 127.0.0.0/8 without being told.
  test.skipIf(process.platform === "darwin")(
    "asks on every delivery: a name that re-resolves inside is refused from then on, for both families",
    async () => {
      const outside = await receiver();
      let inside = 0;
      const trap = net.createServer(() => inside++);
      trap.listen(outside.port, "127.0.0.2");
      await once(trap, "listening");
      closing.push(() => trap.close());
      const answers = [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2", "127.0.0.1"], ["127.0.0.2"]];
      const resolve = async () => (answers.shift() ?? []).map((address) => ({ address, family: 4 }));
      const deliver = client({ resolve }).deliver;
      const url = `https://receiver.example:${outside.port}/`;
      // The receiver speaks no TLS; what matters is that it was connected to.
      const reached = { error: "no TLS connection could be agreed on" };
      expect(await deliver(to(url))).toMatchObject(reached);
      expect(await deliver(to(url))).toMatchObject({ error: NO_PUBLIC_ADDRESS });
      expect(await deliver(to(url))).toMatchObject(reached);
      expect(await deliver(to(url))).toMatchObject({ error: NO_PUBLIC_ADDRESS });
      expect(inside).toBe(0);
    },
  );

  test("refuses a stored URL that is no longer allowed, a literal too, which no look-up is asked about", async () => {
    const { port, seen } = await receiver();
    const deliver = client().deliver;
    for (const url of [`http://127.0.0.1:${port}/`, `http://localhost:${port}/`, "nonsense"]) {
      expect(await deliver(to(url))).toMatchObject({ ok: false, error: NO_PUBLIC_ADDRESS });
    }
    expect(seen).toEqual([]);
  });

  test("lets hosts that the operator named be anywhere, literal or by name", async () => {
    const { port, seen } = await receiver();
    const options = { privateHosts: ["127.0.0.1", "plain.test"] };
    const deliver = client({ isPublic: () => false }, options).deliver;
    expect(await deliver(to(`http://127.0.0.1:${port}/`))).toMatchObject({ ok: true });
    expect(await deliver(to(`http://plain.test:${port}/`))).toMatchObject({ ok: true });
    expect(seen).toHaveLength(2);
  });

  test("lets the demo reach this machine, and a name that only pretends to be it not", async () => {
    const { port } = await receiver();
    const demo = { allowLocalhost: true };
    const inDemo = createDeliveryClient({ privateHosts: [], allowLocalhost: true, maxSockets: 1 });
    closing.push(() => inDemo.close());
    expect(await inDemo.deliver(to(`http://127.0.0.1:${port}/`))).toMatchObject({ ok: true });
    expect(await inDemo.deliver(to(`http://localhost:${port}/`))).toMatchObject({ ok: true });
    const astray = client(
      { resolve: async () => [{ address: "10.0.0.1", family: 4 }], isPublic: () => false },
      demo,
    );
    expect(await astray.deliver(to(`http://localhost:${port}/`))).toMatchObject({ error: NO_PUBLIC_ADDRESS });
    const posing = client({ isPublic: () => false }, demo);
    expect(await posing.deliver(to(`https://receiver.example:${port}/`))).toMatchObject({
      error: NO_PUBLIC_ADDRESS,
    });
  });
});

describe("a receiver that misbehaves", () => {
  const SHORT = { timeout: 300 };
  const late = { ok: false, status: null, error: "timed out after 0.3 s", timedOut: true };

  test("by saying nothing is left when the time is up", async () => {
    const port = await listen(net.createServer(() => {}));
    expect(await plainClient(SHORT).deliver(to(`http://plain.test:${port}/`))).toMatchObject(late);
  });

  test("by dripping its headers for ever is left when the time is up", async () => {
    const port = await listen(
      net.createServer((socket) => {
        socket.on("error", () => {});
        socket.write("HTTP/1.1 200 OK\r\n");
        const drip = setInterval(() => socket.write(`X-${Date.now()}: 1\r\n`), 10);
        socket.on("close", () => clearInterval(drip));
      }),
    );
    expect(await plainClient(SHORT).deliver(to(`http://plain.test:${port}/`))).toMatchObject(late);
  });

  test("by informing without end that it is at work is left when the time is up", async () => {
    const port = await listen(
      net.createServer((socket) => {
        socket.on("error", () => {});
        const drip = setInterval(() => socket.write("HTTP/1.1 102 Processing\r\n\r\n"), 10);
        socket.on("close", () => clearInterval(drip));
      }),
    );
    expect(await plainClient(SHORT).deliver(to(`http://plain.test:${port}/`))).toMatchObject(late);
  });

  test("by a name whose DNS never answers is left when the time is up", async () => {
    const never = client({ ...SHORT, resolve: () => new Promise(() => {}) });
    expect(await never.deliver(to("https://receiver.example/"))).toMatchObject(late);
  });

  test("by a TLS handshake that never ends is left when the time is up", async () => {
    const port = await listen(net.createServer(() => {}));
    expect(await client(SHORT).deliver(to(`https://receiver.example:${port}/`))).toMatchObject(late);
  });

  test("by dripping its body after a 200 has the delivery, and is known to be slow", async () => {
    const { port } = await receiver((_, response) => {
      response.writeHead(200).write("x");
      const drip = setInterval(() => response.write("x"), 10);
      response.on("close", () => clearInterval(drip));
    });
    expect(await plainClient({ timeout: 1_500 }).deliver(to(`http://plain.test:${port}/`))).toMatchObject({
      ok: true,
      status: 200,
      error: null,
      timedOut: true,
    });
  });

  test("by a body without end is cut off after a little of it", async () => {
    let sent = 0;
    const closed = Promise.withResolvers<void>();
    const { port } = await receiver((_, response) => {
      const chunk = Buffer.alloc(65_536);
      const pump = (): void => {
        while (!response.destroyed && response.write(chunk)) sent += chunk.length;
      };
      response.writeHead(200).on("drain", pump).on("close", closed.resolve);
      pump();
    });
    expect(await plainClient().deliver(to(`http://plain.test:${port}/`))).toMatchObject({
      ok: true,
      status: 200,
      timedOut: false,
    });
    await closed.promise;
    // What the two sockets' buffers took before the end was noticed, and nothing like "without end".
    expect(sent).toBeLessThan(20_000_000);
  });

  test("by headers without measure is refused", async () => {
    const port = await listen(
      net.createServer((socket) => {
        socket.on("error", () => {});
        socket.write(`HTTP/1.1 200 OK\r\nX-Large: ${"x".repeat(100_000)}\r\n\r\n`);
      }),
    );
    expect(await plainClient().deliver(to(`http://plain.test:${port}/`))).toMatchObject({
      ok: false,
      status: null,
      error: "the headers of the answer are too large",
    });
  });

  test.each([
    ["by speaking something else", "SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP"],
    ["by hanging up", "", "the connection was closed before an answer came"],
    [
      "by hanging up in the middle",
      "HTTP/1.1 200 OK\r\nA: b",
      "the connection was closed before an answer came",
    ],
    [
      "by changing the protocol",
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
      "the connection was closed before an answer came",
    ],
  ])("%s fails the delivery", async (_, said, error) => {
    const port = await listen(
      net.createServer((socket) => {
        socket.on("error", () => {});
        socket.once("data", () => socket.end(said));
      }),
    );
    expect(await plainClient().deliver(to(`http://plain.test:${port}/`))).toMatchObject({
      ok: false,
      status: null,
      error,
      timedOut: false,
    });
  });

  test("by being gone fails the delivery", async () => {
    const server = net.createServer();
    const port = await listen(server);
    server.close();
    await once(server, "close");
    expect(await plainClient().deliver(to(`http://plain.test:${port}/`))).toMatchObject({
      ok: false,
      status: null,
      error: "the connection was refused",
    });
  });
});

describe("TLS", () => {
  const url = (host: string, port: number) => to(`https://${host}:${port}/`);
  const secure = () =>
    listen(https.createServer(RECEIVER_CERTIFICATE, (_, response) => response.writeHead(204).end()));

  const defaults = tls.getCACertificates("default");
  beforeAll(() => tls.setDefaultCACertificates([...defaults, TEST_AUTHORITY]));
  afterAll(() => tls.setDefaultCACertificates(defaults));

  test("is verified against the name", async () => {
    const port = await secure();
    expect(await client().deliver(url("receiver.example", port))).toMatchObject({ ok: true, status: 204 });
    const error = "the certificate is not valid for this host";
    expect(await client().deliver(url("other.example", port))).toMatchObject({ ok: false, error });
    // By its address, which the certificate does not hold.
    const named = client({}, { privateHosts: ["127.0.0.1"] });
    expect(await named.deliver(url("127.0.0.1", port))).toMatchObject({ ok: false, error });
  });

  test("is verified up to an authority that is known, whatever the environment says", async () => {
    tls.setDefaultCACertificates(defaults);
    const port = await secure();
    const error = "the certificate is not valid for this host";
    expect(await client().deliver(url("receiver.example", port))).toMatchObject({ ok: false, error });
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
    closing.push(() => delete process.env.NODE_TLS_REJECT_UNAUTHORIZED);
    expect(await client().deliver(url("receiver.example", port))).toMatchObject({ ok: false, error });
    tls.setDefaultCACertificates([...defaults, TEST_AUTHORITY]);
  });

  test("is not taken for granted: plain HTTP on the port fails", async () => {
    const { port } = await receiver();
    expect(await client().deliver(url("receiver.example", port))).toMatchObject({
      ok: false,
      error: "no TLS connection could be agreed on",
    });
  });
});

describe("a client", () => {
  test("opens no more sockets than it may, and the other deliveries wait", async () => {
    const held: ServerResponse[] = [];
    let most = 0;
    let open = 0;
    const { port, seen } = await receiver((_, response) => {
      held.push(response);
      most = Math.max(most, ++open);
      response.on("close", () => open--);
    });
    const deliver = plainClient({}, { maxSockets: 2 }).deliver;
    const all = Array.from({ length: 6 }, () => deliver(to(`http://plain.test:${port}/`)));
    for (let answered = 0; answered < all.length; answered++) {
      await expect.poll(() => held.length).toBeGreaterThan(0);
      held.shift()?.end();
    }
    expect(await Promise.all(all)).toEqual(all.map(() => expect.objectContaining({ ok: true })));
    expect(seen).toHaveLength(6);
    expect(most).toBe(2);
  });

  test("breaks off what is under way and what waits when it is closed, or when its caller says so", async () => {
    const port = await listen(net.createServer(() => {}));
    const stopped = {
      ok: false,
      status: null,
      error: "broken off, as this service was stopping",
      timedOut: false,
    };
    const made = plainClient({}, { maxSockets: 1 });
    const caller = new AbortController();
    const called = made.deliver(to(`http://plain.test:${port}/`), caller.signal);
    const waiting = made.deliver(to(`http://plain.test:${port}/`));
    const last = made.deliver(to(`http://plain.test:${port}/`));
    caller.abort();
    expect(await called).toMatchObject(stopped);
    await made.close();
    expect(await Promise.all([waiting, last])).toMatchObject([stopped, stopped]);
  });
});

describe("names", () => {
  test("whose servers are silent take none of the process's threads", async () => {
    const silent = createSocket("udp4");
    silent.bind(0, "127.0.0.1");
    await once(silent, "listening");
    closing.push(() => silent.close());
    const rules = { privateHosts: [], allowLocalhost: false };
    const resolve = createResolver(rules, [`127.0.0.1:${silent.address().port}`]);
    const never = client({ resolve, timeout: 2_000 });
    const asked = once(silent, "message");
    const stuck = Array.from({ length: 16 }, (_, i) => never.deliver(to(`https://r${i}.example/`)));
    await asked;
    let answered = false;
    for (const delivery of stuck) void delivery.then(() => (answered = true));
    // A file is read on those threads.
    await readFile(import.meta.filename);
    expect(answered).toBe(false);
    await never.close();
    expect(await Promise.all(stuck)).toHaveLength(16);
  });

  test("that the operator named are looked up as the system does", async () => {
    const resolve = createResolver({ privateHosts: ["localhost"], allowLocalhost: false }, ["127.0.0.1:1"]);
    expect((await resolve("localhost")).map(({ address }) => address)).toContain("127.0.0.1");
  });
});
