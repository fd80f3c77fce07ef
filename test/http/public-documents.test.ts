import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { listRoutes } from "../../src/http/route-list.ts";
import { call, createFixture } from "../support/fixtures.ts";
import { startService } from "../support/service.ts";

const { app } = await startService();
const documents = listRoutes(app)
  .filter(({ document, method }) => document && method === "GET")
  .map(({ url }) => url);
const read = (url: string, headers: Record<string, string> = {}) =>
  app.inject({ method: "GET", url, headers });

describe("a public document", () => {
  test("is each that a program reads before it has a token", () => {
    expect(documents.toSorted()).toEqual([
      "/.well-known/jwks.json",
      "/.well-known/oauth-authorization-server",
      "/.well-known/oauth-protected-resource",
      "/.well-known/oauth-protected-resource/mcp",
      "/api/public/v1/openapi.json",
      "/auth.md",
      "/llms.txt",
    ]);
  });

  test.each(documents)("%s is compressed as the caller accepts it, and says so to caches", async (url) => {
    const plain = await read(url);
    expect([plain.statusCode, plain.headers["content-encoding"], plain.headers.vary]).toEqual([
      200,
      undefined,
      "Accept-Encoding",
    ]);
    for (const [accepted, encoding, expand] of [
      ["gzip", "gzip", gunzipSync],
      ["br, gzip", "br", brotliDecompressSync],
      ["br;q=0.1, gzip", "gzip", gunzipSync],
    ] as const) {
      const answer = await read(url, { "accept-encoding": accepted });
      expect(answer.headers["content-encoding"], accepted).toBe(encoding);
      expect(answer.headers["content-length"], accepted).toBe(String(answer.rawPayload.length));
      expect(expand(answer.rawPayload).toString(), accepted).toBe(plain.body);
      expect(answer.headers.etag, accepted).not.toBe(plain.headers.etag);
    }
    for (const accepted of ["identity", "zstd", "*;q=0", "gzip;q=0"]) {
      const answer = await read(url, { "accept-encoding": accepted });
      expect([answer.headers["content-encoding"], answer.body], accepted).toEqual([undefined, plain.body]);
    }
  });

  test.each(documents)("%s is 304, without a body, to a caller who has it", async (url) => {
    const { headers } = await read(url);
    const etag = String(headers.etag);
    expect(etag).toMatch(/^"[\w-]{22}-identity"$/);
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
      const answer = await read(url, { "if-none-match": known });
      expect([answer.statusCode, answer.body], known).toEqual([304, ""]);
      expect(answer.headers).toMatchObject({
        etag,
        vary: "Accept-Encoding",
        "cache-control": "public, max-age=300",
      });
    }
    expect((await read(url, { "if-none-match": '"other"' })).statusCode).toBe(200);
  });

  test.each(documents)("%s says where the API is described", async (url) => {
    const link = '</api/public/v1/openapi.json>; rel="service-desc"; type="application/json"';
    expect((await read(url)).headers.link).toBe(link);
  });
});

test("an answer of the API is neither compressed nor tagged: it can hold secrets beside others' text", async () => {
  const { token } = await createFixture(app);
  const { headers } = await call(app, "GET", "/api/public/v1/contracts", {
    token,
    headers: { "accept-encoding": "gzip, br" },
  });
  expect(headers).not.toHaveProperty("content-encoding");
  expect(headers).not.toHaveProperty("etag");
});

test("a 401 and an unknown address lead to the API's description", async () => {
  for (const url of ["/api/public/v1/contracts", "/mcp", "/nowhere"]) {
    const answer = await call(app, url === "/mcp" ? "POST" : "GET", url);
    expect(answer.headers.link, url).toContain('rel="service-desc"');
  }
});

test("an address that is a page and an API call says what decides between them", async () => {
  const { token } = await createFixture(app);
  for (const headers of [{ accept: "text/html" }, { accept: "application/json" }]) {
    expect((await call(app, "GET", "/approvals/a", { headers })).headers.vary).toBe("Accept, Authorization");
  }
  expect((await call(app, "GET", "/approvals/a", { token })).headers.vary).toBe("Accept, Authorization");
});
