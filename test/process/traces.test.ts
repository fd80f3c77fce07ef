import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { expect, test, vi } from "vitest";
import { cloneDatabase } from "../support/clones.ts";
import { closeAfterFile } from "../support/closing.ts";
import { createFixture } from "../support/fixtures.ts";
import { startProcess } from "../support/process.ts";
import { startService } from "../support/service.ts";

vi.setConfig({ testTimeout: 120_000 });

const SRC = join(import.meta.dirname, "../../src");
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

/** A collector that keeps what it is sent. */
async function startCollector() {
  const received: Buffer[] = [];
  const paths = new Set<string | undefined>();
  const server = createServer((request, response) => {
    void buffer(request).then((body) => {
      paths.add(request.url);
      received.push(body);
      response.writeHead(200, { "content-type": "application/x-protobuf" }).end();
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  closeAfterFile(async () => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { endpoint: `http://127.0.0.1:${port}`, paths, all: () => Buffer.concat(received) };
}

test("a request continues its caller's trace, with its statements, and its log line names the trace", async () => {
  const url = await cloneDatabase();
  const { app } = await startService({}, url);
  const { token, milestone } = await createFixture(app);
  const collector = await startCollector();
  const service = await startProcess("serve", url, {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
    LOG_LEVEL: "info",
  });
  const traceparent = `00-${TRACE}-00f067aa0ba902b7-01`;
  const answer = await service.call("POST", `/milestones/${milestone}/fund`, {
    token,
    headers: { traceparent },
  });
  expect(answer.status).toBe(202);
  expect(await service.stop()).toMatchObject({ code: 0, stderr: "" });

  expect([...collector.paths]).toEqual(["/v1/traces"]);
  const sent = collector.all();
  expect(sent.includes(Buffer.from(TRACE, "hex"))).toBe(true);
  for (const text of ["countersign", "pg SELECT", "/milestones/:milestoneId/fund"])
    expect(sent.includes(text), text).toBe(true);
  // The address can hold a secret, so that it is sent as its pattern; and no parameter of a statement is sent.
  for (const text of [token, milestone]) expect(sent.includes(text), text).toBe(false);
  const line = service
    .output()
    .split("\n")
    .find((one) => one.includes('"route":"/milestones/:milestoneId/fund"'));
  expect(JSON.parse(line ?? "{}")).toMatchObject({
    trace_id: TRACE,
    span_id: expect.stringMatching(/^\w{16}$/),
  });
});

test("OpenTelemetry is loaded by one file alone, and that file only where an endpoint is set", () => {
  const files = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".ts"),
  );
  const importing = (pattern: RegExp) =>
    files
      .filter((file) => pattern.test(readFileSync(join(SRC, file), "utf8")))
      .map((file) => file.replaceAll("\\", "/"));
  expect(importing(/["'](@opentelemetry\/|@fastify\/otel)/)).toEqual(["app/tracing.ts"]);
  expect(importing(/from ["'].*\/tracing\.ts["']/).filter((file) => file.startsWith("app/"))).toEqual([
    "app/logger.ts",
    "app/tracing.ts",
  ]);
  const start = readFileSync(join(SRC, "app/start.ts"), "utf8");
  expect(start).toMatch(
    /if \(traceEndpoint === undefined\) return undefined;\s+const \{ startTracing \} = await import/,
  );
});
