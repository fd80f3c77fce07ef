import { describe, expect, test } from "vitest";
import { type KnownRoute, listRoutes } from "../../src/http/route-list.ts";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { newSecret } from "../../src/lib/secrets.ts";
import { assetUrl } from "../../src/web/kit/assets.ts";
import { expectOAuthRefusal } from "../support/agents.ts";
import { call, createFixture, type Fixture, fund } from "../support/fixtures.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";
import { expectRefusal } from "./expectations.ts";
import { digestRows } from "./rows.ts";

const { app, db, config } = await startService();
const BROWSER = { accept: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8" };

/** The addresses of every route that reads, with what its caller holds, as things that exist where there are any. */
async function readingCalls() {
  const fixture = await createFixture(app);
  const { approval } = (await fund(app, fixture.token, fixture.milestone)).body;
  return listRoutes(app)
    .filter(({ method }) => method === "GET")
    .map((route) => ({
      url: addressOf(route, fixture, approval.id),
      access: route.access,
      options: keysOf(route, fixture),
    }));
}

function addressOf({ url }: KnownRoute, { account, contract, milestone }: Fixture, approval: string): string {
  const ids: Record<string, string> = {
    ":accountId": account,
    ":contractId": contract,
    ":milestoneId": milestone,
    ":approvalId": approval,
  };
  return url.replaceAll(/:[A-Za-z]+/g, (name) => ids[name] ?? newId()).replace("*", "index.css");
}

function keysOf({ access }: KnownRoute, { token }: Fixture) {
  if (access?.by === "operator") return { token: OPERATOR_KEY };
  return access?.by === "token" ? { token } : { headers: BROWSER };
}

describe("every answer", () => {
  test("carries an X-Request-Id, and may not be stored unless it is a public file", async () => {
    const files: string[] = [];
    for (const { url, options } of await readingCalls()) {
      const answer = await call(app, "GET", url, options);
      expect(answer.headers["x-request-id"], url).toMatch(/^[0-9a-f-]{36}$/);
      if (answer.headers["cache-control"] === "no-store") continue;
      expect(answer.headers["cache-control"], url).toMatch(/^public, max-age=/);
      files.push(url.replace(/\.[0-9a-f]{12}\./, ".*."));
    }
    expect(files.sort()).toEqual([
      "/.well-known/jwks.json",
      "/.well-known/oauth-authorization-server",
      "/.well-known/oauth-protected-resource",
      "/.well-known/oauth-protected-resource/mcp",
      "/api/public/v1/openapi.json",
      "/apple-touch-icon.png",
      "/assets/card.*.js",
      "/assets/co-sign.*.js",
      "/assets/logo",
      "/assets/operator-docs.*.js",
      "/assets/passkeys.*.js",
      "/assets/send.*.js",
      "/assets/style.*.css",
      "/assets/watch.*.js",
      "/assets/webauthn.*.js",
      "/assets/zone.*.js",
      "/auth.md",
      "/favicon.ico",
      "/llms.txt",
      "/robots.txt",
    ]);
  });

  test("tells browsers not to guess its type and to keep its address to this origin", async () => {
    const calls = await readingCalls();
    expect(calls.map(({ url }) => url)).toEqual(
      expect.arrayContaining(["/docs/json", assetUrl("style.css"), "/.well-known/jwks.json"]),
    );
    const answers = [
      ...(await Promise.all(calls.map(({ url, options }) => call(app, "GET", url, options)))),
      await call(app, "GET", "/nowhere"),
      await call(app, "GET", "/%ff"),
      await call(app, "POST", "/mcp"),
      await call(app, "POST", "/mcp", { token: (await createFixture(app)).token, body: {} }),
      await call(app, "POST", "/api/agent/identity", { body: { agent_name: 1 } }),
      await call(app, "DELETE", "/api/agent/identity"),
      await call(app, "POST", "/sign-in"),
    ];
    for (const { headers, text } of answers) {
      expect(headers, text).toMatchObject({
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
      });
      expect(headers, text).not.toHaveProperty("strict-transport-security");
    }
  });

  test("tells browsers to stay with https where people reach the service by that", async () => {
    const secure = await startService({ PUBLIC_URL: "https://pay.example.com" }, config.databaseUrl);
    for (const url of ["/", "/docs", "/nowhere", "/updates", "/livez", assetUrl("style.css")]) {
      const { headers } = await call(secure.app, "GET", url);
      expect(headers["strict-transport-security"], url).toBe("max-age=31536000");
    }
  });

  test("echoes the caller's X-Request-Id, in the envelope too, if it is sane", async () => {
    for (const id of ["abc-123", "!", "~".repeat(128), "a:b/c?d=e&f"]) {
      const answer = await call(app, "GET", "/updates", { headers: { "x-request-id": id } });
      expect([answer.headers["x-request-id"], answer.body.requestId]).toEqual([id, id]);
    }
  });

  test("makes one itself where the caller's is too long, empty, spaced, or not plain text", async () => {
    for (const id of ["x".repeat(129), "", "a b", "a\tb", "ü", "a,\u00a0b"]) {
      const answer = await call(app, "GET", "/updates", { headers: { "x-request-id": id } });
      expect(answer.headers["x-request-id"]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}$/);
      expect(answer.body.requestId).toBe(answer.headers["x-request-id"]);
    }
  });

  test("of two requests has an id of its own", async () => {
    const [one, other] = await Promise.all([call(app, "GET", "/livez"), call(app, "GET", "/livez")]);
    expect(one.headers["x-request-id"]).not.toBe(other.headers["x-request-id"]);
  });
});

