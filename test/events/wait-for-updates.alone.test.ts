import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import { promisify } from "node:util";
import { sql } from "kysely";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import type { Event } from "../../src/events/schemas.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { expectRefusal } from "../http/expectations.ts";
import { type Answer, call, createFixture, type Fixture, operate } from "../support/fixtures.ts";
import { countWaiting, holdLock } from "../support/locks.ts";
import { waitUntil } from "../support/process.ts";
import { startService } from "../support/service.ts";
import { listenToQueries } from "./queries.ts";

const service = await startService();
const { app, db, waiters } = service;
await app.listen({ host: "127.0.0.1", port: 0 });
const { port } = app.server.address() as AddressInfo;
afterEach(async () => {
  vi.restoreAllMocks();
  expect(waiters.count, "no request is left waiting").toBe(0);
});

const read = (token: string, query: string, prefix = ""): Promise<Answer> =>
  call(app, "GET", `${prefix}/updates?${query}`, { token });
const post = ({ account }: Fixture, type = "message.received") =>
  operate(app, "POST", `/accounts/${account}/events`, { type, resourceId: "r-1" });
const mint = ({ account }: Fixture, scopes: string[]): Promise<string> =>
  operate(app, "POST", `/accounts/${account}/tokens`, { name: "Reader", scopes }).then(({ token }) => token);
const revoke = ({ account }: Fixture) =>
  sql`update tokens set revoked_at = now() where account_id = ${accountKey(account)}`.execute(db);
const idsOf = ({ body }: Answer) => body.events.map(({ id }: { id: string }) => id);
const areHeld = (count: number) =>
  waitUntil(() => waiters.count === count, `${count} requests wait, and not ${waiters.count}`);

/** A request that is held, beside those that are already. Its answer comes boxed, or it would be awaited here. */
async function hold(token: string, query: string, prefix?: string): Promise<{ answer: Promise<Answer> }> {
  const before = waiters.count;
  const answer = read(token, query, prefix);
  await areHeld(before + 1);
  return { answer };
}

