import { randomBytes } from "node:crypto";
import { sql } from "kysely";
import { Webhook } from "standardwebhooks";
import { beforeEach, describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { readClock } from "../../src/database/clock.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import { forgetOldEvents } from "../../src/events/jobs.ts";
import { extendOperatorFeed } from "../../src/events/operator-service.ts";
import { appendEvents } from "../../src/events/service.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { createDeliveryClient, type DeliveryClient } from "../../src/webhooks/delivery-client.ts";
import { sendOperatorEvents } from "../../src/webhooks/operator-dispatch-service.ts";
import { deliverOperatorWebhook, resealOperatorSecrets } from "../../src/webhooks/operator-jobs.ts";
import { expectRefusal } from "../http/expectations.ts";
import { type Answer, call, createFixture, type Fixture } from "../support/fixtures.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";
import { postMessage, type Received, startReceiver, TO_LOOPBACK } from "../support/webhooks.ts";

const { app, db, config, changeBus } = await startService(TO_LOOPBACK);
const client = createDeliveryClient({
  privateHosts: config.webhookPrivateHosts,
  allowLocalhost: false,
  maxSockets: 10,
});
const logger = createLogger("silent");
const RUNNING = new AbortController().signal;
const HOUR = 60 * 60;

// There is one for the whole service: each test makes its own.
beforeEach(async () => void (await db.deleteFrom("operator_webhook").execute()));

function operator(method: "GET" | "PUT" | "POST" | "DELETE", path: string, options = {}): Promise<Answer> {
  return call(app, method, `/api/operator/v1${path}`, { token: OPERATOR_KEY, ...options });
}

async function put(url: string): Promise<{ secret: string; cursor: number }> {
  const { status, body, text } = await operator("PUT", "/webhook", { body: { url } });
  expect(status, text).toBe(201);
  return { secret: body.secret, cursor: Number(body.webhook.cursor) };
}

const get = async () => (await operator("GET", "/webhook")).body.webhook;
const feedAfter = async (cursor: number) =>
  (await operator("GET", `/updates?cursor=${cursor}&limit=200`)).body.events as { id: string }[];
const idsOf = (received: readonly Received[]) => received.map(({ body }) => Number(JSON.parse(body).id));

/** Sends as one process does when it is woken. */
async function send(
  over: { client?: DeliveryClient; keys?: readonly Buffer[]; stopping?: AbortSignal } = {},
) {
  await extendOperatorFeed(db);
  const secretsKeys = over.keys ?? config.secretsKeys;
  const deps = { db, logger, config: { secretsKeys }, client: over.client ?? client };
  await sendOperatorEvents(deps, over.stopping ?? RUNNING);
}

async function append({ account }: Fixture, count: number): Promise<void> {
  await inTransaction(db, async (trx) => {
    const events = Array.from({ length: count }, (_, i) => ({
      type: "message.received" as const,
      resourceId: `message-${i}`,
      jobId: null,
      data: {},
    }));
    await appendEvents(trx, accountKey(account), events, await readClock(trx));
  });
}

/** Turns the clock forward for what the webhook waits for. */
async function passTime(seconds: number): Promise<void> {
  const span = sql`make_interval(secs => ${seconds})`;
  await sql`update operator_webhook set due_at = due_at - ${span}, leased_until = leased_until - ${span},
    old_secret_until = old_secret_until - ${span}`.execute(db);
}

describe("the operator's webhook", () => {
  test("is put, read, moved, and deleted; its secret is shown once", async () => {
    const none = await operator("GET", "/webhook");
    expect([none.status, none.body.details]).toEqual([404, { resource: "webhook" }]);
    for (const path of ["/webhook", "/webhook/rotate-secret"]) {
      const method = path === "/webhook" ? "DELETE" : "POST";
      expect((await operator(method, path)).status).toBe(404);
    }
    const made = await operator("PUT", "/webhook", { body: { url: "https://example.com/a" } });
    expect(made.status).toBe(201);
    expect(made.body.secret).toMatch(/^whsec_/);
    expect(made.body.webhook).toEqual({
      url: "https://example.com/a",
      createdAt: expect.stringMatching(/Z$/),
      cursor: expect.stringMatching(/^\d+$/),
      waiting: 0,
      attempts: 0,
      lastAttemptAt: null,
      lastStatus: null,
      lastError: null,
      nextAttemptAt: null,
    });
    expect((await operator("GET", "/webhook")).body).toEqual({ webhook: made.body.webhook });
    const same = await operator("PUT", "/webhook", { body: { url: "https://example.com/a" } });
    expect([same.status, same.body]).toEqual([200, { webhook: made.body.webhook }]);
    const moved = await operator("PUT", "/webhook", { body: { url: "https://example.com/b" } });
    expect([moved.status, moved.body.secret, moved.body.webhook.url]).toEqual([
      200,
      undefined,
      "https://example.com/b",
    ]);
    const stored = JSON.stringify(await db.selectFrom("operator_webhook").selectAll().execute());
    expect(stored).not.toContain(Buffer.from(made.body.secret).toString("hex"));
    expect((await operator("DELETE", "/webhook")).body).toEqual({ deleted: true });
    expect((await operator("GET", "/webhook")).status).toBe(404);
  });

  test("takes no URL into a private network, no unknown key, and no Idempotency-Key", async () => {
    const wrong: [object, string][] = [
      [{ url: "https://10.0.0.1/" }, "url"],
      [{ url: "http://example.com/" }, "url"],
      [{ url: "" }, "url"],
      [{}, "url"],
      [{ url: "https://example.com/", secret: "mine" }, "secret"],
    ];
    for (const [body, field] of wrong) {
      expectRefusal(await operator("PUT", "/webhook", { body }), 400, "BAD_REQUEST", { field });
    }
    const headers = { "idempotency-key": "k" };
    const answer = await operator("PUT", "/webhook", { body: { url: "https://example.com/" }, headers });
    expectRefusal(answer, 400, "BAD_REQUEST", { field: "Idempotency-Key" });
    expect((await operator("GET", "/webhook")).status).toBe(404);
  });

  test("is sent the events of all accounts from then on, as and in the order that the feed has them, signed", async () => {
    const receiver = await startReceiver();
    const [one, other] = [await createFixture(app), await createFixture(app)];
    await extendOperatorFeed(db);
    const { secret, cursor } = await put(receiver.url("/all"));
    await postMessage(app, one, "first");
    await postMessage(app, other, "second");
    await postMessage(app, one, "third");
    await send();
    const events = await feedAfter(cursor);
    expect(events).toMatchObject([
      { accountId: one.account },
      { accountId: other.account },
      { accountId: one.account },
    ]);
    expect(receiver.received.map(({ body }) => body)).toEqual(events.map((event) => JSON.stringify(event)));
    for (const [i, { headers, body, path }] of receiver.received.entries()) {
      expect(path).toBe("/all");
      expect(headers).toMatchObject({
        "x-opentrain-event": "message.received",
        "x-opentrain-delivery": `operator-${events[i]?.id}`,
      });
      expect(new Webhook(secret).verify(body, headers as Record<string, string>)).toEqual(events[i]);
    }
    expect(await get()).toMatchObject({
      cursor: events.at(-1)?.id,
      waiting: 0,
      lastStatus: 200,
      nextAttemptAt: null,
    });
    await send();
    expect(receiver.received).toHaveLength(3);
  });

  test("that is down for 60 hours has every event afterwards, in order and none left out", async () => {
    const receiver = await startReceiver(() => 503);
    const fixture = await createFixture(app);
    await extendOperatorFeed(db);
    const { cursor } = await put(receiver.url());
    for (let hour = 0; hour < 60; hour++) {
      await append(fixture, 3);
      await send();
      await passTime(HOUR);
    }
    // One event was tried for all that time, under one id, and the others waited behind it.
    expect(new Set(idsOf(receiver.received))).toEqual(new Set([cursor + 1]));
    expect(new Set(receiver.received.map(({ headers }) => headers["x-opentrain-delivery"])).size).toBe(1);
    expect(await get()).toMatchObject({
      cursor: String(cursor),
      waiting: 180,
      attempts: 60,
      lastStatus: 503,
      lastError: "answered 503",
      nextAttemptAt: expect.any(String),
    });
    receiver.answer = () => 200;
    receiver.received.length = 0;
    await send();
    expect(idsOf(receiver.received)).toEqual(Array.from({ length: 180 }, (_, i) => cursor + 1 + i));
    expect(await get()).toMatchObject({ waiting: 0, attempts: 0, lastError: null });
  });

  test("is tried again after 5, 30 and 60 s, and then every 5 minutes without end, whatever it answers", async () => {
    const receiver = await startReceiver(() => 410);
    const fixture = await createFixture(app);
    await put(receiver.url());
    await append(fixture, 1);
    for (const wait of [5, 30, 60, 300, 300, 300]) {
      const before = receiver.received.length;
      await send();
      expect(receiver.received).toHaveLength(before + 1);
      await passTime(wait - 2);
      await send();
      expect(receiver.received, `${wait - 2} s later`).toHaveLength(before + 1);
      await passTime(3);
    }
  });

  test("is sent each event once though several processes are woken at once", async () => {
    const receiver = await startReceiver();
    const fixture = await createFixture(app);
    await extendOperatorFeed(db);
    const { cursor } = await put(receiver.url());
    await append(fixture, 120);
    await extendOperatorFeed(db);
    await Promise.all(Array.from({ length: 5 }, () => send()));
    // The later process found the lease taken; what it would have sent was sent.
    await send();
    expect(idsOf(receiver.received)).toEqual(Array.from({ length: 120 }, (_, i) => cursor + 1 + i));
    expect(receiver.mostOpen).toBe(1);
  });

  test("loses none when a process dies between the receiver's answer and writing it down", async () => {
    const receiver = await startReceiver();
    const fixture = await createFixture(app);
    await extendOperatorFeed(db);
    const { cursor } = await put(receiver.url());
    await append(fixture, 3);
    // It delivers the second, and is never heard of again.
    let sent = 0;
    const dying: DeliveryClient = {
      ...client,
      deliver: async (request) => {
        const outcome = await client.deliver(request);
        return ++sent === 2 ? await new Promise(() => {}) : outcome;
      },
    };
    void send({ client: dying });
    await expect.poll(() => receiver.received.length).toBe(2);
    await send();
    expect(receiver.received).toHaveLength(2);
    await passTime(31);
    await send();
    expect(idsOf(receiver.received)).toEqual([1, 2, 2, 3].map((i) => cursor + i));
    expect(await get()).toMatchObject({ waiting: 0 });
  });

  test("a process that lost its lease writes nothing down any more", async () => {
    const receiver = await startReceiver(() => "hang");
    const fixture = await createFixture(app);
    await extendOperatorFeed(db);
    const { cursor } = await put(receiver.url());
    await append(fixture, 2);
    const slow = send();
    await expect.poll(() => receiver.received.length).toBe(1);
    await passTime(31);
    receiver.answer = () => 500;
    await send();
    expect(await get()).toMatchObject({ cursor: String(cursor), attempts: 1 });
    receiver.letGo(200);
    await slow;
    expect(await get()).toMatchObject({ cursor: String(cursor), attempts: 1, lastError: "answered 500" });
  });

  test("that is moved goes on at the new URL where it stood, at once", async () => {
    const [dead, alive] = [await startReceiver(() => 500), await startReceiver()];
    const fixture = await createFixture(app);
    await extendOperatorFeed(db);
    const { cursor, secret } = await put(dead.url());
    await append(fixture, 2);
    await send();
    expect((await operator("PUT", "/webhook", { body: { url: alive.url() } })).status).toBe(200);
    await send();
    expect(idsOf(alive.received)).toEqual([cursor + 1, cursor + 2]);
    const [{ body, headers } = { body: "", headers: {} }] = alive.received;
    expect(new Webhook(secret).verify(body, headers as Record<string, string>)).toBeTruthy();
  });

  test("that is deleted in the middle of a delivery is sent no more", async () => {
    const receiver = await startReceiver(() => "hang");
    const fixture = await createFixture(app);
    await put(receiver.url());
    await append(fixture, 3);
    const sending = send();
    await expect.poll(() => receiver.received.length).toBe(1);
    expect((await operator("DELETE", "/webhook")).status).toBe(200);
    receiver.letGo(200);
    await sending;
    await send();
    expect(receiver.received).toHaveLength(1);
  });

  test("is signed with both secrets for 24 hours after a rotation, and then with the new one alone", async () => {
    const receiver = await startReceiver();
    const fixture = await createFixture(app);
    const { secret: old } = await put(receiver.url());
    const { body } = await operator("POST", "/webhook/rotate-secret");
    expect(body.secret).toMatch(/^whsec_/);
    expect(body.secret).not.toBe(old);
    const verified = async (): Promise<boolean[]> => {
      receiver.received.length = 0;
      await append(fixture, 1);
      await send();
      const [{ body: sent, headers } = { body: "", headers: {} }] = receiver.received;
      return [old, body.secret].map((secret) => {
        try {
          return Boolean(new Webhook(secret).verify(sent, headers as Record<string, string>));
        } catch {
          return false;
        }
      });
    };
    expect(await verified()).toEqual([true, true]);
    await passTime(24 * HOUR - 60);
    expect(await verified()).toEqual([true, true]);
    await passTime(61);
    expect(await verified()).toEqual([false, true]);
  });

  test("waits, and loses nothing, while the secret cannot be opened", async () => {
    const receiver = await startReceiver();
    const fixture = await createFixture(app);
    await extendOperatorFeed(db);
    await put(receiver.url());
    await append(fixture, 1);
    await send({ keys: [randomBytes(32)] });
    expect(receiver.received).toEqual([]);
    expect((await get()).lastError).toContain("SECRETS_KEY");
    await passTime(HOUR);
    await send();
    expect(receiver.received).toHaveLength(1);
  });

  test("is sealed again after a rotation of SECRETS_KEY, so that the old one can be taken out", async () => {
    const receiver = await startReceiver();
    const fixture = await createFixture(app);
    const { secret } = await put(receiver.url());
    await operator("POST", "/webhook/rotate-secret");
    const newest = randomBytes(32);
    const rotated = { ...config, secretsKeys: [newest, ...config.secretsKeys] };
    await resealOperatorSecrets({ db, config: rotated });
    await append(fixture, 1);
    await send({ keys: [newest] });
    const [{ body, headers } = { body: "", headers: {} }] = receiver.received;
    expect(new Webhook(secret).verify(body, headers as Record<string, string>)).toBeTruthy();
    const row = () => db.selectFrom("operator_webhook").selectAll().executeTakeFirst();
    const before = await row();
    await resealOperatorSecrets({ db, config: rotated });
    expect(await row()).toEqual(before);
  });

  test("keeps events from being forgotten before they have arrived", async () => {
    const receiver = await startReceiver(() => 500);
    const fixture = await createFixture(app);
    await extendOperatorFeed(db);
    const { cursor } = await put(receiver.url());
    await append(fixture, 3);
    await send();
    const later = new Date(Date.now() + HOUR * 1_000);
    await forgetOldEvents(db, later);
    expect((await feedAfter(cursor)).map(({ id }) => Number(id))).toEqual([1, 2, 3].map((i) => cursor + i));
    receiver.answer = () => 200;
    await passTime(HOUR);
    await send();
    expect(new Set(idsOf(receiver.received))).toEqual(new Set([1, 2, 3].map((i) => cursor + i)));
    await forgetOldEvents(db, later);
    const { status, body } = await operator("GET", `/updates?cursor=${cursor}`);
    expect([status, body.details.reason]).toEqual([400, "cursor_expired"]);
  });

  test("is served by the process that works, as soon as the feed has grown, and stops with it", async () => {
    const receiver = await startReceiver();
    const fixture = await createFixture(app);
    await extendOperatorFeed(db);
    await put(receiver.url());
    const loop = deliverOperatorWebhook({ db, config, changeBus }, logger);
    try {
      await append(fixture, 1);
      await extendOperatorFeed(db);
      await expect.poll(() => receiver.received.length, { timeout: 4_000 }).toBe(1);
    } finally {
      await loop.stop();
    }
    await append(fixture, 1);
    await extendOperatorFeed(db);
    expect(receiver.received).toHaveLength(1);
  });
});