describe("an address that nothing is at", () => {
  test("is 404 in the envelope, under every prefix and for every method", async () => {
    const { token } = await createFixture(app);
    for (const url of [
      "/nowhere",
      "/api/public/v1",
      "/api/public/v1/nowhere",
      "/api/operator/v1/nowhere",
      "/milestones/m/fund/",
      "/MILESTONES/m/fund",
      "//evil.example/approvals",
    ]) {
      for (const method of ["GET", "POST", "PUT", "DELETE", "PATCH"] as const) {
        expectRefusal(await call(app, method, url, { token }), 404, "NOT_FOUND", { resource: "routes" });
      }
    }
  });

  test("is a page for a browser, and says no more than that", async () => {
    const page = await call(app, "GET", "/nowhere/<script>", { headers: BROWSER });
    expect([page.status, page.headers["content-type"]]).toEqual([404, "text/html; charset=utf-8"]);
    expect(page.headers["content-security-policy"]).toContain("default-src 'none'");
    expect(page.text).not.toContain("nowhere");
    const withToken = await call(app, "GET", "/nowhere", { token: "any", headers: BROWSER });
    expectRefusal(withToken, 404, "NOT_FOUND", { resource: "routes" });
  });
});

describe("an address that is both a page and an API call", () => {
  test.each([
    ["page", BROWSER.accept],
    ["page", "text/html"],
    ["page", "text/*"],
    ["page", "text/html;q=0.2, application/json;q=0.1"],
    ["page", "TEXT/HTML"],
    ["api", "*/*"],
    ["api", "application/json"],
    ["api", "application/json, text/html;q=0.5"],
    ["api", "text/html;q=0, */*"],
    ["api", "text/html+xml"],
    ["api", "application/text/html"],
    ["api", ""],
  ])("is the %s to a caller who accepts %j", async (audience, accept) => {
    const { headers } = await call(app, "GET", "/approvals/a", { headers: { accept } });
    expect(headers.location === undefined ? "api" : "page").toBe(audience);
  });
});

