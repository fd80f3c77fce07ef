import { describe, expect, test } from "vitest";
import type { Fixture } from "../support/fixtures.ts";
import { startService } from "../support/service.ts";
import {
  callWebhooks,
  createSubscriber,
  deliverAll,
  openDispatcher,
  passTime,
  postMessage,
  startReceiver,
  subscribe,
  TO_LOOPBACK,
} from "../support/webhooks.ts";

const service = await startService(TO_LOOPBACK);
const { app, db } = service;
const dispatcher = openDispatcher(service);

const MINUTE = 60;
const HOUR = 60 * MINUTE;
/** docs/contract.md §3: what lies between an attempt and the next. */
const WAITS = [1, 5, 30, 120, 300, 600, 840, 1200, 1440].map((minutes) => minutes * MINUTE);

const deliver = () => deliverAll(db, dispatcher);
const readWebhook = async ({ token }: Fixture, id: string) =>
  (await callWebhooks(app, "GET", `/${id}`, { token })).body.webhook;
const readDeliveries = async ({ token }: Fixture, id: string) =>
  (await callWebhooks(app, "GET", `/${id}/deliveries?limit=100`, { token })).body.deliveries as any[];

async function readOnly(fixture: Fixture, id: string): Promise<any> {
  const [delivery, ...others] = await readDeliveries(fixture, id);
  expect(others).toEqual([]);
  return delivery;
}

/** Lets every delivery of the account that is pending fail for good. */
async function exhaust(fixture: Fixture): Promise<void> {
  for (let attempt = 0; attempt <= WAITS.length; attempt++) {
    await deliver();
    await passTime(db, fixture, 24 * HOUR);
  }
}

describe("a delivery that is not taken", () => {
  test("is tried at exactly the contract's times, ten times in all, with the same id and bytes, and has then failed", async () => {
    const receiver = await startReceiver(() => 500);
    const fixture = await createSubscriber(app);
    const { id } = await subscribe(app, fixture.token, receiver.url());
    await postMessage(app, fixture);
    await deliver();
    for (const [i, wait] of WAITS.entries()) {
      const delivery = await readOnly(fixture, id);
      expect(delivery).toMatchObject({
        status: "PENDING",
        attempts: i + 1,
        lastStatus: 500,
        lastError: "answered 500",
        resolvedAt: null,
      });
      expect((Date.parse(delivery.nextAttemptAt) - Date.parse(delivery.lastAttemptAt)) / 1_000).toBe(wait);
      // A little too early, nothing is sent; the rest of a minute later, it is.
      await passTime(db, fixture, wait - MINUTE / 2);
      await deliver();
      expect(receiver.received).toHaveLength(i + 1);
      await passTime(db, fixture, MINUTE / 2);
      await deliver();
      expect(receiver.received).toHaveLength(i + 2);
    }
    expect(await readOnly(fixture, id)).toMatchObject({
      status: "FAILED",
      attempts: 10,
      nextAttemptAt: null,
      resolvedAt: expect.any(String),
    });
    await passTime(db, fixture, 1000 * HOUR);
    await deliver();
    expect(receiver.received).toHaveLength(10);
    const sent = receiver.received.map(({ headers, body }) => [headers["x-opentrain-delivery"], body]);
    expect(new Set(sent.map(String)).size).toBe(1);
    expect((await readWebhook(fixture, id)).status).toBe("ACTIVE");
  });

  test.each([
    ["a redirect", 302, "answered 302, a redirect, which is not followed"],
    ["a client's error", 404, "answered 404"],
    ["an overload", 503, "answered 503"],
  ])("because of %s is tried again, and says why", async (_what, status, lastError) => {
    const receiver = await startReceiver((_request, response) => {
      response.setHeader("location", "/elsewhere");
      return status;
    });
    const fixture = await createSubscriber(app);
    const { id } = await subscribe(app, fixture.token, receiver.url());
    await postMessage(app, fixture);
    await deliver();
    expect(await readOnly(fixture, id)).toMatchObject({ status: "PENDING", lastStatus: status, lastError });
    expect(receiver.received).toHaveLength(1);
    receiver.answer = () => 204;
    await passTime(db, fixture, MINUTE);
    await deliver();
    expect(await readOnly(fixture, id)).toMatchObject({
      status: "DELIVERED",
      lastStatus: 204,
      lastError: null,
    });
  });

  test("while its receiver is down for 60 hours arrives, as does every other, and the webhook stays", async () => {
    const receiver = await startReceiver();
    await receiver.close();
    const fixture = await createSubscriber(app);
    const { id } = await subscribe(app, fixture.token, receiver.url());
    const posted: string[] = [];
    for (let hour = 0; hour < 60; hour++) {
      posted.push(`message-${hour}`);
      await postMessage(app, fixture, `message-${hour}`);
      await deliver();
      await passTime(db, fixture, HOUR);
    }
    const back = await startReceiver(() => 200, receiver.port);
    for (let hour = 60; hour < 160 && back.received.length < posted.length; hour++) {
      await deliver();
      await passTime(db, fixture, HOUR);
    }
    const arrived = back.received.map(({ body }) => JSON.parse(body).resourceId);
    expect(arrived.sort()).toEqual(posted.sort());
    expect((await readWebhook(fixture, id)).status).toBe("ACTIVE");
    const statuses = (await readDeliveries(fixture, id)).map(({ status }) => status);
    expect(statuses).toEqual(posted.map(() => "DELIVERED"));
  });
});

