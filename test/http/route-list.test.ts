import { describe, expect, test } from "vitest";
import { OPERATIONS } from "../../src/accounts/operations.ts";
import { createLogger } from "../../src/app/logger.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import type { App } from "../../src/http/app.ts";
import { type KnownRoute, listRoutes } from "../../src/http/route-list.ts";
import { createServer } from "../../src/http/server.ts";
import { accountKey, isUuid, newId } from "../../src/lib/ids.ts";
import { coversScope, SCOPES } from "../../src/lib/scopes.ts";
import { newSecret } from "../../src/lib/secrets.ts";
import { askEnd, askRelease, createEscrow, readMilestones } from "../support/escrow.ts";
import { type Answer, call, createFixture, type Fixture, fund, operate } from "../support/fixtures.ts";
import { OPERATOR_KEY, PUBLIC_URL, startService } from "../support/service.ts";
import { requestTopUp } from "../support/top-ups.ts";
import { createDelivery, FEATURES } from "../support/webhooks.ts";
import { ask, bytesOf, expectRefusal } from "./expectations.ts";
import { digestRows, endTokens } from "./rows.ts";

// One proxy is believed, so that each refused credential can come from an address of its own.
const { app, db, config } = await startService({ TRUST_PROXY: "1" });

const routes = listRoutes(app);
const tokenRoutes = routes.filter(({ access }) => access?.by === "token");
const operatorRoutes = routes.filter(({ access }) => access?.by === "operator");

test("the patterns of the routes are compiled once, not for each unknown address", () => {
  expect(listRoutes(app)[0]).toBe(routes[0]);
});

const metadataOf = ({ url }: KnownRoute) =>
  `resource_metadata="${PUBLIC_URL}/.well-known/oauth-protected-resource${url === "/mcp" ? url : ""}"`;

/** Values for every parameter that an address may have. */
type Ids = Record<
  | "accountId"
  | "contractId"
  | "milestoneId"
  | "approvalId"
  | "paymentMethodId"
  | "tokenId"
  | "webhookId"
  | "deliveryId"
  | "topUpId",
  string
>;

/** What a route's body must hold at least, where it must hold anything. */
const BODIES: Record<string, unknown> = {
  "POST /api/public/v1/contracts/:contractId/milestones": { description: "One more", amountUsd: 1 },
  "POST /api/public/v1/credits/top-ups": { amountUsd: 250 },
};

async function createIds(): Promise<{ fixture: Fixture; ids: Ids }> {
  const fixture = await createFixture(app, { features: FEATURES });
  const { approval } = (await fund(app, fixture.token, fixture.milestone)).body;
  const { webhookId, deliveryId } = await createDelivery(app, fixture);
  const cards = await operate(app, "GET", `/accounts/${fixture.account}/payment-methods`);
  const other = { name: "Other", scopes: [] };
  const { metadata } = await operate(app, "POST", `/accounts/${fixture.account}/tokens`, other);
  const ids = {
    accountId: fixture.account,
    contractId: fixture.contract,
    milestoneId: fixture.milestone,
    approvalId: approval.id,
    paymentMethodId: cards.paymentMethods[0].id,
    tokenId: metadata.id,
    webhookId,
    deliveryId,
    topUpId: (await requestTopUp(app, fixture)).body.topUpId,
  };
  return { fixture, ids };
}

const addressOf = ({ url }: KnownRoute, ids: Ids) =>
  url.replaceAll(/:([A-Za-z]+)/g, (_all, name: keyof Ids) => ids[name] ?? newId());
/** The operator made the token that these tests name: no other token may revoke it (docs/contract.md §0). */
const revokesAnother = ({ method, url }: KnownRoute) =>
  method === "DELETE" && url.endsWith("/tokens/:tokenId");
let callers = 0;

/** Calls a route from a new address. */
function send(route: KnownRoute, ids: Ids, token?: string, options: { body?: unknown; app?: App } = {}) {
  callers += 1;
  const headers = { "x-forwarded-for": `10.0.${callers >> 8}.${callers & 255}` };
  const { app: target = app, body = BODIES[`${route.method} ${route.url}`] } = options;
  const credential = token === undefined ? {} : { token };
  return call(target, route.method as "GET", addressOf(route, ids), { ...credential, body, headers });
}

