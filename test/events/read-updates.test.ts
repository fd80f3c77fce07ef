import { describe, expect, test } from "vitest";
import { extendOperatorFeed } from "../../src/events/operator-service.ts";
import { EVENT_SCOPES } from "../../src/events/schemas.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { SCOPES } from "../../src/lib/scopes.ts";
import { expectRefusal } from "../http/expectations.ts";
import { digestRows } from "../http/rows.ts";
import { call, createFixture, type Fixture, operate } from "../support/fixtures.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const { app, db } = await startService();

type Event = { id: string; type: string; resourceId: string; jobId: string | null; data: object };

const read = (token: string, query = "") => call(app, "GET", `/updates${query}`, { token });
const idsOf = ({ body }: { body: { events: Event[] } }) => body.events.map(({ id }) => id);
const post = ({ account }: Fixture, type: string, body: object = {}) =>
  operate(app, "POST", `/accounts/${account}/events`, { type, resourceId: "r-1", ...body });
const mint = ({ account }: Fixture, scopes: string[]): Promise<string> =>
  operate(app, "POST", `/accounts/${account}/tokens`, { name: "Reader", scopes }).then(({ token }) => token);

/** An account whose feed has `count` events: a contract's, a milestone's, and messages. */
async function createFeed(count: number): Promise<Fixture> {
  const fixture = await createFixture(app);
  for (let i = 2; i < count; i++) await post(fixture, "message.received", { resourceId: `m-${i}` });
  return fixture;
}

describe("GET /updates", () => {
  test("begins at the account's first event, oldest first, in exactly the contract's keys", async () => {
    const { token } = await createFeed(3);
    const answer = await read(token);
    expect(answer.status).toBe(200);
    expect(Object.keys(answer.body)).toEqual(["events", "nextCursor", "hasMore"]);
    expect(idsOf(answer)).toEqual(["1", "2", "3"]);
    expect(answer.body).toMatchObject({ nextCursor: "3", hasMore: false });
    for (const event of answer.body.events) {
      const keys = ["id", "type", "apiVersion", "createdAt", "resourceId", "jobId", "data"];
      expect(Object.keys(event)).toEqual(keys);
      expect(event.apiVersion).toBe("v1");
      expect(new Date(event.createdAt).toISOString()).toBe(event.createdAt);
    }
  });

  test("shows each event once and in order to a reader that follows nextCursor, at every page size", async () => {
    const { token } = await createFeed(7);
    for (const limit of [1, 2, 3, 7, 200]) {
      const seen: string[] = [];
      let page = await read(token, `?limit=${limit}`);
      for (let pages = 1; ; pages++) {
        expect(page.body.events.length).toBeLessThanOrEqual(limit);
        seen.push(...idsOf(page));
        expect(page.body.nextCursor).toBe(seen.at(-1));
        expect(page.body.hasMore).toBe(pages < Math.ceil(7 / limit));
        if (!page.body.hasMore) break;
        page = await read(token, `?limit=${limit}&cursor=${page.body.nextCursor}`);
      }
      expect(seen).toEqual(["1", "2", "3", "4", "5", "6", "7"]);
    }
  });

  test("answers the same under both prefixes, and writes nothing", async () => {
    const { token } = await createFeed(3);
    const before = await digestRows(db);
    const prefixed = await call(app, "GET", "/api/public/v1/updates?limit=2", { token });
    expect(prefixed.text).toBe((await read(token, "?limit=2")).text);
    expect(await digestRows(db)).toEqual(before);
  });

  test("gives 50 events unless told otherwise, and 200 at most", async () => {
    const { token, account } = await createFeed(2);
    const accountId = accountKey(account);
    const at = {
      account_id: accountId,
      type: "message.received",
      resource_id: "m",
      job_id: null,
      data: "{}",
    };
    const rows = Array.from({ length: 208 }, (_, i) => ({ ...at, number: i + 3, created_at: new Date() }));
    await db.insertInto("events").values(rows).execute();
    await db
      .updateTable("account_heads")
      .set({ last_event: 210 })
      .where("account_id", "=", accountId)
      .execute();
    expect(idsOf(await read(token))).toHaveLength(50);
    expect(idsOf(await read(token, "?limit=200"))).toHaveLength(200);
    expect((await read(token, "?cursor=200&limit=200")).body).toMatchObject({
      nextCursor: "210",
      hasMore: false,
    });
  });

  test("refuses a limit outside 1–200, or none that is a whole number", async () => {
    const { token } = await createFixture(app);
    for (const limit of ["0", "201", "-1", "1.5", "", "abc", "NaN", "Infinity", "1;2", "9".repeat(30)]) {
      expectRefusal(await read(token, `?limit=${limit}`), 400, "BAD_REQUEST", { field: "limit" });
    }
  });
});