/** A request over a socket of its own. */
async function send(token: string, query: string): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1" });
  await once(socket, "connect");
  socket.write(`GET /updates?${query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  return socket;
}

describe("GET /updates?wait=", () => {
  test("answers at once when there is an event to give", async () => {
    const { token } = await createFixture(app);
    const answer = await read(token, "wait=30");
    expect([answer.status, idsOf(answer)]).toEqual([200, ["1", "2"]]);
    expect(idsOf(await read(token, "cursor=1&wait=30"))).toEqual(["2"]);
  });

  test("holds the request until an event comes, and gives exactly that", async () => {
    const fixture = await createFixture(app);
    const held = await hold(fixture.token, "cursor=2&wait=30");
    await post(fixture);
    expect((await held.answer).body).toMatchObject({
      events: [{ id: "3" }],
      nextCursor: "3",
      hasMore: false,
    });
    expect((await held.answer).headers).toMatchObject({
      "cache-control": "no-store",
      ratelimit: expect.stringMatching(/"token";r=/),
    });
  });

  test("wakes every request of the account, and none of another: that one is not even looked at", async () => {
    const [mine, theirs] = [await createFixture(app), await createFixture(app)];
    const held = [
      await hold(mine.token, "cursor=2&wait=30"),
      await hold(mine.token, "cursor=2&wait=30", "/api/public/v1"),
      await hold(await mint(mine, ["messages:read"]), "cursor=2&wait=30"),
    ];
    const waiting = await hold(theirs.token, "cursor=2&wait=30");
    const sent = listenToQueries();
    await post(mine);
    for (const { answer } of held) expect(idsOf(await answer)).toEqual(["3"]);
    expect(waiters.count).toBe(1);
    const about = (account: string) => sent.filter(({ values }) => values?.includes(accountKey(account)));
    expect(about(mine.account).length).toBeGreaterThan(3);
    expect(about(theirs.account)).toEqual([]);
    await post(theirs);
    expect(idsOf(await waiting.answer)).toEqual(["3"]);
  });

  test("costs no query while it is held", async () => {
    const fixture = await createFixture(app);
    const held: { answer: Promise<Answer> }[] = [];
    for (let i = 0; i < 10; i++) held.push(await hold(fixture.token, "cursor=2&wait=30"));
    const sent = listenToQueries();
    await call(app, "GET", "/livez");
    for (let i = 0; i < 10; i++) await call(app, "GET", "/readyz");
    expect(sent.filter(({ text }) => /tokens|events|account_heads/.test(text))).toEqual([]);
    await post(fixture);
    for (const { answer } of held) expect(idsOf(await answer)).toEqual(["3"]);
  });

  test("is answered with an empty page and the cursor that was given when no event comes", async () => {
    const { token } = await createFixture(app);
    const account = `acct-${crypto.randomUUID()}`;
    await operate(app, "PUT", `/accounts/${account}`, { name: "New" });
    const scopes = ["payments:read"];
    const { token: fresh } = await operate(app, "POST", `/accounts/${account}/tokens`, { name: "T", scopes });
    const answers = await Promise.all([
      read(token, "cursor=2&wait=1"),
      read(token, "cursor=002&wait=1"),
      read(fresh, "wait=1"),
    ]);
    const empty = (nextCursor: string) => ({ events: [], nextCursor, hasMore: false });
    expect(answers.map(({ body }) => body)).toEqual([empty("2"), empty("002"), empty("0")]);
  });

  test("holds on over events that the token may not read, and its cursor goes past them", async () => {
    const fixture = await createFixture(app);
    const reader = await mint(fixture, ["messages:read"]);
    const held = await hold(reader, "cursor=2&wait=30");
    const vain = await hold(reader, "cursor=2&wait=2");
    await post(fixture, "proposal.received");
    await post(fixture, "proposal.received");
    expect((await vain.answer).body).toEqual({ events: [], nextCursor: "4", hasMore: false });
    expect(waiters.count).toBe(1);
    await post(fixture);
    expect((await held.answer).body).toMatchObject({
      events: [{ id: "5" }],
      nextCursor: "5",
      hasMore: false,
    });
  });

  test("does not hold while there is more to look through", async () => {
    const fixture = await createFixture(app);
    const reader = await mint(fixture, ["messages:read"]);
    const { body } = await read(reader, "limit=1&wait=30");
    expect(body).toEqual({ events: [], nextCursor: "1", hasMore: true });
  });

  test("finds an event that no wake-up has told of, when it is looked for", async () => {
    const { account, token } = await createFixture(app);
    const held = await hold(token, "cursor=2&wait=30");
    const other = await hold((await createFixture(app)).token, "cursor=2&wait=3");
    const accountId = accountKey(account);
    await sql`
      with head as (update account_heads set last_event = 3 where account_id = ${accountId})
      insert into events (account_id, number, type, resource_id, data, created_at)
      values (${accountId}, 3, 'message.received', 'm', '{}', now())`.execute(db);
    expect(waiters.count).toBe(2);
    await waiters.lookForMissed();
    expect(idsOf(await held.answer)).toEqual(["3"]);
    expect(waiters.count).toBe(1);
    expect(idsOf(await other.answer)).toEqual([]);
  });

  test("refuses a wait outside 0–30, or none that is a whole number", async () => {
    const { token } = await createFixture(app);
    for (const wait of ["-1", "31", "1.5", "", "abc", "NaN", "Infinity", "9".repeat(30), "1&wait=2"])
      expectRefusal(await read(token, `cursor=2&wait=${wait}`), 400, "BAD_REQUEST", { field: "wait" });
    expect((await read(token, "cursor=2&wait=0")).body.events).toEqual([]);
  });

  test("refuses a cursor beyond the last event at once", async () => {
    const { token } = await createFixture(app);
    const details = { field: "cursor", reason: "cursor_ahead", latestCursor: "2" };
    expectRefusal(await read(token, "cursor=3&wait=30"), 400, "BAD_REQUEST", details);
  });
});

describe("a token whose request waits", () => {
  test("is looked up again before the answer: revoked meanwhile, it is 401 and learns nothing", async () => {
    const fixture = await createFixture(app);
    const woken = await hold(fixture.token, "cursor=2&wait=30");
    const vain = await hold(fixture.token, "cursor=2&wait=1");
    await revoke(fixture);
    expectRefusal(await vain.answer, 401, "UNAUTHORIZED");
    await post(fixture);
    expectRefusal(await woken.answer, 401, "UNAUTHORIZED");
    expect((await woken.answer).headers["www-authenticate"]).toMatch(
      /^Bearer error="invalid_token", resource_metadata=/,
    );
  });

  test("is given what its scopes are by then, and refused without any", async () => {
    const fixture = await createFixture(app);
    const setScopes = (scopes: string[]) =>
      sql`update tokens set scopes = ${scopes} where account_id = ${accountKey(fixture.account)}`.execute(db);
    const fewer = await hold(fixture.token, "cursor=2&wait=30");
    await setScopes(["proposals:read"]);
    await post(fixture);
    await waitUntil(() => waiters.count === 1, "it is held on");
    await setScopes(["team:read"]);
    await post(fixture);
    expect((await fewer.answer).status).toBe(403);
  });

  test("may have 20 of them; one more is 429 with the seconds until the first ends, another token's is held", async () => {
    const fixture = await createFixture(app);
    const held: { answer: Promise<Answer> }[] = [];
    for (let i = 0; i < 20; i++)
      held.push(await hold(fixture.token, "cursor=2&wait=30", i % 2 === 0 ? "" : "/api/public/v1"));
    const refused = await read(fixture.token, "cursor=2&wait=5");
    expectRefusal(refused, 429, "RATE_LIMITED", { retryAfterSeconds: expect.any(Number) });
    expect(refused.body.details.retryAfterSeconds).toBeGreaterThanOrEqual(1);
    expect(refused.body.details.retryAfterSeconds).toBeLessThanOrEqual(30);
    expect(Number(refused.headers["retry-after"])).toBe(refused.body.details.retryAfterSeconds);
    // What need not wait is answered, and another token waits.
    expect(idsOf(await read(fixture.token, "cursor=1&wait=30"))).toEqual(["2"]);
    held.push(await hold(await mint(fixture, ["messages:read"]), "cursor=2&wait=30"));
    await post(fixture);
    for (const { answer } of held) expect(idsOf(await answer)).toEqual(["3"]);
  });

  test("shares the 20 with the tokens that it minted", async () => {
    const fixture = await createFixture(app);
    const minted = await call(app, "POST", "/api/public/v1/tokens", { token: fixture.token, body: {} });
    const tokens = [fixture.token, minted.body.token];
    const held: { answer: Promise<Answer> }[] = [];
    for (let i = 0; i < 20; i++) held.push(await hold(tokens[i % 2] ?? "", "cursor=2&wait=30"));
    for (const token of tokens) expect((await read(token, "cursor=2&wait=5")).status).toBe(429);
    await post(fixture);
    for (const { answer } of held) expect(idsOf(await answer)).toEqual(["3"]);
  });
});

describe("a request that waits", () => {
  test("frees its place at once when the caller hangs up, without another query", async () => {
    const fixture = await createFixture(app);
    const sockets = await Promise.all(
      Array.from({ length: 20 }, () => send(fixture.token, "cursor=2&wait=30")),
    );
    await areHeld(20);
    expect((await read(fixture.token, "cursor=2&wait=5")).status).toBe(429);
    const sent = listenToQueries();
    for (const [i, socket] of sockets.entries()) i % 2 === 0 ? socket.destroy() : socket.resetAndDestroy();
    await areHeld(0);
    expect(sent).toEqual([]);
  });

  test("does not stay for a caller who was gone before it began to wait", async () => {
    const fixture = await createFixture(app);
    const holding = vi.spyOn(waiters, "hold");
    await using tokens = await holdLock(service.connection, "lock table tokens in access exclusive mode");
    const socket = await send(fixture.token, "cursor=2&wait=30");
    const gone = once(socket, "close");
    await waitUntil(async () => (await countWaiting(db)) === 1, "the token is being looked up");
    const connections = promisify(app.server.getConnections.bind(app.server));
    const before = await connections();
    socket.destroy();
    await gone;
    await waitUntil(async () => (await connections()) === before - 1, "the server knows of it");
    await tokens.letGo();
    await waitUntil(() => holding.mock.results.length === 1, "the request goes on");
    expect(await holding.mock.results[0]?.value).toMatchObject({ events: [] });
  });

  test("is answered over its connection, which then serves the next request", async () => {
    const fixture = await createFixture(app);
    const socket = await send(fixture.token, "cursor=2&wait=30");
    onTestFinished(() => void socket.destroy());
    await areHeld(1);
    await post(fixture);
    const [first] = await once(socket, "data");
    expect(String(first)).toMatch(/^HTTP\/1\.1 200 [\s\S]*"nextCursor":"3"/);
    socket.write("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const [second] = await once(socket, "data");
    expect(String(second)).toMatch(/^HTTP\/1\.1 200 [\s\S]*"live"/);
  });

  test("is answered at once with an empty page when the server stops, and so is one that comes then", async () => {
    const stopping = await startService({}, service.config.databaseUrl);
    const fixture = await createFixture(app);
    const ask = () => call(stopping.app, "GET", "/updates?cursor=2&wait=30", { token: fixture.token });
    const held = [ask(), ask()];
    await waitUntil(() => stopping.waiters.count === 2, "they wait");
    stopping.waiters.stop();
    held.push(ask());
    await Promise.all([stopping.app.close(), ...held]);
    for (const answer of held) {
      const { status, body } = await answer;
      expect([status, body]).toEqual([200, { events: [], nextCursor: "2", hasMore: false }]);
    }
  });
});

describe("requests that wait", () => {
  const waiting = (feed: string) => ({
    feed,
    holder: crypto.randomUUID(),
    seconds: 30,
    onHangUp: () => {},
    recheck: async () => {},
  });
  const page = (id?: number) => ({
    events: id === undefined ? [] : [{ id: String(id) } as Event],
    nextCursor: String(id ?? 0),
    hasMore: false,
  });

  test("hear of an event that commits while they look for the first time", async () => {
    const feed = crypto.randomUUID();
    let looks = 0;
    const held = waiters.hold(waiting(feed), {}, async () => {
      looks += 1;
      if (looks === 2) return page(1);
      service.changeBus.publish(new Set([feed]));
      return page();
    });
    expect((await held).nextCursor).toBe("1");
  });

  test("look again four at a time when they are woken together, and each once", async () => {
    const feed = crypto.randomUUID();
    const letGo: (() => void)[] = [];
    const held = Array.from({ length: 30 }, () =>
      waiters.hold(waiting(feed), {}, async ({ cursor }) => {
        if (cursor === undefined) return page();
        await new Promise<void>((resolve) => letGo.push(resolve));
        return page(1);
      }),
    );
    await areHeld(30);
    for (let i = 0; i < 3; i++) service.changeBus.publish(new Set([feed]));
    for (let looked = 0; looked < 30; ) {
      await waitUntil(() => letGo.length > 0, "a request looks");
      expect(letGo.length).toBeLessThanOrEqual(4);
      for (const go of letGo.splice(0)) {
        looked += 1;
        go();
      }
    }
    for (const answer of held) expect((await answer).nextCursor).toBe("1");
    expect(letGo).toEqual([]);
  });
});
