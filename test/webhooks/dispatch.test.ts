import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { createDeliveryClient } from "../../src/webhooks/delivery-client.ts";
import type { Dispatcher } from "../../src/webhooks/dispatch-service.ts";
import type { Fixture } from "../support/fixtures.ts";
import { waitUntil } from "../support/process.ts";
import { startService } from "../support/service.ts";
import {
  callWebhooks,
  createSubscriber,
  deliverAll,
  openDispatcher,
  postMessage,
  type Received,
  startReceiver,
  subscribe,
  TO_LOOPBACK,
} from "../support/webhooks.ts";

const service = await startService(TO_LOOPBACK);
const { app, db } = service;

/** One that waits for an answer as long as that, in milliseconds, and not for ten seconds. */
function openWith(timeout: number): Dispatcher {
  const rules = { privateHosts: ["127.0.0.1"], allowLocalhost: false };
  return openDispatcher(service, createDeliveryClient({ ...rules, maxSockets: 200 }, { timeout }));
}
/** Its patience outlasts a test, however slow the machine. */
const openPatient = () => openWith(300_000);

const resourceOf = ({ body }: Received) => JSON.parse(body).resourceId as string;
const postMany = async (fixture: Fixture, count: number) => {
  for (let i = 0; i < count; i++) await postMessage(app, fixture, `message-${i}`);
};

async function readDeliveries({ token }: Fixture, id: string): Promise<any[]> {
  return (await callWebhooks(app, "GET", `/${id}/deliveries?limit=100`, { token })).body.deliveries;
}

/** Whether the account's webhooks are served in the slow lane. */
async function areSlow({ account }: Fixture): Promise<boolean[]> {
  const { rows } = await sql<{ slow: boolean }>`
    select slow_since is not null as slow from webhooks where account_id = ${accountKey(account)}`.execute(
    db,
  );
  return rows.map(({ slow }) => slow);
}

describe("a receiver that hangs", () => {
  test("gets two at a time, and every delivery of another account goes out meanwhile", async () => {
    const [hanging, healthy] = [await startReceiver(() => "hang"), await startReceiver()];
    const [theirs, mine] = [await createSubscriber(app), await createSubscriber(app)];
    await subscribe(app, theirs.token, hanging.url());
    const { id } = await subscribe(app, mine.token, healthy.url());
    // Theirs have waited longer.
    await postMany(theirs, 60);
    await postMany(mine, 20);

    const dispatcher = openPatient();
    await dispatcher.sweep();
    await waitUntil(() => healthy.received.length === 20, "all of mine have arrived");
    await waitUntil(
      async () => (await readDeliveries(mine, id)).every(({ status }) => status === "DELIVERED"),
      "all of mine are written down",
    );
    expect(hanging.received).toHaveLength(2);
    expect(hanging.open).toBe(2);
    hanging.answer = () => 200;
    hanging.letGo();
    await deliverAll(db, dispatcher);
    await dispatcher.idle();
    await deliverAll(db, dispatcher);
    expect(hanging.received).toHaveLength(60);
    expect(hanging.mostOpen).toBe(2);
  });

  test("on the very host that another account uses does not delay that one either", async () => {
    const receiver = await startReceiver(({ path }) => (path === "/theirs" ? "hang" : 200));
    const [theirs, mine] = [await createSubscriber(app), await createSubscriber(app)];
    await subscribe(app, theirs.token, receiver.url("/theirs"));
    await subscribe(app, mine.token, receiver.url("/mine"));
    await postMany(theirs, 20);
    await postMany(mine, 20);
    const dispatcher = openPatient();
    await dispatcher.sweep();
    const seen = (path: string) => receiver.received.filter((request) => request.path === path);
    await waitUntil(() => seen("/mine").length === 20, "all of mine have arrived");
    expect(seen("/theirs")).toHaveLength(2);
    receiver.answer = () => 200;
    receiver.letGo();
    await dispatcher.idle();
    await deliverAll(db, dispatcher);
  });

  test("is moved to the slow lane, and back once it answers in time", async () => {
    const receiver = await startReceiver(() => "hang");
    const fixture = await createSubscriber(app);
    const { id } = await subscribe(app, fixture.token, receiver.url());
    await postMany(fixture, 4);
    const dispatcher = openWith(2_000);
    await dispatcher.sweep();
    await dispatcher.idle();
    // The turn in the fast lane ended with the two that timed out.
    expect(receiver.received).toHaveLength(2);
    expect(await areSlow(fixture)).toEqual([true]);
    const [last] = (await readDeliveries(fixture, id)).filter(({ attempts }) => attempts === 1);
    expect(last).toMatchObject({ status: "PENDING", lastStatus: null, lastError: "timed out after 2 s" });
    receiver.answer = () => 200;
    await deliverAll(db, openPatient());
    expect(receiver.received).toHaveLength(4);
    expect(await areSlow(fixture)).toEqual([false]);
  });
});