describe("a webhook is disabled", () => {
  test("at once by a 410, and nothing more is sent to it", async () => {
    const receiver = await startReceiver(() => 500);
    const fixture = await createSubscriber(app);
    const { id } = await subscribe(app, fixture.token, receiver.url());
    for (let i = 0; i < 5; i++) await postMessage(app, fixture, `message-${i}`);
    await deliver();
    receiver.answer = () => 410;
    await passTime(db, fixture, MINUTE);
    await deliver();
    const webhook = await readWebhook(fixture, id);
    expect(webhook).toMatchObject({
      status: "DISABLED",
      disabledAt: expect.any(String),
      disabledReason: "The receiver answered 410 Gone.",
    });
    // Two may have been under way at once.
    const gone = receiver.received.length - 5;
    expect([1, 2]).toContain(gone);
    const statuses = (await readDeliveries(fixture, id)).map(({ status }) => status);
    expect(statuses.toSorted()).toEqual([
      ...Array.from({ length: 5 - gone }, () => "CANCELLED"),
      ...Array.from({ length: gone }, () => "FAILED"),
    ]);
    await postMessage(app, fixture, "later");
    await passTime(db, fixture, 24 * HOUR);
    await deliver();
    expect(receiver.received).toHaveLength(5 + gone);
    expect(await readDeliveries(fixture, id)).toHaveLength(5);
  });

  test("by ten deliveries in a row that failed for good, not by nine, and says why", async () => {
    const receiver = await startReceiver(() => 503);
    const fixture = await createSubscriber(app);
    const { id } = await subscribe(app, fixture.token, receiver.url());
    for (let i = 0; i < 9; i++) await postMessage(app, fixture, `message-${i}`);
    await exhaust(fixture);
    expect(receiver.received).toHaveLength(90);
    expect((await readWebhook(fixture, id)).status).toBe("ACTIVE");
    await postMessage(app, fixture, "message-9");
    await exhaust(fixture);
    expect(await readWebhook(fixture, id)).toMatchObject({
      status: "DISABLED",
      disabledReason:
        "10 deliveries in a row failed, each after its last attempt. The last one: answered 503.",
    });
    expect(receiver.received).toHaveLength(100);
  });

  test("by no number of failures with one arrival between them", async () => {
    const receiver = await startReceiver(({ body }) => (body.includes("good") ? 200 : 503));
    const fixture = await createSubscriber(app);
    const { id } = await subscribe(app, fixture.token, receiver.url());
    for (const round of [1, 2, 3]) {
      for (let i = 0; i < 9; i++) await postMessage(app, fixture, `bad-${round}-${i}`);
      await exhaust(fixture);
      await postMessage(app, fixture, `good-${round}`);
      await deliver();
    }
    expect((await readWebhook(fixture, id)).status).toBe("ACTIVE");
    const statuses = (await readDeliveries(fixture, id)).map(({ status }) => status);
    expect(statuses.filter((status) => status === "FAILED")).toHaveLength(27);
    expect(statuses.filter((status) => status === "DELIVERED")).toHaveLength(3);
  });
});

