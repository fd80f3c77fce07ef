import { sql } from "kysely";
import { expect, test } from "vitest";
import { cloneDatabase } from "../support/clones.ts";
import { type Fixture, operate } from "../support/fixtures.ts";
import { longTest } from "../support/long.ts";
import { launch, type Program, startProcess, waitUntil } from "../support/process.ts";
import { OPERATOR_KEY, serviceEnvironment, startService } from "../support/service.ts";
import {
  callWebhooks,
  createSubscriber,
  passTime,
  type Received,
  startReceiver,
  subscribe,
  TO_LOOPBACK,
} from "../support/webhooks.ts";

const url = await cloneDatabase();
const { app, db } = await startService(TO_LOOPBACK, url);

const startWork = (): Program => launch(["work"], { ...serviceEnvironment(url), ...TO_LOOPBACK });
const resourceOf = ({ body }: Received) => JSON.parse(body).resourceId as string;
const message = (resourceId: string) => ({ type: "message.received", resourceId });
const readDeliveries = async ({ token }: Fixture, id: string) =>
  (await callWebhooks(app, "GET", `/${id}/deliveries?limit=100`, { token })).body.deliveries as any[];
/** Until the lease of a process that was killed has expired. */
const LEASE_SECONDS = 31;
/** What each process is asked to write in the time that it has. */
const EVENTS = 60;

test("a process killed after the commit and before the delivery loses none", async () => {
  const receiver = await startReceiver();
  const fixture = await createSubscriber(app);
  const { id } = await subscribe(app, fixture.token, receiver.url());
  // It serves and does not work: what it commits is due when it dies.
  const serving = await startProcess("serve", url);
  for (let i = 0; i < 5; i++) {
    const path = `/api/operator/v1/accounts/${fixture.account}/events`;
    const { status } = await serving.call("POST", path, {
      token: OPERATOR_KEY,
      body: message(`message-${i}`),
    });
    expect(status).toBe(201);
  }
  await serving.kill9();
  expect((await readDeliveries(fixture, id)).map(({ status }) => status)).toEqual(Array(5).fill("PENDING"));

  const working = startWork();
  await waitUntil(() => receiver.received.length === 5, "all have arrived");
  expect(receiver.received.map(resourceOf).sort()).toEqual(
    Array.from({ length: 5 }, (_, i) => `message-${i}`),
  );
  expect((await working.stop()).code).toBe(0);
});

longTest(
  "a process killed in the middle of deliveries loses none: they are sent again under their ids, with their bytes",
  async () => {
    const receiver = await startReceiver(() => "hang");
    const fixture = await createSubscriber(app);
    const { id } = await subscribe(app, fixture.token, receiver.url());
    const post = (resourceId: string) =>
      operate(app, "POST", `/accounts/${fixture.account}/events`, message(resourceId));
    for (const resourceId of ["a", "b", "c"]) await post(resourceId);
    const dying = startWork();
    await waitUntil(() => receiver.open === 2, "two are under way");
    expect((await dying.kill9()).signal).toBe("SIGKILL");

    receiver.answer = () => 200;
    await passTime(db, fixture, LEASE_SECONDS);
    const working = startWork();
    await waitUntil(() => receiver.received.length === 5, "all have arrived");
    await waitUntil(
      async () => (await readDeliveries(fixture, id)).every(({ status }) => status === "DELIVERED"),
      "all are written down",
    );
    const sent = receiver.received.map(({ headers, body }) => `${headers["webhook-id"]} ${body}`);
    expect(new Set(sent).size).toBe(3);
    expect(sent.slice(2)).toEqual(expect.arrayContaining(sent.slice(0, 2)));
    await working.stop();
  },
);

test("a process that is stopped in the middle of one gives it back, and ends in peace", async () => {
  const receiver = await startReceiver(() => "hang");
  const fixture = await createSubscriber(app);
  const { id } = await subscribe(app, fixture.token, receiver.url());
  await operate(app, "POST", `/accounts/${fixture.account}/events`, message("a"));
  const stopping = startWork();
  await waitUntil(() => receiver.open === 1, "one is under way");
  expect((await stopping.stop()).code).toBe(0);
  const { rows } = await sql<object>`
    select w.lease, d.status, d.attempts from webhooks w join webhook_deliveries d on d.webhook_id = w.id
    where w.id = ${id}`.execute(db);
  expect(rows).toEqual([{ lease: null, status: "PENDING", attempts: 0 }]);
  receiver.answer = () => 200;
  const working = startWork();
  await waitUntil(() => receiver.received.length === 2, "it has arrived");
  await working.stop();
});

longTest(
  "processes killed at any moment, again and again, lose no event that was answered for",
  async () => {
    const receiver = await startReceiver();
    const fixture = await createSubscriber(app);
    await subscribe(app, fixture.token, receiver.url("/a"));
    await subscribe(app, fixture.token, receiver.url("/b"));
    const path = `/api/operator/v1/accounts/${fixture.account}/events`;
    const answered: string[] = [];
    for (const round of [1, 2, 3]) {
      const [one, other] = await Promise.all([
        startProcess("start", url, TO_LOOPBACK),
        startProcess("start", url, TO_LOOPBACK),
      ]);
      // Both die while events are being written and deliveries sent, the second a little later.
      const writing = [one, other].map(async (process, i) => {
        for (let n = 0; n < EVENTS; n++) {
          const resourceId = `${round}-${i}-${n}`;
          const answer = await process.call("POST", path, { token: OPERATOR_KEY, body: message(resourceId) });
          if (answer.status === 201) answered.push(resourceId);
        }
      });
      const before = receiver.received.length;
      const ended = Promise.allSettled(writing);
      await waitUntil(() => receiver.received.length > before + 20, "deliveries are under way");
      await one.kill9();
      // It may have died with the lease.
      await passTime(db, fixture, LEASE_SECONDS);
      await waitUntil(() => receiver.received.length > before + 60, "the other goes on");
      await other.kill9();
      await ended;
      await passTime(db, fixture, LEASE_SECONDS);
    }
    const working = startWork();
    await waitUntil(async () => {
      const { rows } = await sql`select from webhook_deliveries where status = 'PENDING' limit 1`.execute(db);
      return rows.length === 0;
    }, "nothing waits any more");
    await working.stop();
    expect(answered.length).toBeGreaterThan(50);
    for (const to of ["/a", "/b"]) {
      const arrived = new Set(receiver.received.filter((request) => request.path === to).map(resourceOf));
      expect(answered.filter((resourceId) => !arrived.has(resourceId))).toEqual([]);
    }
  },
  120_000,
);