describe("every route", () => {
  test("declares who may call it", () => {
    expect(routes.length).toBeGreaterThan(30);
    expect(routes.filter(({ access }) => access === undefined)).toEqual([]);
    expect(tokenRoutes.map(({ method, url }) => `${method} ${url}`)).toEqual(
      expect.arrayContaining([
        "POST /milestones/:milestoneId/fund",
        "GET /updates",
        "GET /approvals/:approvalId",
      ]),
    );
  });

  test("one that declares nothing keeps the server from starting", async () => {
    const server = createServer({ logger: createLogger("silent"), trustProxy: false });
    server.get("/forgotten", async () => "open to all");
    await expect(server.ready()).rejects.toThrow("GET /forgotten does not declare who may call it");
  });

  test("of the public API asks for a token, but for its own description", () => {
    const open = routes.filter(({ url, access }) => url.startsWith("/api/public/") && access?.by !== "token");
    expect([...new Set(open.map(({ url }) => url))]).toEqual(["/api/public/v1/openapi.json"]);
  });
});

describe("every route that takes a token", () => {
  test("requires of it what the table of operations says", () => {
    const documented = tokenRoutes.filter(({ url }) => url !== "/mcp");
    const required = documented.map(({ operationId, access }) => [operationId, access]);
    expect(required).toEqual(
      documented.map(({ operationId = "" }) => [operationId, Object(OPERATIONS)[operationId]]),
    );
  });

  test("answers 401 with one and the same bytes, whatever is wrong with the token", async () => {
    const { fixture, ids } = await createIds();
    const [expired, revoked] = [await createFixture(app), await createFixture(app)];
    await endTokens(db, expired, "expired");
    await endTokens(db, revoked, "revoked");
    const wrong = {
      malformed: "nonsense",
      truncated: fixture.token.slice(0, -1),
      prolonged: `${fixture.token}A`,
      unprefixed: fixture.token.slice("ot_pat_".length),
      unknown: newSecret("ot_pat_", accountKey(fixture.account)).value,
      homeless: newSecret("ot_pat_", newId()).value,
      expired: expired.token,
      revoked: revoked.token,
      operator: OPERATOR_KEY,
      invitation: newSecret("ot_inv_", accountKey(fixture.account)).value,
    };
    for (const route of tokenRoutes) {
      const plain = await send(route, ids);
      if (route.method === "HEAD") expect([plain.status, plain.text]).toEqual([401, ""]);
      else expectRefusal(plain, 401, "UNAUTHORIZED");
      const metadata = metadataOf(route);
      expect(plain.headers["www-authenticate"]).toBe(`Bearer ${metadata}`);
      // That a token was there is all that tells them apart (RFC 6750 §3.1).
      const challenge = `Bearer error="invalid_token", ${metadata}`;
      const refused = { ...plain, headers: { ...plain.headers, "www-authenticate": challenge } };
      for (const [name, token] of Object.entries(wrong)) {
        const what = `${route.method} ${route.url} with a token that is ${name}`;
        expect(bytesOf(await send(route, ids, token)), what).toBe(bytesOf(refused));
      }
    }
  });

  test("answers another account's ids as it answers unknown ones, byte for byte", async () => {
    const { ids: foreign } = await createIds();
    const { fixture, ids: own } = await createIds();
    const unknown = Object.fromEntries(
      Object.entries(foreign).map(([name, id]) => [name, isUuid(id) ? newId() : `${id.slice(0, -1)}_`]),
    ) as Ids;
    // The contract ends last: under one that has ended nothing more is asked for.
    const withIds = tokenRoutes
      .filter(({ url }) => url.includes(":"))
      .sort((one, other) => Number(one.url.endsWith("/end")) - Number(other.url.endsWith("/end")));
    expect(withIds.length).toBeGreaterThan(5);
    for (const route of withIds) {
      const what = `${route.method} ${route.url}`;
      const { status } = await send(route, own, fixture.token);
      // An undecided approval has no receipt yet, an unfunded milestone is not released, and both exist.
      if (/\/(receipt|approve)$/.test(route.url)) expect(status, what).toBe(409);
      // So is a key that another one's root made, or the operator.
      else if (revokesAnother(route)) expect(status, what).toBe(403);
      else expect(status, what).toBeLessThan(300);
      const answer = await send(route, foreign, fixture.token);
      expect(answer.status, what).toBe(404);
      const nothing = await send(route, unknown, fixture.token);
      expect(bytesOf(answer, ...Object.values(foreign)), what).toBe(
        bytesOf(nothing, ...Object.values(unknown)),
      );
    }
  });

  test("refuses a token that has every scope but those that would do", async () => {
    const { fixture, ids } = await createIds();
    for (const route of tokenRoutes.filter(({ method }) => method !== "HEAD")) {
      const { scopes } = route.access as { scopes?: typeof SCOPES };
      const granted = SCOPES.filter((scope) => !scopes?.some((needed) => coversScope([scope], needed)));
      const { token, metadata } = await operate(app, "POST", `/accounts/${fixture.account}/tokens`, {
        name: "Nearly",
        scopes: granted,
        expiresAt: "9999-12-31T23:59:59Z",
      });
      const answer = await send(route, ids, token);
      const tokensUrl = `${PUBLIC_URL}/settings/keys`;
      if (revokesAnother(route)) expectRefusal(answer, 403, "FORBIDDEN", { reason: "made_by_another_key" });
      else if (scopes === undefined) expect([401, 403], route.url).not.toContain(answer.status);
      else {
        const details = { requiredScopes: scopes, grantedScopes: granted, tokensUrl };
        expectRefusal(answer, 403, "FORBIDDEN", details);
      }
      // An account has 25 at most.
      await call(app, "DELETE", `/api/public/v1/tokens/${metadata.id}`, { token });
    }
  });
});

