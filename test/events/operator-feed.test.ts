import { sql } from "kysely";
import { describe, expect, onTestFinished, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { readClock } from "../../src/database/clock.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import { keepOperatorFeed } from "../../src/events/jobs.ts";
import { extendOperatorFeed } from "../../src/events/operator-service.ts";
import { EVENT_SCOPES, type EventType, UNSCOPED_TYPES } from "../../src/events/schemas.ts";
import { appendEvents } from "../../src/events/service.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { expectRefusal } from "../http/expectations.ts";
import { type Answer, call, createFixture, type Fixture, operate } from "../support/fixtures.ts";
import { waitUntil } from "../support/process.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";

const { app, db, waiters, changeBus } = await startService();

const read = (query = ""): Promise<Answer> =>
  call(app, "GET", `/api/operator/v1/updates${query}`, { token: OPERATOR_KEY });
const idsOf = ({ body }: Answer): string[] => body.events.map(({ id }: { id: string }) => id);
const latest = async () => (await read(`?cursor=${"9".repeat(19)}`)).body.details.latestCursor as string;

function append({ account }: Pick<Fixture, "account">, types: readonly EventType[]) {
  const events = types.map((type, i) => ({ type, resourceId: `r-${i}`, jobId: "job-1", data: { i } }));
  return inTransaction(db, async (trx) =>
    appendEvents(trx, accountKey(account), events, await readClock(trx)),
  );
}

/** Two accounts, and the operator's cursor before anything happens to them. */
async function createTwo(): Promise<{ one: Fixture; other: Fixture; cursor: string }> {
  const [one, other] = [await createFixture(app), await createFixture(app)];
  await extendOperatorFeed(db);
  return { one, other, cursor: await latest() };
}

describe("the operator's feed", () => {
  test("shows the events of all accounts, under numbers of its own and with the account's id", async () => {
    const { one, other, cursor } = await createTwo();
    await append(one, ["message.received", "proposal.received"]);
    await append(other, ["milestone.status_changed"]);
    expect((await read(`?cursor=${cursor}`)).body).toEqual({
      events: [],
      nextCursor: cursor,
      hasMore: false,
    });
    expect(await extendOperatorFeed(db)).toBe(3);
    const { body } = await read(`?cursor=${cursor}`);
    const keys = ["id", "type", "apiVersion", "createdAt", "resourceId", "jobId", "data", "accountId"];
    expect(Object.keys(body.events[0])).toEqual(keys);
    expect(body.events).toMatchObject([
      { id: String(Number(cursor) + 1), type: "message.received", resourceId: "r-0", accountId: one.account },
      { id: String(Number(cursor) + 2), type: "proposal.received", data: { i: 1 }, accountId: one.account },
      {
        id: String(Number(cursor) + 3),
        type: "milestone.status_changed",
        jobId: "job-1",
        accountId: other.account,
      },
    ]);
    expect(body).toMatchObject({ nextCursor: String(Number(cursor) + 3), hasMore: false });
    expect(await extendOperatorFeed(db)).toBe(0);
  });

  test("shows every type there is, also those that no account's feed shows", async () => {
    const { one, cursor } = await createTwo();
    const types = [...(Object.keys(EVENT_SCOPES) as EventType[]), ...UNSCOPED_TYPES];
    await append(one, types);
    await extendOperatorFeed(db);
    const { body } = await read(`?cursor=${cursor}`);
    expect(body.events.map(({ type }: { type: string }) => type)).toEqual(types);

    const mine = await call(app, "GET", "/updates?cursor=2", { token: one.token });
    expect(mine.body.events).toHaveLength(Object.keys(EVENT_SCOPES).length);
    expect(mine.body.nextCursor).toBe(String(2 + types.length));
    const twin = await operate(app, "GET", `/accounts/${one.account}/events?cursor=2`);
    expect(twin.events).toHaveLength(types.length);
  });

  test("is followed page by page at every page size, and keeps to the cursor's rules", async () => {
    const { one, other, cursor } = await createTwo();
    for (const fixture of [one, other, one]) await append(fixture, ["message.received", "message.received"]);
    await extendOperatorFeed(db);
    const last = Number(cursor) + 6;
    for (const limit of [1, 2, 5, 200]) {
      const seen: string[] = [];
      for (let next = cursor, more = true; more; ) {
        const page = await read(`?cursor=${next}&limit=${limit}`);
        seen.push(...idsOf(page));
        [next, more] = [page.body.nextCursor, page.body.hasMore];
      }
      expect(seen).toEqual(Array.from({ length: 6 }, (_, i) => String(Number(cursor) + i + 1)));
    }
    const ahead = { field: "cursor", reason: "cursor_ahead", latestCursor: String(last) };
    expectRefusal(await read(`?cursor=${last + 1}`), 400, "BAD_REQUEST", ahead);
    for (const [query, field] of [
      ["?cursor=x", "cursor"],
      ["?limit=0", "limit"],
      ["?limit=201", "limit"],
      ["?wait=31", "wait"],
    ] as const)
      expectRefusal(await read(query), 400, "BAD_REQUEST", { field });
  });

  test("never shows what is rolled back, and leaves no gap for it", async () => {
    const { one, other, cursor } = await createTwo();
    const undone = inTransaction(db, async (trx) => {
      const event = { type: "message.received" as const, resourceId: "never", jobId: null, data: {} };
      await appendEvents(trx, accountKey(one.account), [event], await readClock(trx));
      await append(other, ["message.received"]);
      await extendOperatorFeed(db);
      throw new Error("changed its mind");
    });
    await expect(undone).rejects.toThrow("changed its mind");
    await append(other, ["message.received"]);
    await extendOperatorFeed(db);
    const page = await read(`?cursor=${cursor}`);
    expect(idsOf(page)).toEqual([String(Number(cursor) + 1), String(Number(cursor) + 2)]);
    expect(page.text).not.toContain("never");
  });

  test("takes each event over once, however many do it at once", async () => {
    const { one, other, cursor } = await createTwo();
    for (let i = 0; i < 20; i++)
      await Promise.all([append(one, ["message.received"]), append(other, ["message.received"])]);
    const counts = await Promise.all(Array.from({ length: 8 }, () => extendOperatorFeed(db)));
    expect(counts.reduce((a, b) => a + b)).toBe(40);
    expect(idsOf(await read(`?cursor=${cursor}&limit=200`))).toHaveLength(40);
  });

  test("takes over more than a batch, in each account's order", async () => {
    const { one, cursor } = await createTwo();
    for (let i = 0; i < 3; i++)
      await append(
        one,
        Array.from({ length: 400 }, () => "message.received" as const),
      );
    expect(await extendOperatorFeed(db)).toBe(1_200);
    const numbers: number[] = [];
    for (let next = cursor, more = true; more; ) {
      const { body } = await read(`?cursor=${next}&limit=200`);
      numbers.push(...body.events.map(({ data }: { data: { i: number } }) => data.i));
      [next, more] = [body.nextCursor, body.hasMore];
    }
    expect(numbers).toEqual(Array.from({ length: 1_200 }, (_, i) => i % 400));
  });
});

describe("GET /updates?wait= of the operator", () => {
  test("holds the request until an event of any account has been taken over", async () => {
    const loop = keepOperatorFeed({ db, changeBus }, createLogger("silent"));
    onTestFinished(() => loop.stop());
    const { one, other, cursor } = await createTwo();
    const held = [read(`?cursor=${cursor}&wait=30`), read(`?cursor=${Number(cursor) + 1}&wait=30`)];
    expectRefusal(await (held[1] as Promise<Answer>), 400, "BAD_REQUEST", {
      field: "cursor",
      reason: "cursor_ahead",
      latestCursor: cursor,
    });
    await waitUntil(() => waiters.count === 1, "it waits");
    await append(one, ["message.received"]);
    expect((await held[0])?.body.events).toMatchObject([{ accountId: one.account }]);
    const next = read(`?cursor=${Number(cursor) + 1}&wait=30`);
    await waitUntil(() => waiters.count === 1, "it waits");
    await append(other, ["message.received"]);
    expect((await next).body.events).toMatchObject([{ accountId: other.account }]);
  });

  test("finds what no wake-up has told of, when it is looked for", async () => {
    const { one, cursor } = await createTwo();
    const held = read(`?cursor=${cursor}&wait=30`);
    await waitUntil(() => waiters.count === 1, "it waits");
    await append(one, ["message.received"]);
    // As another process would, whose wake-up is lost.
    await sql`
      with moved as (delete from operator_outbox returning account_id, number),
        head as (update operator_head set last_event = last_event + 1 returning last_event)
      insert into operator_events (number, account, type, resource_id, data, created_at)
      select h.last_event, a.id, e.type, e.resource_id, e.data, e.created_at
      from moved m join events e using (account_id, number) join accounts a using (account_id), head h`.execute(
      db,
    );
    expect(waiters.count).toBe(1);
    await waiters.lookForMissed();
    expect((await held).body.events).toMatchObject([{ accountId: one.account }]);
  });

  test("may be asked 20 times at once", async () => {
    const { one, cursor } = await createTwo();
    const held = Array.from({ length: 20 }, () => read(`?cursor=${cursor}&wait=30`));
    await waitUntil(() => waiters.count === 20, "they wait");
    expectRefusal(await read(`?cursor=${cursor}&wait=30`), 429, "RATE_LIMITED", {
      retryAfterSeconds: expect.any(Number),
    });
    await append(one, ["message.received"]);
    await extendOperatorFeed(db);
    for (const answer of held) expect(idsOf(await answer)).toHaveLength(1);
  });
});
