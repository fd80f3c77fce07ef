import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { FOREVER, listAssets } from "../../src/web/kit/assets.ts";

import { call } from "../support/fixtures.ts";
import { startService } from "../support/service.ts";

const { app } = await startService();
const page = await app.inject({ method: "GET", url: "/sign-in", headers: { accept: "text/html" } });

describe("files that pages load", () => {
  test("each asset's address carries a digest, and browsers keep it for a year", async () => {
    expect(listAssets().length).toBeGreaterThan(5);
    for (const { url, content } of listAssets()) {
      expect(url).toMatch(/^\/assets\/[a-z-]+\.[0-9a-f]{12}\.(css|js)$/);
      const answer = await app.inject({ method: "GET", url });
      expect(answer.rawPayload.equals(content), url).toBe(true);
      expect(answer.headers).toMatchObject({ "cache-control": FOREVER, vary: "Accept-Encoding" });
    }
  });

  test.each([
    ["br", brotliDecompressSync],
    ["gzip", gunzipSync],
  ] as const)("assets are answered compressed by %s to a browser that accepts it", async (encoding, open) => {
    for (const { url, content } of listAssets()) {
      const answer = await app.inject({ method: "GET", url, headers: { "accept-encoding": encoding } });
      expect(answer.headers["content-encoding"]).toBe(encoding);
      expect(open(answer.rawPayload).equals(content), url).toBe(true);
      expect(answer.rawPayload.length).toBeLessThanOrEqual(content.length + 16);
    }
  });

  test("scripts import each other by addresses that exist", async () => {
    const known = new Set(listAssets().map(({ url }) => url));
    const imports = listAssets().flatMap(({ content }) => [
      ...content.toString().matchAll(/^import .* from "([^"]+)"/gm),
    ]);
    expect(imports.length).toBeGreaterThan(1);
    for (const [, target = ""] of imports) expect(known).toContain(target);
  });

  test("a page names only files that exist", async () => {
    const named = [...page.body.matchAll(/(?:href|src)="(\/[^"]*\.(?:css|js|png)|\/assets\/logo)"/g)];
    expect(named.length).toBeGreaterThan(3);
    for (const [, url = ""] of named) expect((await call(app, "GET", url)).status, url).toBe(200);
  });
});

describe("what crawlers and link previews see", () => {
  test("robots.txt keeps crawlers to the first page and the documents", async () => {
    const { text } = await call(app, "GET", "/robots.txt");
    expect(text).toContain("Disallow: /\n");
    expect(text).toContain("Allow: /llms.txt\n");
  });

  test("a pasted approval link unfurls as an approval request of this service, and names nothing else", async () => {
    const url = "/approvals/0193a000-0000-7000-8000-000000000000";
    const first = await app.inject({ method: "GET", url, headers: { accept: "text/html" } });
    expect(first.statusCode).toBe(303);
    const location = String(first.headers.location);
    const { body } = await app.inject({ method: "GET", url: location, headers: { accept: "text/html" } });
    expect(body).toContain('<meta property="og:title" content="Approval request · Countersign">');
    expect(body).not.toMatch(/og:[a-z_]+" content="[^"]*\$/);
  });

  test("the icons that browsers ask every site for are there", async () => {
    const icon = await app.inject({ method: "GET", url: "/apple-touch-icon.png" });
    expect([icon.headers["content-type"], icon.rawPayload.subarray(1, 4).toString()]).toEqual([
      "image/png",
      "PNG",
    ]);
    const favicon = await app.inject({ method: "GET", url: "/favicon.ico" });
    expect(favicon.headers["content-type"]).toBe("image/svg+xml");
  });
});