describe("a method that an address does not take", () => {
  test("is 405 with those it takes in Allow, and writes nothing", async () => {
    const fixture = await createFixture(app);
    const { approval } = (await fund(app, fixture.token, fixture.milestone)).body;
    const before = await digestRows(db);
    for (const route of listRoutes(app).filter(({ url }) => !url.startsWith("/docs"))) {
      const url = addressOf(route, fixture, approval.id);
      const allowed = listRoutes(app).filter(({ matches }) => matches.test(url));
      for (const method of ["GET", "POST", "PUT", "DELETE", "PATCH"] as const) {
        if (allowed.some((known) => known.method === method)) continue;
        const token = route.access?.by === "operator" ? OPERATOR_KEY : fixture.token;
        const answer = await call(app, method, url, { token });
        if (url.startsWith("/api/agent/")) expectOAuthRefusal(answer, 405, "invalid_request");
        else expectRefusal(answer, 405, "BAD_REQUEST");
        const methods = [...new Set(allowed.map((known) => known.method))].sort();
        expect(answer.headers.allow, `${method} ${url}`).toBe(methods.join(", "));
      }
    }
    expect(await digestRows(db)).toEqual(before);
  });

  test("is 405 whatever comes with it: a type without a body, text, or JSON that cannot be read", async () => {
    const bodies = [
      ["application/json", undefined],
      ["application/json", "{"],
      ["text/plain", "some text"],
      ["application/x-www-form-urlencoded", "a=1"],
    ] as const;
    for (const url of [
      "/milestones/m/fund",
      "/updates",
      "/api/operator/v1/accounts/a",
      "/api/agent/identity",
    ]) {
      for (const [type, payload] of bodies) {
        const headers = { "content-type": type };
        const answer = await app.inject({
          method: "DELETE",
          url,
          headers,
          ...(payload === undefined ? {} : { payload }),
        });
        expect([answer.statusCode, typeof answer.headers.allow], `${url} ${type}`).toEqual([405, "string"]);
      }
    }
  });

  test.each([
    ["/milestones/m/fund", "GET", "POST"],
    ["/approvals/a", "POST", "GET, HEAD"],
    ["/updates", "DELETE", "GET, HEAD"],
    ["/livez", "PUT", "GET, HEAD"],
    ["/api/operator/v1/accounts/a", "DELETE", "GET, HEAD, PUT"],
  ] as const)("%s refuses %s", async (url, method, allow) => {
    const answer = await call(app, method, url);
    expectRefusal(answer, 405, "BAD_REQUEST");
    expect(answer.headers.allow).toBe(allow);
  });
});

describe("GET and HEAD", () => {
  test("change nothing at any address, and HEAD answers as GET does, without the body", async () => {
    const calls = await readingCalls();
    const before = await digestRows(db);
    for (const { url, options } of calls) {
      const get = await call(app, "GET", url, options);
      const head = await call(app, "HEAD", url, options);
      expect([head.status, head.text], url).toEqual([get.status, ""]);
      expect(head.headers["content-type"], url).toBe(get.headers["content-type"]);
    }
    expect(await digestRows(db)).toEqual(before);
  });

  test("of the pages change nothing, whatever bot asks, and with whatever key", async () => {
    const calls = (await readingCalls()).filter(({ access }) => access?.by === "public");
    expect(calls.map(({ url }) => url)).toEqual(expect.arrayContaining(["/claim", "/invite"]));
    const before = await digestRows(db);
    const agents = ["Slackbot-LinkExpanding 1.0", "Mozilla/5.0 (compatible; ms-office; MSOffice 16)"];
    for (const { url } of calls) {
      for (const agent of agents) {
        await call(app, "GET", url, { headers: { ...BROWSER, "user-agent": agent } });
        await call(app, "HEAD", url, { headers: { ...BROWSER, "user-agent": agent, purpose: "prefetch" } });
      }
      await call(app, "GET", `${url}?token=ot_inv_x&confirm=1&decision=confirm`, { headers: BROWSER });
    }
    expect(await digestRows(db)).toEqual(before);
  });

  test("a fund request is not made by HEAD", async () => {
    const { token, milestone } = await createFixture(app);
    const answer = await call(app, "HEAD", `/milestones/${milestone}/fund`, { token });
    expect([answer.status, answer.text]).toEqual([405, ""]);
    expect((await call(app, "GET", "/readyz")).status).toBe(200);
  });
});

describe("when the database is away", () => {
  test("the API answers 503 with Retry-After and leaks nothing, and /livez still answers", async () => {
    const away = await startService({}, "postgres://nobody@127.0.0.1:1/nothing");
    const token = newSecret("ot_pat_", accountKey("acct-1")).value;
    expect((await call(away.app, "GET", "/livez")).status).toBe(200);
    for (const answer of [
      await fund(away.app, token, "milestone-1"),
      await call(away.app, "GET", "/updates", { token }),
      await call(away.app, "GET", "/readyz"),
    ]) {
      expectRefusal(answer, 503, "UNAVAILABLE", { retryAfterSeconds: 2 });
      expect(answer.headers["retry-after"]).toBe("2");
      expect(answer.text).not.toMatch(/127\.0\.0\.1|postgres|ECONN/i);
    }
  });
});
