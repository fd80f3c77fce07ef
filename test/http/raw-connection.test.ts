import type { AddressInfo } from "node:net";
import { afterAll, describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { createServer } from "../../src/http/server.ts";
import { createFixture } from "../support/fixtures.ts";
import { startService } from "../support/service.ts";
import { expectEnvelope } from "./expectations.ts";
import { digestRows } from "./rows.ts";
import { sendRaw } from "./socket.ts";

const { app, db } = await startService();
await app.listen({ host: "127.0.0.1", port: 0 });
const { port } = app.server.address() as AddressInfo;

// The same server in a hurry.
const hasty = createServer({ logger: createLogger("silent"), trustProxy: false });
hasty.post("/slow", { config: { access: { by: "public" } } }, async () => ({}));
Object.assign(hasty.server, {
  requestTimeout: 100,
  headersTimeout: 100,
  connectionsCheckingInterval: 20,
});
await hasty.listen({ host: "127.0.0.1", port: 0 });
const hastyPort = (hasty.server.address() as AddressInfo).port;
afterAll(() => hasty.close());

/** A request's text; the server is asked to close the connection after it. */
function request(line: string, headers: string[] = [], body = ""): string {
  return `${[`${line} HTTP/1.1`, "Host: localhost", "Connection: close", ...headers].join("\r\n")}\r\n\r\n${body}`;
}

/** A fund request of an account of its own. */
async function fundRequest(headers: string[], body = ""): Promise<string> {
  const { milestone, token } = await createFixture(app);
  return request(`POST /milestones/${milestone}/fund`, [`Authorization: Bearer ${token}`, ...headers], body);
}

describe("what is no HTTP request that can be read", () => {
  test.each<[string, number, string]>([
    ["another protocol", 400, "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"],
    ["HTTP/2 from the start", 400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["an unknown method", 400, request("FUND /livez")],
    ["bare line feeds", 400, "GET /livez HTTP/1.1\nHost: localhost\n\n"],
    ["bytes in the address", 400, request("GET /approvals/\xff\xfe")],
    ["U+0000 in a header", 400, request("GET /livez", ["X-Request-Id: a\0b"])],
    ["a folded header", 400, request("GET /livez", ["X: a", " b"])],
    ["white space before a colon", 400, request("GET /livez", ["X : a"])],
    [
      "two lengths",
      400,
      request("POST /milestones/m/fund", ["Content-Length: 2", "Content-Length: 3"], "{}"),
    ],
    ["a negative length", 400, request("POST /milestones/m/fund", ["Content-Length: -2"], "{}")],
    [
      "a length and chunks",
      400,
      request(
        "POST /milestones/m/fund",
        ["Content-Length: 2", "Transfer-Encoding: chunked"],
        "2\r\n{}\r\n0\r\n\r\n",
      ),
    ],
    ["HTTP/1.1 without a host", 400, "GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n"],
    ["two hosts", 400, request("GET /livez", ["host: other.example"])],
    ["the same host twice", 400, request("GET /livez", ["HOST: localhost"])],
    ["a header of 20,000 characters", 431, request("GET /livez", [`X: ${"x".repeat(20_000)}`])],
    ["an address of 20,000 characters", 431, request(`GET /${"x".repeat(20_000)}`)],
    [
      "1,500 headers",
      431,
      request(
        "GET /livez",
        Array.from({ length: 1_500 }, (_, i) => `X-${i}: 1`),
      ),
    ],
  ])("%s is answered with the envelope, and the connection is closed", async (_name, status, text) => {
    const { answers } = await sendRaw(port, text);
    expect(answers.map((answer) => answer.status)).toEqual([status]);
    for (const answer of answers) {
      expectEnvelope(answer);
      expect(answer.body.code).toBe("BAD_REQUEST");
      expect(String(answer.headers.connection).toLowerCase()).toBe("close");
    }
  });

  test.each<[string, string]>([
    ["from its first chunk", "zz\r\n{}\r\n"],
    ["after a good one", "2\r\n{}\r\nzz\r\n\r\n"],
  ])("a body whose chunks are broken %s is 400 and funds nothing", async (_name, body) => {
    const text = await fundRequest(["Transfer-Encoding: chunked"], body);
    const before = await digestRows(db);
    const { answers } = await sendRaw(port, text);
    expect(answers.map((answer) => answer.status)).toEqual([400]);
    for (const answer of answers) expectEnvelope(answer);
    expect(await digestRows(db)).toEqual(before);
  });

  test("a body that ends before its length is never answered as if it were whole, and funds nothing", async () => {
    const text = await fundRequest(["Content-Length: 20"], "{}");
    const before = await digestRows(db);
    const { answers } = await sendRaw(port, text, { end: true });
    for (const answer of answers) expectEnvelope(answer);
    expect(await digestRows(db)).toEqual(before);
  });

  test("garbage after a request does not spoil its answer, nor the next connection", async () => {
    const first = request("GET /livez").replace("Connection: close\r\n", "");
    const { answers } = await sendRaw(port, `${first}GARBAGE\r\n\r\n`);
    for (const answer of answers) expect([200, 400]).toContain(answer.status);
    expect((await sendRaw(port, request("GET /livez"))).answers[0]?.status).toBe(200);
  });
});

describe("what is odd, but HTTP", () => {
  test("a body in chunks, and one whose sender waits for leave, are read as any other", async () => {
    const chunked = await fundRequest(["Transfer-Encoding: chunked"], "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n");
    expect((await sendRaw(port, chunked)).answers.map(({ status }) => status)).toEqual([202]);
    const waiting = await sendRaw(
      port,
      await fundRequest(["Expect: 100-continue", "Content-Length: 2"], "{}"),
    );
    expect(waiting.raw).toMatch(/^HTTP\/1\.1 100 Continue\r\n/);
    expect(waiting.answers.map(({ status }) => status)).toEqual([202]);
  });

  test("an unknown expectation is ignored", async () => {
    const { answers } = await sendRaw(
      port,
      await fundRequest(["Expect: a miracle", "Content-Length: 2"], "{}"),
    );
    expect(answers.map(({ status }) => status)).toEqual([202]);
  });

  test("more than 1 KiB is 413, by its length or as it comes, and the rest is not waited for", async () => {
    const announced = await fundRequest(["Content-Length: 1000000000"], "{");
    const coming = await fundRequest(
      ["Transfer-Encoding: chunked"],
      `10000\r\n${" ".repeat(65_536)}\r\n10000\r\n`,
    );
    for (const text of [announced, coming]) {
      const { answers } = await sendRaw(port, text);
      expect(answers.map(({ status }) => status)).toEqual([413]);
      for (const answer of answers) expectEnvelope(answer);
    }
  });

  test("of two Authorization headers the first counts, and only that", async () => {
    const good = await fundRequest(["Authorization: Bearer nonsense"]);
    expect((await sendRaw(port, good)).answers.map(({ status }) => status)).toEqual([202]);
    const bad = (await fundRequest([])).replace(
      "Authorization:",
      "Authorization: Bearer nonsense\r\nAuthorization:",
    );
    expect((await sendRaw(port, bad)).answers.map(({ status }) => status)).toEqual([401]);
  });

  test("an upgrade, an address with a scheme and host, and HTTP/1.0 get a plain answer", async () => {
    for (const text of [
      request("GET /livez", ["Upgrade: websocket"]).replace("close", "upgrade, close"),
      request("GET http://elsewhere.example/livez"),
      "GET /livez HTTP/1.0\r\n\r\n",
    ]) {
      expect((await sendRaw(port, text)).answers.map(({ status }) => status)).toEqual([200]);
    }
  });

  test("no tunnel is opened", async () => {
    expect((await sendRaw(port, request("CONNECT 127.0.0.1:5432"))).answers).toEqual([]);
  });
});

describe("slow clients", () => {
  test("have 10 seconds for a whole request, which is checked every second", () => {
    const { requestTimeout, headersTimeout, connectionsCheckingInterval } =
      app.server as typeof app.server & {
        connectionsCheckingInterval: number;
      };
    expect({ requestTimeout, headersTimeout, connectionsCheckingInterval }).toEqual({
      requestTimeout: 10_000,
      headersTimeout: 10_000,
      connectionsCheckingInterval: 1_000,
    });
  });

  test.each([
    ["nothing", ""],
    ["half a request line", "GET /slo"],
    ["half of the headers", "POST /slow HTTP/1.1\r\nHost: localhost\r\n"],
    [
      "half a body",
      "POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
    ],
  ])("who send %s are answered 408 and cut", async (_name, text) => {
    const { answers } = await sendRaw(hastyPort, text);
    expect(answers.map(({ status }) => status)).toEqual([408]);
    for (const answer of answers) expectEnvelope(answer);
  });
});