describe("redeliver", () => {
  const redeliver = ({ token }: Fixture, id: string, deliveryId: string) =>
    callWebhooks(app, "POST", `/${id}/deliveries/${deliveryId}/redeliver`, { token });

  test("sends a delivery that failed once more, under its id and with its bytes, on a schedule of its own", async () => {
    const receiver = await startReceiver(() => 500);
    const fixture = await createSubscriber(app);
    const { id } = await subscribe(app, fixture.token, receiver.url());
    await postMessage(app, fixture);
    await exhaust(fixture);
    const failed = await readOnly(fixture, id);
    const answer = await redeliver(fixture, id, failed.id);
    expect(answer.status).toBe(202);
    expect(answer.body.delivery).toMatchObject({
      id: failed.id,
      status: "PENDING",
      attempts: 0,
      resolvedAt: null,
    });
    await deliver();
    const again = await readOnly(fixture, id);
    expect(again).toMatchObject({ id: failed.id, status: "PENDING", attempts: 1 });
    expect(Date.parse(again.nextAttemptAt) - Date.parse(again.lastAttemptAt)).toBe(60_000);
    receiver.answer = () => 200;
    await passTime(db, fixture, MINUTE);
    await deliver();
    expect((await readOnly(fixture, id)).status).toBe("DELIVERED");
    const sent = receiver.received.map(({ headers, body }) => [headers["webhook-id"], body]);
    expect(new Set(sent.map(String)).size).toBe(1);
    expect(sent).toHaveLength(12);
  });

  test("brings one that waits for its next attempt forward, and sends one that arrived again", async () => {
    const receiver = await startReceiver(() => 500);
    const fixture = await createSubscriber(app);
    const { id } = await subscribe(app, fixture.token, receiver.url());
    await postMessage(app, fixture);
    await deliver();
    const { id: deliveryId } = await readOnly(fixture, id);
    receiver.answer = () => 200;
    for (const sent of [2, 3]) {
      await redeliver(fixture, id, deliveryId);
      await deliver();
      expect(receiver.received).toHaveLength(sent);
      expect((await readOnly(fixture, id)).status).toBe("DELIVERED");
    }
  });
});

test("deliveries are listed by pages, the newest event first, each once", async () => {
  const receiver = await startReceiver();
  const fixture = await createSubscriber(app);
  const { id } = await subscribe(app, fixture.token, receiver.url());
  for (let i = 0; i < 7; i++) await postMessage(app, fixture, `message-${i}`);
  const all = await readDeliveries(fixture, id);
  expect(all.map(({ eventId }) => eventId)).toEqual(["9", "8", "7", "6", "5", "4", "3"]);
  for (const limit of [1, 2, 3, 7, 100]) {
    const seen: any[] = [];
    for (let cursor = ""; ; ) {
      const path = `/${id}/deliveries?limit=${limit}${cursor}`;
      const { body } = await callWebhooks(app, "GET", path, { token: fixture.token });
      seen.push(...body.deliveries);
      if (body.nextCursor === null) break;
      expect(body.deliveries).toHaveLength(limit);
      cursor = `&cursor=${body.nextCursor}`;
    }
    expect(seen).toEqual(all);
  }
});