describe("every route of the operator", () => {
  test("answers 401 without the key, with a wrong one, and with an agent's token", async () => {
    const { fixture, ids } = await createIds();
    const before = await digestRows(db);
    for (const route of operatorRoutes) {
      for (const key of [undefined, `${OPERATOR_KEY}x`, OPERATOR_KEY.slice(1), fixture.token]) {
        const answer = await send(route, ids, key);
        if (route.method === "HEAD") expect(answer.status).toBe(401);
        else expectRefusal(answer, 401, "UNAUTHORIZED");
        expect(answer.headers["www-authenticate"]).toBe("Bearer");
      }
    }
    expect(await digestRows(db)).toEqual(before);
  });

  test("does not exist where no key is set", async () => {
    const { ids } = await createIds();
    const keyless = await startService({ OPERATOR_API_KEY: "" }, config.databaseUrl);
    expect(operatorRoutes.length).toBeGreaterThan(10);
    for (const route of operatorRoutes.filter(({ method }) => method !== "HEAD")) {
      const answer = await send(route, ids, OPERATOR_KEY, { app: keyless.app });
      expectRefusal(answer, 404, "NOT_FOUND", { resource: "routes" });
    }
  });
});

describe("nothing that an agent or the operator holds", () => {
  test("can decide an approval: no route does, whatever is sent to it", async () => {
    const { fixture, ids } = await createIds();
    const bodies = [
      undefined,
      {},
      { decision: "confirm" },
      { status: "confirmed" },
      { approvalId: ids.approvalId },
    ];
    for (const route of [...tokenRoutes, ...operatorRoutes].filter(
      ({ method }) => !/GET|HEAD/.test(method),
    )) {
      expect(route.url, "decides by its name").not.toMatch(/confirm|decline|decide|reject|sign/);
      for (const token of [undefined, fixture.token, OPERATOR_KEY]) {
        for (const body of bodies) {
          const { status } = await send(route, ids, token, { body });
          expect(status, `${route.method} ${route.url}`).not.toBe(429);
        }
      }
    }
    for (const verb of ["confirm", "decline", "approve", ""]) {
      for (const method of ["POST", "PUT", "PATCH", "DELETE"] as const) {
        const path = `/approvals/${ids.approvalId}${verb === "" ? "" : `/${verb}`}`;
        for (const prefix of ["", "/api/public/v1", "/api/operator/v1"]) {
          const { status } = await call(app, method, `${prefix}${path}`, { token: fixture.token, body: {} });
          expect([401, 403, 404, 405]).toContain(status);
        }
      }
    }
    const decided = await db
      .selectFrom("approvals")
      .where("status", "in", ["confirmed", "declined"])
      .select("id")
      .execute();
    expect(decided).toEqual([]);
  });

  test("can release, end or pay a top-up: every form of people's pages answers that nobody is signed in", async () => {
    const deps = { db, config, processor: createSandbox(db, PUBLIC_URL) };
    const escrow = await createEscrow(app, deps, { count: 2 });
    const { fixture, accountId } = escrow;
    await operate(app, "PUT", `/accounts/${fixture.account}`, { features: FEATURES });
    const stories = [await askRelease(app, escrow), await askEnd(app, escrow)];
    const topUpId: string = (await requestTopUp(app, fixture)).body.topUpId;
    const before = await digestRows(db);
    const pages = routes.filter(({ access, method }) => access?.by === "session" && method === "POST");
    expect(pages.length).toBeGreaterThan(10);
    for (const { approvalId } of stories) {
      for (const { url } of pages) {
        const path = url
          .replace(/^(\/approvals\/):[A-Za-z]+/, `$1${approvalId}`)
          .replace(/^(\/top-ups\/):[A-Za-z]+/, `$1${topUpId}`)
          .replace(/^(\/contracts\/):[A-Za-z]+/, `$1${fixture.contract}`)
          .replaceAll(/:[A-Za-z]+/g, newId());
        for (const held of [fixture.token, OPERATOR_KEY]) {
          const cookie = `countersign=${held}; __Host-countersign=${held}`;
          const headers = {
            authorization: `Bearer ${held}`,
            cookie,
            "sec-fetch-site": "same-origin",
            accept: "text/html",
          };
          const { status } = await call(app, "POST", path, { headers, body: {} });
          expect([303, 400, 401, 403, 404, 415, 422], path).toContain(status);
        }
      }
    }
    const after = await digestRows(db);
    const changed = Object.keys(after).filter((table) => after[table] !== before[table]);
    expect(changed.filter((table) => !/tokens|rate_windows|known_credentials|attempts/.test(table))).toEqual(
      [],
    );
    expect(await readMilestones(app, escrow)).toEqual(["ACTIVE_FUNDED", "ACTIVE_FUNDED"]);
    const rows = await db
      .selectFrom("top_ups")
      .where("account_id", "=", accountId)
      .select("status")
      .execute();
    expect(rows).toEqual([{ status: "PENDING" }]);
  });
});

