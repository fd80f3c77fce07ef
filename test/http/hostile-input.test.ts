import { describe, expect, test } from "vitest";
import { type KnownRoute, listRoutes } from "../../src/http/route-list.ts";
import { newId } from "../../src/lib/ids.ts";
import { type Answer, call, createFixture, type Fixture } from "../support/fixtures.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";
import { createDelivery, createSubscriber } from "../support/webhooks.ts";
import { ask, expectEnvelope, expectRefusal } from "./expectations.ts";
import { digestRows } from "./rows.ts";

const { app, db } = await startService();

/** Ids as they may stand in an address; none is one that anything could bear. */
const IDS = [
  "%00",
  "a%00b",
  "%ff",
  "%zz",
  "%",
  "%ed%a0%80",
  "%F0%9F%92%A9",
  "%2e%2e%2f%2e%2e",
  "%2F",
  "%0d%0aX-Injected:1",
  "%20",
  "'%20or%20'1'='1",
  "$1",
  "%24%7B7*7%7D",
  "<script>",
  "__proto__",
  "constructor",
  "null",
  "NaN",
  "1e999",
  "x".repeat(65),
  "x".repeat(5000),
  "%F0%9F%92%A9".repeat(600),
];

/** Query strings that no call understands. */
const QUERIES = [
  "cursor=%00",
  "cursor=%ff",
  "cursor=%zz",
  "cursor=%ed%a0%80",
  "cursor=1&cursor=2",
  "cursor[]=1",
  "cursor[a]=1",
  `cursor=${"9".repeat(5000)}`,
  "cursor=-1",
  "cursor=1e3",
  "cursor=%D9%A1",
  "limit=%00",
  "limit=NaN",
  "limit=Infinity",
  "limit=9007199254740993",
  "limit=1&limit=2",
  "jobId=%00",
  "jobId=%ff",
  "jobId=1&jobId=2",
  `jobId=${"x".repeat(5000)}`,
  "status=%00",
  "status[]=active",
  "__proto__=1",
  "constructor[prototype][x]=1",
  "%00=1",
  "=&&=&",
  "&".repeat(5000),
];

const apiRoutes = () =>
  listRoutes(app).filter(
    ({ access, method }) => (access?.by === "token" || access?.by === "operator") && method !== "HEAD",
  );
const paramsOf = ({ url }: KnownRoute) => url.match(/:[A-Za-z]+/g) ?? [];
const credentialOf = ({ access }: KnownRoute, { token }: Fixture) =>
  access?.by === "operator" ? { token: OPERATOR_KEY } : access?.by === "token" ? { token } : {};

/** Own ids for every parameter of a route, and `id` for one of them. */
function fill(
  { url }: KnownRoute,
  { account, contract, milestone }: Fixture,
  name: string,
  id: string,
  ids: Record<string, string> = {},
) {
  const own: Record<string, string> = {
    ...ids,
    ":accountId": account,
    ":contractId": contract,
    ":milestoneId": milestone,
  };
  return url.replaceAll(/:[A-Za-z]+/g, (param) => (param === name ? id : (own[param] ?? newId())));
}

function expectRefusedOrFine(answer: Answer, what: string): void {
  expect(answer.status, what).not.toBe(500);
  expect(answer.headers["x-injected"], what).toBeUndefined();
  if (answer.status >= 400 && answer.text !== "" && answer.body !== undefined) expectEnvelope(answer);
}