describe("a receiver that is dead", () => {
  test("with a thousand deliveries due holds up none of another account's that came later", async () => {
    const [dead, healthy] = [await startReceiver(), await startReceiver()];
    await dead.close();
    const [theirs, mine] = [await createSubscriber(app), await createSubscriber(app)];
    const { id } = await subscribe(app, theirs.token, dead.url());
    await subscribe(app, mine.token, healthy.url());
    await postMessage(app, theirs);
    await sql`
      insert into webhook_deliveries (account_id, id, webhook_id, event_number, event_type, body, due_at, created_at)
      select account_id, gen_random_uuid(), webhook_id, event_number + n, event_type, body, due_at, created_at
      from webhook_deliveries, generate_series(1, 1000) n where webhook_id = ${id}`.execute(db);
    await postMany(mine, 5);
    const dispatcher = openDispatcher(service);
    await dispatcher.sweep();
    await waitUntil(() => healthy.received.length === 5, "mine have arrived");
    const attempted = async () =>
      (
        await sql<{ n: number }>`
      select count(*) as n from webhook_deliveries where webhook_id = ${id} and attempts > 0`.execute(db)
      ).rows[0]?.n;
    expect(await attempted()).toBeLessThan(1001);
    await dispatcher.idle();
    await deliverAll(db, dispatcher);
    expect(await attempted()).toBe(1001);
  });
});

describe("several workers at once", () => {
  test("send each delivery once, never one twice at the same time, and two at a time to a receiver", async () => {
    const open = new Set<string>();
    const twice: string[] = [];
    const receiver = await startReceiver(({ headers }, response) => {
      const id = String(headers["webhook-id"]);
      if (open.has(id)) twice.push(id);
      open.add(id);
      response.once("close", () => open.delete(id));
      // Long enough for another worker to come by.
      setImmediate(() => setImmediate(() => response.writeHead(200).end()));
      return "hang";
    });
    const fixtures = await Promise.all(Array.from({ length: 6 }, () => createSubscriber(app)));
    const paths = fixtures.flatMap((fixture) => ["a", "b"].map((path) => ({ fixture, path })));
    for (const { fixture, path } of paths) {
      await subscribe(app, fixture.token, receiver.url(`/${fixture.account}/${path}`));
    }
    const mostOpen = new Map<string, number>();
    const inner = receiver.answer;
    const openOf = new Map<string, number>();
    receiver.answer = (request, response) => {
      const account = request.path.split("/")[1] ?? "";
      openOf.set(account, (openOf.get(account) ?? 0) + 1);
      mostOpen.set(account, Math.max(mostOpen.get(account) ?? 0, openOf.get(account) ?? 0));
      response.once("close", () => openOf.set(account, (openOf.get(account) ?? 1) - 1));
      return inner(request, response);
    };
    const workers = [openDispatcher(service), openDispatcher(service), openDispatcher(service)];
    const working = new AbortController();
    const sweeping = workers.map(async (worker) => {
      while (!working.signal.aborted) await worker.sweep();
    });
    await Promise.all(fixtures.map((fixture) => postMany(fixture, 10)));
    await waitUntil(() => receiver.received.length >= 120, "all have arrived");
    working.abort();
    await Promise.all(sweeping);
    for (const worker of workers) await worker.idle();
    await deliverAll(db, workers[0] ?? openDispatcher(service));

    expect(twice).toEqual([]);
    expect(receiver.received).toHaveLength(120);
    const ids = receiver.received.map(({ headers }) => headers["webhook-id"]);
    expect(new Set(ids).size).toBe(120);
    for (const { account } of fixtures) expect(mostOpen.get(account)).toBeLessThanOrEqual(2);
    for (const { fixture, path } of paths) {
      const own = receiver.received.filter((request) => request.path === `/${fixture.account}/${path}`);
      expect(own.map(resourceOf).sort()).toEqual(Array.from({ length: 10 }, (_, i) => `message-${i}`));
    }
  });

  test("give no lease back past an event that is about to commit: none is forgotten, however they interleave", async () => {
    const receiver = await startReceiver();
    const fixture = await createSubscriber(app);
    const { id } = await subscribe(app, fixture.token, receiver.url());
    const workers = [openDispatcher(service), openDispatcher(service)];
    const working = new AbortController();
    const sweeping = workers.map(async (worker) => {
      while (!working.signal.aborted) {
        await worker.sweep();
        await worker.idle();
      }
    });
    await Promise.all([1, 2, 3, 4].map(() => postMany(fixture, 50)));
    working.abort();
    await Promise.all(sweeping);
    const [worker] = workers;
    if (worker === undefined) throw new TypeError("there are two");
    await deliverAll(db, worker);
    expect(receiver.received).toHaveLength(200);
    const { rows } =
      await sql`select from webhook_deliveries where webhook_id = ${id} and status = 'PENDING'`.execute(db);
    expect(rows).toEqual([]);
  });
});