describe("every link that an answer hands out", () => {
  const open = async (url: string): Promise<Answer> => {
    expect(url.startsWith(`${PUBLIC_URL}/`), url).toBe(true);
    const answer = await call(app, "GET", url.slice(PUBLIC_URL.length), { headers: { accept: "text/html" } });
    // A page of a person's own leads a stranger to sign in, and back to it.
    return answer.status === 303 ? open(`${PUBLIC_URL}${answer.headers.location}`) : answer;
  };

  test("answers 200 to a browser, and what describes the API is JSON", async () => {
    const [unclaimed, poor, cardless] = [
      await createFixture(app, { claimed: false }),
      await createFixture(app, { scopes: ["payments:read"] }),
      await createFixture(app, { card: false }),
    ];
    const { fixture, ids } = await createIds();
    const invite = { email: "maria@example.com", name: "Maria", role: "owner" };
    const links = [
      (await fund(app, unclaimed.token, unclaimed.milestone)).body.details.claimUrl,
      (await fund(app, poor.token, poor.milestone)).body.details.tokensUrl,
      (await fund(app, cardless.token, cardless.milestone)).body.details.billingUrl,
      (await fund(app, fixture.token, ids.milestoneId)).body.approval.approvalUrl,
      (await ask(app, "POST", `/accounts/${fixture.account}/members`, invite)).body.inviteUrl,
    ];
    for (const link of links) {
      const { status, headers } = await open(link);
      expect([status, headers["content-type"]], link).toEqual([200, "text/html; charset=utf-8"]);
    }
    const refused = await call(app, "GET", "/updates");
    const metadata =
      /resource_metadata="([^"]+)"/.exec(String(refused.headers["www-authenticate"]))?.[1] ?? "";
    const { status, body } = await open(metadata);
    expect([status, body.resource]).toEqual([200, PUBLIC_URL]);
    expect((await open(body.resource_documentation)).status).toBe(200);
  });
});