describe("a cursor", () => {
  test("that is not digits is refused", async () => {
    const { token } = await createFixture(app);
    for (const cursor of ["", "-1", "1.5", "1e3", "0x1", "abc", " 1", "١", "1,2"]) {
      const answer = await read(token, `?cursor=${encodeURIComponent(cursor)}`);
      expectRefusal(answer, 400, "BAD_REQUEST", { field: "cursor" });
    }
  });

  test("of 0 begins at the beginning, and the last one is echoed while there is nothing new", async () => {
    const fixture = await createFeed(3);
    expect(idsOf(await read(fixture.token, "?cursor=0"))).toEqual(["1", "2", "3"]);
    expect((await read(fixture.token, "?cursor=3")).body).toEqual({
      events: [],
      nextCursor: "3",
      hasMore: false,
    });
    await post(fixture, "message.received");
    expect(idsOf(await read(fixture.token, "?cursor=3"))).toEqual(["4"]);
  });

  test("may have zeros before it, as many as there like, and is echoed as it was given", async () => {
    const { token } = await createFeed(3);
    for (const zeros of ["0", "0".repeat(30), "0".repeat(400)]) {
      expect(idsOf(await read(token, `?cursor=${zeros}`))).toEqual(["1", "2", "3"]);
      expect(idsOf(await read(token, `?cursor=${zeros}2`))).toEqual(["3"]);
      const { body } = await read(token, `?cursor=${zeros}3`);
      expect(body).toEqual({ events: [], nextCursor: `${zeros}3`, hasMore: false });
    }
  });

  test("of an account without any event is 0", async () => {
    const account = `acct-${crypto.randomUUID()}`;
    await operate(app, "PUT", `/accounts/${account}`, { name: "New" });
    const minted = await operate(app, "POST", `/accounts/${account}/tokens`, {
      name: "T",
      scopes: ["team:read", "payments:read"],
    });
    for (const query of ["", "?cursor=0"]) {
      expect((await read(minted.token, query)).body).toEqual({ events: [], nextCursor: "0", hasMore: false });
    }
    const ahead = { field: "cursor", reason: "cursor_ahead", latestCursor: "0" };
    expectRefusal(await read(minted.token, "?cursor=1"), 400, "BAD_REQUEST", ahead);
  });

  test("beyond the last event is refused with the last one, however many digits it has", async () => {
    const { token } = await createFeed(3);
    const zeros = "0".repeat(30);
    for (const cursor of ["4", `${zeros}4`, "9007199254740993", "9".repeat(19), "9".repeat(400)]) {
      const details = { field: "cursor", reason: "cursor_ahead", latestCursor: "3" };
      expectRefusal(await read(token, `?cursor=${cursor}`), 400, "BAD_REQUEST", details);
    }
  });

  test("older than what is kept is refused with the oldest one, from which nothing is skipped", async () => {
    const { token, account } = await createFeed(6);
    const accountId = accountKey(account);
    await extendOperatorFeed(db);
    await db.deleteFrom("events").where("account_id", "=", accountId).where("number", "<", 4).execute();
    await db
      .updateTable("account_heads")
      .set({ first_event: 4 })
      .where("account_id", "=", accountId)
      .execute();
    for (const cursor of ["0", "2"]) {
      const details = { field: "cursor", reason: "cursor_expired", oldestCursor: "3" };
      expectRefusal(await read(token, `?cursor=${cursor}`), 400, "BAD_REQUEST", details);
    }
    for (const query of ["", "?cursor=3"]) expect(idsOf(await read(token, query))).toEqual(["4", "5", "6"]);
  });

  test("stays with the account: a neighbour's events are neither shown nor counted", async () => {
    const [mine, theirs] = [await createFeed(3), await createFeed(5)];
    expect((await read(mine.token)).body.nextCursor).toBe("3");
    const feed = (await read(mine.token)).text;
    expect(feed).not.toContain(theirs.contract);
  });
});

describe("the scopes of a token", () => {
  test("leave out what it may not read, silently, while the cursor goes on", async () => {
    const fixture = await createFeed(2);
    await post(fixture, "proposal.received");
    await post(fixture, "message.received");
    const shown = async (scopes: string[]) => idsOf(await read(await mint(fixture, scopes)));
    expect(await shown(["payments:read"])).toEqual(["1", "2"]);
    expect(await shown(["proposals:write"])).toEqual(["3"]);
    expect(await shown(["messages:read", "jobs:read"])).toEqual(["4"]);
    expect(await shown(["payments:write", "messages:write"])).toEqual(["1", "2", "4"]);

    const reader = await mint(fixture, ["messages:read"]);
    const first = await read(reader, "?limit=2");
    expect(first.body).toEqual({ events: [], nextCursor: "2", hasMore: true });
    const next = await read(reader, `?limit=2&cursor=${first.body.nextCursor}`);
    expect(next.body).toMatchObject({ events: [{ id: "4" }], nextCursor: "4", hasMore: false });
  });

  test.each(Object.entries(EVENT_SCOPES))("show %s to tokens with %s alone", async (type, scope) => {
    const fixture = await createFixture(app);
    const accountId = accountKey(fixture.account);
    const at = { account_id: accountId, number: 3, resource_id: "r", job_id: null, data: "{}" };
    await db
      .insertInto("events")
      .values({ ...at, type, created_at: new Date() })
      .execute();
    await db
      .updateTable("account_heads")
      .set({ last_event: 3 })
      .where("account_id", "=", accountId)
      .execute();
    const others = SCOPES.filter((other) => !other.startsWith(`${scope.split(":")[0]}:`));
    const shown = async (scopes: string[]) => idsOf(await read(await mint(fixture, scopes))).includes("3");
    expect([await shown([scope]), await shown(others)]).toEqual([true, false]);
  });

  test("without any of the three are refused, before the query is looked at", async () => {
    const granted = SCOPES.filter((scope) => !/^(proposals|messages|payments):/.test(scope));
    const { token } = await createFixture(app, { scopes: granted });
    expectRefusal(await read(token, "?cursor=x"), 403, "FORBIDDEN", {
      requiredScopes: ["proposals:read", "messages:read", "payments:read"],
      grantedScopes: granted,
      tokensUrl: `${PUBLIC_URL}/settings/keys`,
    });
  });

  test("are enough before the claim", async () => {
    const { token } = await createFixture(app, { claimed: false, features: {} });
    expect(idsOf(await read(token))).toEqual(["1", "2"]);
  });
});