describe("whatever stands in an address", () => {
  test("as an id, every route of the API answers 400 or 404 and writes nothing", async () => {
    const fixture = await createSubscriber(app);
    const { webhookId, deliveryId } = await createDelivery(app, fixture);
    const ids = { ":webhookId": webhookId, ":deliveryId": deliveryId };
    const before = await digestRows(db);
    const routes = listRoutes(app).filter(
      ({ access }) => access?.by === "token" || access?.by === "operator",
    );
    for (const route of routes) {
      for (const name of paramsOf(route)) {
        for (const id of IDS) {
          const url = fill(route, fixture, name, id, ids);
          const body = route.method === "PUT" || route.method === "POST" ? {} : undefined;
          const method = route.method as "GET";
          const answer = await call(app, method, url, { ...credentialOf(route, fixture), body });
          expect([400, 404], `${method} ${url.slice(0, 120)}: ${answer.text.slice(0, 200)}`).toContain(
            answer.status,
          );
          expectRefusedOrFine(answer, url);
        }
      }
    }
    expect(await digestRows(db)).toEqual(before);
  });

  test("as a query, every route that lists answers it or refuses it", async () => {
    const fixture = await createSubscriber(app);
    const { webhookId } = await createDelivery(app, fixture);
    const before = await digestRows(db);
    const readers = apiRoutes().filter(({ url }) =>
      /\/(updates|events|contracts|capabilities|tokens|webhooks|deliveries)$/.test(url),
    );
    expect(readers.length).toBeGreaterThan(5);
    for (const route of readers.filter(({ method }) => method === "GET")) {
      for (const query of QUERIES) {
        const url = `${fill(route, fixture, "", "", { ":webhookId": webhookId })}?${query}`;
        const answer = await call(app, "GET", url, credentialOf(route, fixture));
        expectRefusedOrFine(answer, `${url.slice(0, 120)}: ${answer.text.slice(0, 200)}`);
      }
    }
    expect(await digestRows(db)).toEqual(before);
  });

  test("an id that cannot be one is not found, like any unknown one, and comes back as it was sent", async () => {
    const { token } = await createFixture(app);
    for (const [sent, milestoneId] of [
      ["a%00b", "a\0b"],
      ["%F0%9F%92%A9", "💩"],
      ["%0d%0aX:1", "\r\nX:1"],
      ["x".repeat(5000), "x".repeat(5000)],
    ] as const) {
      const answer = await call(app, "POST", `/milestones/${sent}/fund`, { token });
      expectRefusal(answer, 404, "NOT_FOUND", { resource: "milestones", milestoneId });
    }
  });

  test("an address that is too long or cannot be decoded is 400, and says so", async () => {
    const { token } = await createFixture(app);
    for (const url of [
      `/approvals/${"x".repeat(8200)}`,
      `/updates?x=${"x".repeat(8200)}`,
      `/${"x".repeat(8200)}`,
    ]) {
      const answer = await call(app, "GET", url, { token });
      expectRefusal(answer, 400, "BAD_REQUEST");
      expect(answer.body.error).toBe("The address is too long.");
    }
    for (const url of ["/approvals/%zz", "/approvals/%ff", "/%"]) {
      const answer = await call(app, "GET", url, { token });
      expectRefusal(answer, 400, "BAD_REQUEST");
      expect(answer.body.error).toMatch(/percent-encoding/);
    }
  });
});

describe("whatever stands in a body", () => {
  const nest = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;

  test.each<[string, string, string]>([
    ["half a surrogate pair", '{"name": "\\ud83d"}', "name"],
    ["the other half", '{"name": "a\\udca9b"}', "name"],
    ["U+0000", '{"name": "a\\u0000b"}', "name"],
    ["U+0000 further in", '{"features": {"a": "\\u0000"}}', "features.a"],
    ["U+0000 in a key further in", '{"features": {"\\u0000": true}}', "features"],
    ["a number too large for one", '{"name": 1e999}', "name"],
    ["10,000 characters", JSON.stringify({ name: "x".repeat(10_000) }), "name"],
  ])("%s is 400 and names the field", async (_name, body, field) => {
    const { account } = await createFixture(app);
    expectRefusal(await ask(app, "PUT", `/accounts/${account}`, body), 400, "BAD_REQUEST", { field });
  });

  test("nested thousands of levels deep is 400 wherever a body is read", async () => {
    const { account } = await createFixture(app);
    for (const depth of [101, 5_000, 30_000]) {
      expectEnvelope(await ask(app, "PUT", `/accounts/${account}`, `{"name": ${nest(depth)}}`));
      const event = `{"type": "message.received", "resourceId": "m", "data": {"x": ${nest(depth)}}}`;
      const answer = await ask(app, "POST", `/accounts/${account}/events`, event);
      expect(answer.status).toBe(400);
      expectEnvelope(answer);
    }
  });

  test("nested a little is passed on as it is, in any language", async () => {
    const { account, token } = await createFixture(app);
    const data = { a: [[{ 日本: "👩‍👩‍👧" }]], empty: [], zero: 0, quote: '"\\' };
    const body = { type: "message.received", resourceId: "m-1", data };
    expect((await ask(app, "POST", `/accounts/${account}/events`, body)).status).toBe(201);
    const feed = await call(app, "GET", "/updates?limit=200", { token });
    expect(feed.body.events.at(-1).data).toEqual(data);
  });
});

describe("whatever stands in the Authorization header", () => {
  test("of 8,000 characters, of odd bytes, or of another scheme, is 401", async () => {
    for (const authorization of [
      "Bearer",
      "Bearer ",
      `Bearer ot_pat_${"x".repeat(8_000)}`,
      `Bearer ${"a ".repeat(4_000)}`,
      "Bearer ot_pat_'; drop table tokens; --",
      "Basic b3RfcGF0Xw==",
      "ot_pat_x",
      "Bearer \u00ff\u00fe",
      `Bearer ot_pat_${"A".repeat(65)}`,
    ]) {
      const answer = await call(app, "GET", "/updates", { headers: { authorization } });
      expectRefusal(answer, 401, "UNAUTHORIZED");
    }
  });
});
