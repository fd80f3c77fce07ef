import { describe, expect, test } from "vitest";
import { call, createFixture, fund } from "../support/fixtures.ts";
import { OPERATOR_KEY, PUBLIC_URL, startService } from "../support/service.ts";

const LISTED = "https://desk.example.com";
const OTHER = "https://evil.example";
const closed = await startService();
const open = await startService(
  { CORS_ORIGINS: `${LISTED},http://localhost:5173` },
  closed.config.databaseUrl,
);

const preflight = (app: typeof open.app, url: string, origin: string, method = "POST") =>
  app.inject({
    method: "OPTIONS",
    url,
    headers: {
      origin,
      "access-control-request-method": method,
      "access-control-request-headers": "authorization,content-type,idempotency-key",
    },
  });

describe("a page of another site", () => {
  test("reads public documents from anywhere, with whatever headers its client adds", async () => {
    for (const url of [
      "/api/public/v1/openapi.json",
      "/.well-known/oauth-protected-resource/mcp",
      "/llms.txt",
    ]) {
      for (const { app } of [closed, open]) {
        const asked = await preflight(app, url, OTHER, "GET");
        expect([asked.statusCode, asked.headers["access-control-allow-origin"]], url).toEqual([204, "*"]);
        expect(asked.headers["access-control-allow-headers"]).toContain("authorization");
        const answer = await call(app, "GET", url, { headers: { origin: OTHER } });
        expect(answer.headers["access-control-allow-origin"], url).toBe("*");
      }
    }
  });

  test("calls the API if the operator lists its origin, and reads refusals and headers too", async () => {
    const { app } = open;
    const { token, milestone } = await createFixture(app);
    for (const url of [
      "/api/public/v1/milestones/m/fund",
      "/milestones/m/fund",
      "/mcp",
      "/api/agent/identity",
    ]) {
      const asked = await preflight(app, url, LISTED);
      expect([asked.statusCode, asked.body], url).toEqual([204, ""]);
      expect(asked.headers, url).toMatchObject({
        "access-control-allow-origin": LISTED,
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": "authorization,content-type,idempotency-key",
        vary: "Origin, Access-Control-Request-Headers",
      });
    }
    const headers = { origin: LISTED };
    for (const answer of [
      await call(app, "POST", `/milestones/${milestone}/fund`, { token, headers }),
      await call(app, "GET", "/api/public/v1/contracts", { headers }),
      await call(app, "POST", "/api/public/v1/tokens", { token, headers, body: "{" }),
      await call(app, "POST", "/mcp", { token, headers, body: { jsonrpc: "2.0", id: 1, method: "ping" } }),
    ]) {
      expect(answer.headers["access-control-allow-origin"], answer.text).toBe(LISTED);
      expect(answer.headers["access-control-expose-headers"]).toContain("RateLimit");
      expect(answer.headers.vary).toContain("Origin");
    }
  });

  test.each([
    ["one that is not listed", OTHER],
    ["one whose name begins with a listed one", `${LISTED}.evil.example`],
    ["the same host by http", LISTED.replace("https", "http")],
    ["a page that hides where it is from", "null"],
  ])("gets nothing from the API otherwise: %s", async (_name, origin) => {
    const { token, milestone } = await createFixture(open.app);
    expect((await preflight(open.app, `/milestones/${milestone}/fund`, origin)).statusCode).toBe(405);
    const answer = await call(open.app, "POST", `/milestones/${milestone}/fund`, {
      token,
      headers: { origin },
    });
    expect(answer.headers).not.toHaveProperty("access-control-allow-origin");
    // Caches keep what they got apart by the origin all the same.
    expect(answer.headers.vary).toBe("Origin");
  });

  test("gets nothing from pages, sessions, the operator's API or health, wherever it is from", async () => {
    for (const url of ["/approvals", "/sign-in", "/billing", "/api/operator/v1/accounts/a", "/livez"]) {
      expect((await preflight(open.app, url, LISTED, "GET")).statusCode, url).toBe(405);
      const answer = await call(open.app, "GET", url, { token: OPERATOR_KEY, headers: { origin: LISTED } });
      expect(answer.headers, url).not.toHaveProperty("access-control-allow-origin");
    }
  });

  test("is never allowed a session's cookie", async () => {
    for (const url of ["/llms.txt", "/mcp"]) {
      const asked = await preflight(open.app, url, LISTED);
      expect(asked.headers, url).not.toHaveProperty("access-control-allow-credentials");
    }
  });
});

test("without a list the API says nothing of origins, and costs no header", async () => {
  const { token, milestone } = await createFixture(closed.app);
  const { headers } = await fund(closed.app, token, milestone);
  expect(headers).not.toHaveProperty("vary");
  expect((await preflight(closed.app, `/milestones/${milestone}/fund`, PUBLIC_URL)).statusCode).toBe(405);
});
