import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { forgetOldEvents, sweepOldEvents } from "../../src/events/jobs.ts";
import { extendOperatorFeed } from "../../src/events/operator-service.ts";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { addSeconds } from "../../src/lib/time.ts";
import { expectRefusal } from "../http/expectations.ts";
import { type Answer, call, createFixture, type Fixture, operate } from "../support/fixtures.ts";
import { waitUntil } from "../support/process.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";

const { app, db, waiters } = await startService();

const DAY = 24 * 60 * 60;
/** Long before anything that these tests do through the API. */
const LONG_AGO = new Date("2020-01-01T00:00:00.000Z");
/** Nothing is kept. */
const FAR_AHEAD = new Date("2100-01-01T00:00:00.000Z");

const read = ({ token }: Fixture, query = "") => call(app, "GET", `/updates${query}`, { token });
const readAll = (query = "") => call(app, "GET", `/api/operator/v1/updates${query}`, { token: OPERATOR_KEY });
const idsOf = ({ body }: Answer): number[] => body.events.map(({ id }: { id: string }) => Number(id));
const post = ({ account }: Fixture) =>
  operate(app, "POST", `/accounts/${account}/events`, { type: "message.received", resourceId: "new" });

/** An account whose first events, `count` of them, happened a day apart from LONG_AGO on. */
async function createOldFeed(count: number): Promise<Fixture> {
  const fixture = await createFixture(app);
  const accountId = accountKey(fixture.account);
  await sql`delete from operator_outbox where account_id = ${accountId}`.execute(db);
  await sql`delete from events where account_id = ${accountId}`.execute(db);
  await sql`
    insert into events (account_id, number, type, resource_id, data, created_at)
    select ${accountId}, n, 'message.received', 'old-' || n, '{}', ${LONG_AGO}::timestamptz + (n - 1) * interval '1 day'
    from generate_series(1, ${count}::integer) n`.execute(db);
  await sql`insert into operator_outbox (account_id, number)
    select account_id, number from events where account_id = ${accountId} order by number`.execute(db);
  await sql`update account_heads set last_event = ${count} where account_id = ${accountId}`.execute(db);
  await extendOperatorFeed(db);
  return fixture;
}

const day = (n: number) => addSeconds(LONG_AGO, n * DAY);
const expired = (oldestCursor: string) => ({ field: "cursor", reason: "cursor_expired", oldestCursor });

describe("events that are older than is kept", () => {
  test("are deleted, the oldest first, and a reader whose cursor points there learns where to go on", async () => {
    const fixture = await createOldFeed(10);
    const other = await createOldFeed(3);
    await forgetOldEvents(db, day(4));
    expect(idsOf(await read(fixture))).toEqual([5, 6, 7, 8, 9, 10]);
    for (const cursor of ["0", "3"])
      expectRefusal(await read(fixture, `?cursor=${cursor}`), 400, "BAD_REQUEST", expired("4"));
    expect(idsOf(await read(fixture, "?cursor=4&limit=2"))).toEqual([5, 6]);
    expect((await read(other)).body).toEqual({ events: [], nextCursor: "3", hasMore: false });
    expectRefusal(await read(other, "?cursor=2"), 400, "BAD_REQUEST", expired("3"));
    await post(other);
    expect(idsOf(await read(other, "?cursor=3"))).toEqual([4]);
  });

  test("go from the operator's feed too, which keeps its own count", async () => {
    await forgetOldEvents(db, FAR_AHEAD);
    const start = Number((await readAll(`?cursor=${"9".repeat(19)}`)).body.details.latestCursor);
    await createOldFeed(4);
    await forgetOldEvents(db, day(3));
    expectRefusal(await readAll(`?cursor=${start}`), 400, "BAD_REQUEST", expired(String(start + 3)));
    expect(idsOf(await readAll())).toEqual([start + 4]);
    expect(idsOf(await readAll(`?cursor=${start + 3}`))).toEqual([start + 4]);
  });

  test("stay behind one that is newer, as numbers have no gaps", async () => {
    const fixture = await createOldFeed(3);
    const accountId = accountKey(fixture.account);
    await sql`
      insert into events (account_id, number, type, resource_id, data, created_at)
      values (${accountId}, 4, 'message.received', 'm', '{}', ${day(0)})`.execute(db);
    await sql`update account_heads set last_event = 4 where account_id = ${accountId}`.execute(db);
    await forgetOldEvents(db, day(1));
    expect(idsOf(await read(fixture))).toEqual([2, 3, 4]);
    await forgetOldEvents(db, day(3));
    expect((await read(fixture)).body.nextCursor).toBe("4");
  });

  test("go in batches, and by several processes at once, each once", async () => {
    await forgetOldEvents(db, FAR_AHEAD);
    await createOldFeed(2_500);
    const counts = await Promise.all([1, 2, 3].map(() => forgetOldEvents(db, day(2_400))));
    expect(counts.reduce((a, b) => a + b)).toBe(2 * 2_400);
  });

  test("are looked for in every account, however many there are", async () => {
    const ids = Array.from({ length: 2_100 }, newId);
    await sql`
      insert into accounts (account_id, id, name, created_at, updated_at)
      select id, id, 'Quiet', now(), now() from unnest(${ids}::uuid[]) id`.execute(db);
    await sql`
      insert into account_heads (account_id, last_event)
      select id, 1 from unnest(${ids}::uuid[]) id`.execute(db);
    await sql`
      insert into events (account_id, number, type, resource_id, data, created_at)
      select id, 1, 'message.received', 'old', '{}', ${LONG_AGO} from unnest(${ids}::uuid[]) id`.execute(db);
    expect(await forgetOldEvents(db, day(1))).toBe(2_100);
  });

  test("go under a reader who waits at the end, and who loses nothing by it", async () => {
    const fixture = await createOldFeed(3);
    const held = read(fixture, "?cursor=3&wait=30");
    await waitUntil(() => waiters.count === 1, "it waits");
    await forgetOldEvents(db, day(100));
    await post(fixture);
    expect(idsOf(await held)).toEqual([4]);
  });

  test("go by days when the operator says so, and never otherwise", async () => {
    const fixture = await createOldFeed(3);
    await post(fixture);
    await sweepOldEvents(db, undefined);
    expect(idsOf(await read(fixture))).toEqual([1, 2, 3, 4]);
    await sweepOldEvents(db, 30);
    expect(idsOf(await read(fixture))).toEqual([4]);
  });
});
