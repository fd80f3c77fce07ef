import { afterEach, expect, test, vi } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { createServer } from "../../src/http/server.ts";

afterEach(() => void vi.useRealTimers());

/** A server with a log that can be read: what it has warned of. */
function openServer(trustProxy: number | string | false) {
  const lines: { level: number; msg: string }[] = [];
  const logger = createLogger("warn", { write: (line: string) => void lines.push(JSON.parse(line)) });
  const app = createServer({ logger, trustProxy });
  app.get("/", { config: { access: { by: "public" } } }, async ({ ip }) => ({ ip }));
  const ask = async (headers: Record<string, string>) => (await app.inject({ url: "/", headers })).json().ip;
  return { ask, warnings: () => lines.map(({ msg }) => msg) };
}

const FORWARDED = { "x-forwarded-for": "192.0.2.1" };

test("forwarding headers that arrive while TRUST_PROXY is 0 are ignored, and logged once a minute", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.parse("2026-11-23T12:00:00Z") });
  const { ask, warnings } = openServer(false);
  await ask({});
  expect(warnings()).toEqual([]);
  for (let i = 0; i < 10; i++) expect(await ask(FORWARDED)).toBe("127.0.0.1");
  await ask({ "x-forwarded-proto": "https" });
  expect(warnings()).toEqual([expect.stringMatching(/while TRUST_PROXY is 0.*Set TRUST_PROXY/)]);
  vi.setSystemTime(Date.now() + 60_000);
  await ask({ forwarded: "for=192.0.2.1" });
  expect(warnings()).toHaveLength(2);
});

test("a trusted proxy's word is taken, without the port that it writes, and not logged", async () => {
  for (const trust of [1, "127.0.0.0/8"]) {
    const { ask, warnings } = openServer(trust);
    expect(await ask({ "x-forwarded-for": "192.0.2.1:4711" })).toBe("192.0.2.1");
    expect(await ask({ "x-forwarded-for": "198.51.100.7, [2001:db8::1]:80" })).toBe("2001:db8::1");
    expect(warnings()).toEqual([]);
  }
  const ranges = openServer("127.0.0.0/8, 10.0.0.0/8");
  expect(await ranges.ask({ "x-forwarded-for": "192.0.2.1:1, 10.0.0.1:2" })).toBe("192.0.2.1");
});