describe("what is under way", () => {
  test("when the webhook is deleted is the last that is sent to it", async () => {
    const receiver = await startReceiver(() => "hang");
    const fixture = await createSubscriber(app);
    const { id } = await subscribe(app, fixture.token, receiver.url());
    await postMany(fixture, 6);
    const dispatcher = openDispatcher(service);
    await dispatcher.sweep();
    await waitUntil(() => receiver.open === 2, "two are under way");
    expect((await callWebhooks(app, "DELETE", `/${id}`, { token: fixture.token })).status).toBe(200);
    receiver.answer = () => 200;
    receiver.letGo();
    await dispatcher.idle();
    await deliverAll(db, dispatcher);
    expect(receiver.received).toHaveLength(2);
  });

  test("when the service stops is broken off, given back at once, and sent again by another", async () => {
    const receiver = await startReceiver(() => "hang");
    const fixture = await createSubscriber(app);
    const { id } = await subscribe(app, fixture.token, receiver.url());
    await postMany(fixture, 1);
    const first = openDispatcher(service);
    await first.sweep();
    await waitUntil(() => receiver.open === 1, "one is under way");
    await first.stop();
    expect(await readDeliveries(fixture, id)).toMatchObject([{ status: "PENDING", attempts: 0 }]);
    receiver.answer = () => 200;
    await deliverAll(db, openDispatcher(service));
    expect(receiver.received).toHaveLength(2);
    expect(await readDeliveries(fixture, id)).toMatchObject([{ status: "DELIVERED", attempts: 1 }]);
  });

  test("is sent again after it was restarted meanwhile, whatever comes of the attempt", async () => {
    const receiver = await startReceiver(() => "hang");
    const fixture = await createSubscriber(app);
    const { id } = await subscribe(app, fixture.token, receiver.url());
    await postMany(fixture, 1);
    await sql`update webhook_deliveries set attempts = 3 where webhook_id = ${id}`.execute(db);
    const dispatcher = openDispatcher(service);
    await dispatcher.sweep();
    await waitUntil(() => receiver.open === 1, "one is under way");
    const [delivery] = await readDeliveries(fixture, id);
    const path = `/${id}/deliveries/${delivery.id}/redeliver`;
    expect((await callWebhooks(app, "POST", path, { token: fixture.token })).status).toBe(202);
    receiver.answer = () => 200;
    receiver.letGo(500);
    await dispatcher.idle();
    await deliverAll(db, dispatcher);
    expect(receiver.received).toHaveLength(2);
    expect(receiver.mostOpen).toBe(1);
    expect(await readDeliveries(fixture, id)).toMatchObject([{ status: "DELIVERED", attempts: 1 }]);
  });
});
