import { describe, expect, test } from "vitest";
import { SCOPES } from "../../src/lib/scopes.ts";
import { expectRefusal } from "../http/expectations.ts";
import { endTokens } from "../http/rows.ts";
import { type Answer, call, createFixture, fund, operate } from "../support/fixtures.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { connectTo, textOf } from "./clients.ts";

const { app, db, config } = await startService();
const FUND = "opentrain_request_milestone_funding";

const LIST = { jsonrpc: "2.0", id: 1, method: "tools/list" };
const META = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientCapabilities": {},
};
const MODERN = { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list" };
const HEADERS = { accept: "application/json, text/event-stream" };

const post = (token: string | undefined, body: unknown, headers: Record<string, string> = {}, target = app) =>
  call(target, "POST", "/mcp", {
    ...(token === undefined ? {} : { token }),
    body,
    headers: { ...HEADERS, ...headers },
  });

/** Calls a tool that is refused, and returns what a model is told. */
async function refusal(token: string, name: string, args: Record<string, unknown>): Promise<string> {
  const client = await connectTo(app, { token });
  const result = await client.callTool({ name, arguments: args });
  expect(result.isError).toBe(true);
  expect(result.structuredContent).toBeUndefined();
  return textOf(result);
}

describe("POST /mcp", () => {
  test("asks for a token as every route does, before it reads anything", async () => {
    const { token, ...fixture } = await createFixture(app);
    for (const answer of [
      await post(undefined, "{"),
      await post(`${token}x`, LIST),
      await post(token.replace(/.{30}$/, "A".repeat(30)), LIST),
    ]) {
      expectRefusal(answer, 401, "UNAUTHORIZED");
      expect(answer.headers["www-authenticate"]).toMatch(
        /^Bearer (error="invalid_token", )?resource_metadata="http:\/\/localhost:3000\/.well-known\/oauth-protected-resource\/mcp"$/,
      );
    }
    await endTokens(db, { token, ...fixture }, "revoked");
    expectRefusal(await post(token, LIST), 401, "UNAUTHORIZED");
  });

  test("counts each message against the token's rate, those of a batch too", async () => {
    const hurried = await startService({ RATE_LIMIT_PER_MINUTE: "3" }, config.databaseUrl);
    const { token } = await createFixture(app);
    for (const left of [2, 1]) {
      const { status, headers } = await post(token, LIST, {}, hurried.app);
      expect([status, headers.ratelimit]).toEqual([200, expect.stringContaining(`r=${left};`)]);
    }
    expect((await post(token, [LIST, { ...LIST, id: 2 }], {}, hurried.app)).status).toBe(429);
    expect((await post(token, LIST, {}, hurried.app)).status).toBe(429);
  });

  test("answers a batch where the protocol has them, and refuses one elsewhere or beyond 20 messages", async () => {
    const { token } = await createFixture(app);
    const batch = [
      { jsonrpc: "2.0", id: "a", method: "ping" },
      { jsonrpc: "2.0", method: "notifications/initialized" },
      { ...LIST, id: "b" },
    ];
    for (const headers of [{}, { "mcp-protocol-version": "2025-03-26" }]) {
      const { status, body } = await post(token, batch, headers);
      expect(status).toBe(200);
      expect(body.map(({ id }: { id: string }) => id).sort()).toEqual(["a", "b"]);
    }
    const only = [{ jsonrpc: "2.0", method: "notifications/initialized" }];
    expect(await post(token, only)).toMatchObject({ status: 202, text: "" });
    for (const [messages, revision] of [
      [batch, "2025-06-18"],
      [batch, "2025-11-25"],
      [Array.from({ length: 21 }, (_, id) => ({ ...LIST, id })), "2025-03-26"],
      [[], "2025-03-26"],
    ] as const) {
      const answer = await post(token, messages, { "mcp-protocol-version": revision });
      expectRefusal(answer, 400, "BAD_REQUEST", { field: "body" });
    }
  });

  test.each([
    [undefined, "application/json"],
    ["*/*", "application/json"],
    ["application/json", "application/json"],
    ["application/json, text/event-stream", "application/json"],
    ["application/*;q=0.5", "application/json"],
    ["text/html", "application/json"],
    ["text/event-stream", "text/event-stream"],
    ["application/json;q=0.1, text/event-stream", "text/event-stream"],
  ])("takes a caller who accepts %s, in either protocol, and answers %s", async (accept, type) => {
    const { token } = await createFixture(app);
    const modern = { ...LIST, params: { _meta: META } };
    for (const [body, headers] of [
      [LIST, {}],
      [modern, MODERN],
    ] as const) {
      const answer = await call(app, "POST", "/mcp", {
        token,
        body,
        headers: { ...headers, ...(accept === undefined ? {} : { accept }) },
      });
      expect([answer.status, answer.headers["content-type"]]).toEqual([
        200,
        expect.stringMatching(new RegExp(`^${type}`)),
      ]);
      const text = type === "text/event-stream" ? /^data: (.+)$/m.exec(answer.text)?.[1] : answer.text;
      expect(JSON.parse(text ?? "").result.tools.length).toBeGreaterThan(5);
    }
  });

  test("is not for pages of another site, whatever token they hold", async () => {
    const { token } = await createFixture(app);
    for (const origin of [
      "https://evil.example",
      "null",
      `${PUBLIC_URL}.evil.example`,
      "http://127.0.0.1:3000",
    ]) {
      expectRefusal(await post(token, LIST, { origin }), 403, "FORBIDDEN");
    }
    expect((await post(token, LIST, { origin: PUBLIC_URL })).status).toBe(200);
  });

  test("refuses what is no message, each in its way, and answers no GET and no DELETE", async () => {
    const { token } = await createFixture(app);
    expectRefusal(await post(token, "{"), 400, "BAD_REQUEST");
    expectRefusal(await post(token, JSON.stringify("x".repeat(70_000))), 413, "BAD_REQUEST");
    expectRefusal(await post(token, "<a/>", { "content-type": "application/xml" }), 415, "BAD_REQUEST");
    for (const method of ["GET", "DELETE"] as const) {
      const answer = await call(app, method, "/mcp", { token, headers: { accept: "text/event-stream" } });
      expectRefusal(answer, 405, "BAD_REQUEST");
      expect(answer.headers.allow).toBe("POST");
    }
  });

  test("says in the protocol's own way what it does not know", async () => {
    const { token } = await createFixture(app);
    const error = async (body: unknown): Promise<Answer["body"]> => (await post(token, body)).body.error;
    const unknown = { ...LIST, method: "tools/call", params: { name: "opentrain_confirm", arguments: {} } };
    expect(await error(unknown)).toMatchObject({
      code: -32602,
      message: expect.stringContaining("opentrain_confirm"),
    });
    expect(await error({ ...LIST, method: "resources/list" })).toMatchObject({ code: -32601 });
    expect(await error({ hello: "there" })).toMatchObject({ code: expect.any(Number) });
  });

  test.each([
    ["initialize", undefined, "params"],
    ["initialize", {}, "params.protocolVersion"],
    [
      "initialize",
      { protocolVersion: "2025-06-18", capabilities: "x", clientInfo: {} },
      "params.capabilities",
    ],
    ["tools/call", undefined, "params"],
    ["tools/call", { name: 1 }, "params.name"],
    ["tools/list", { cursor: 1 }, "params.cursor"],
  ])("names the place where %s is wrong: %j", async (method, params, place) => {
    const { token } = await createFixture(app);
    const { status, body } = await post(token, { jsonrpc: "2.0", id: 7, method, params });
    expect([status, body]).toEqual([
      200,
      { jsonrpc: "2.0", id: 7, error: { code: -32602, message: `Invalid \`${place}\`.` } },
    ]);
  });

  test("promises no news of its tools, in either protocol, and keeps no stream open for any", async () => {
    const { token } = await createFixture(app);
    const hello = {
      protocolVersion: "2025-06-18",
      capabilities: {},
      clientInfo: { name: "a", version: "1" },
    };
    const first = { jsonrpc: "2.0", id: 1, method: "initialize", params: hello };
    const discover = { jsonrpc: "2.0", id: 1, method: "server/discover", params: { _meta: META } };
    for (const [body, headers] of [
      [first, {}],
      [discover, { ...MODERN, "mcp-method": "server/discover" }],
    ] as const) {
      const answer = await post(token, body, headers);
      expect(answer.body.result.capabilities, answer.text).toEqual({ tools: { listChanged: false } });
    }
    const listen = {
      jsonrpc: "2.0",
      id: 1,
      method: "subscriptions/listen",
      params: { _meta: META, notifications: { toolsListChanged: true } },
    };
    const answer = await post(token, listen, { ...MODERN, "mcp-method": "subscriptions/listen" });
    expect(answer.body.error).toMatchObject({ code: expect.any(Number) });
  });
});

describe("a tool that refuses", () => {
  test("asks in the order of the gates: scope, feature, claim, arguments, existence, state", async () => {
    const wrong = { milestone: "x" };
    const features = {};
    const reader = { scopes: ["payments:read"], features, claimed: false };
    expect(await refusal((await createFixture(app, reader)).token, FUND, wrong)).toMatch(/requiredScopes/);
    const bare = await createFixture(app, { features, claimed: false });
    expect(await refusal(bare.token, FUND, wrong)).toMatch(/featureKey/);
    const unclaimed = await createFixture(app, { claimed: false });
    expect(await refusal(unclaimed.token, FUND, wrong)).toMatch(/account_claim_required/);
    const cardless = await createFixture(app, { card: false });
    expect(await refusal(cardless.token, FUND, wrong)).toMatch(/"field":"milestoneId"/);
    const { milestone } = cardless;
    expect(await refusal(cardless.token, FUND, { milestoneId: milestone, amountUsd: 1 })).toMatch(
      /"field":"amountUsd"/,
    );
    expect(await refusal(cardless.token, FUND, { milestoneId: `${milestone}-` })).toMatch(/404 NOT_FOUND/);
    expect(await refusal(cardless.token, FUND, { milestoneId: milestone })).toMatch(
      /payment_method_required/,
    );
  });

  test("says code, reason and details as the route does, and whom to send where", async () => {
    const cases = [
      [{ claimed: false }, "claimUrl", `${PUBLIC_URL}/claim`],
      [{ scopes: ["payments:read"] }, "tokensUrl", `${PUBLIC_URL}/settings/keys`],
      [{ card: false }, "billingUrl", `${PUBLIC_URL}/billing`],
    ] as const;
    for (const [options, name, url] of cases) {
      const fixture = await createFixture(app, options);
      const { status, body } = await fund(app, fixture.token, fixture.milestone);
      expect(body.details[name]).toBe(url);
      const text = await refusal(fixture.token, FUND, { milestoneId: fixture.milestone });
      expect(text).toContain(`REFUSED (${status} ${body.code}`);
      expect(text).toContain(body.error);
      expect(text).toContain(`details: ${JSON.stringify(body.details)}`);
      expect(text).toContain(
        `Only a human can mend this. Give yours this link, and call again when they say it is done: ${url}`,
      );
    }
  });

  test("names the argument that is wrong, and says what would be right", async () => {
    const { token, contract } = await createFixture(app);
    const add = (args: object) =>
      refusal(token, "opentrain_create_milestone", { contractId: contract, description: "Work", ...args });
    expect(await add({})).toMatch(/"field":"amountUsd"/);
    expect(await add({ amountUsd: "300" })).toMatch(/`amountUsd` must be number.*"field":"amountUsd"/s);
    expect(await add({ amountUsd: 300, dueDate: "tomorrow" })).toMatch(/"field":"dueDate"/);
    expect(await add({ amountUsd: 300, idempotencyKey: "" })).toMatch(/"field":"idempotencyKey"/);
  });

  test("answers another account's things as it answers none", async () => {
    const [mine, theirs] = [await createFixture(app), await createFixture(app)];
    const { approval } = (await fund(app, theirs.token, theirs.milestone)).body;
    const unknown = "01a210f5-dc9a-7593-8c90-98b5c5e752c7";
    for (const [name, key, foreign, none] of [
      [FUND, "milestoneId", theirs.milestone, "none"],
      ["opentrain_get_contract", "contractId", theirs.contract, "none"],
      ["opentrain_get_approval", "approvalId", approval.id, unknown],
      ["opentrain_wait_for_approval", "approvalId", approval.id, unknown],
    ] as const) {
      const said = async (id: string) => {
        const text = await refusal(mine.token, name, { [key]: id });
        return text.replaceAll(id, "…").replace(/requestId: .*/, "");
      };
      expect(await said(foreign), name).toContain("404 NOT_FOUND");
      expect(await said(foreign), name).toBe(await said(none));
    }
  });

  test("stays within the token's scopes, whatever else the token may do", async () => {
    const { account, contract } = await createFixture(app);
    const scopes = SCOPES.filter((scope) => !/^(payments|proposals|messages):/.test(scope));
    const { token } = await operate(app, "POST", `/accounts/${account}/tokens`, { name: "Other", scopes });
    const id = "01a210f5-dc9a-7593-8c90-98b5c5e752c7";
    for (const [name, args] of [
      ["opentrain_list_contracts", {}],
      ["opentrain_get_contract", { contractId: contract }],
      ["opentrain_get_approval", { approvalId: id }],
      ["opentrain_wait_for_approval", { approvalId: id }],
      ["opentrain_poll_updates", {}],
    ] as const) {
      expect(await refusal(token, name, args), name).toMatch(/403 FORBIDDEN.*scope/);
    }
  });
});
