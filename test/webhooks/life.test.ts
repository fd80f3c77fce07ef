import { createHmac } from "node:crypto";
import { Webhook } from "standardwebhooks";
import { describe, expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { call, fund, operate } from "../support/fixtures.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import {
  callWebhooks,
  createSubscriber,
  deliverAll,
  openDispatcher,
  passTime,
  postMessage,
  type Received,
  startReceiver,
  subscribe,
  TO_LOOPBACK,
} from "../support/webhooks.ts";

const { app, db, config } = await startService(TO_LOOPBACK);
const dispatcher = openDispatcher({ db, config });

const HOUR = 60 * 60;
const KEYS = ["id", "url", "eventTypes", "status", "createdAt", "disabledAt", "disabledReason"];
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Whether a delivery is signed with the secret, in each of the two families, by code that is not ours. */
function verify({ headers, body }: Received, secret: string): { ours: boolean; standard: boolean } {
  const [time = "", ...signatures] = String(headers["x-opentrain-signature"]).split(",");
  const signed = createHmac("sha256", secret)
    .update(`${time.slice(2)}.${body}`)
    .digest("hex");
  let standard = true;
  try {
    new Webhook(secret).verify(body, headers as Record<string, string>);
  } catch {
    standard = false;
  }
  return { ours: /^t=\d+$/.test(time) && signatures.includes(`v1=${signed}`), standard };
}
const BOTH = { ours: true, standard: true };
const NEITHER = { ours: false, standard: false };

describe("a webhook", () => {
  test("is made in exactly the contract's keys, with a secret that is shown this once", async () => {
    const { token } = await createSubscriber(app);
    const body = { url: "https://receiver.invalid/hooks?a=1", eventTypes: ["approval.confirmed"] };
    const made = await callWebhooks(app, "POST", "", { token, body });
    expect(made.status).toBe(201);
    expect(Object.keys(made.body)).toEqual(["webhook", "secret", "message"]);
    expect(Object.keys(made.body.webhook)).toEqual(KEYS);
    expect(made.body.webhook).toMatchObject({
      id: expect.stringMatching(UUID),
      ...body,
      status: "ACTIVE",
      disabledAt: null,
      disabledReason: null,
    });
    expect(made.body.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    const { id } = made.body.webhook;
    expect((await callWebhooks(app, "GET", `/${id}`, { token })).body).toEqual({
      webhook: made.body.webhook,
    });
    expect((await callWebhooks(app, "GET", "", { token })).body).toEqual({ webhooks: [made.body.webhook] });
  });

  test("takes a type that is named twice once", async () => {
    const { token } = await createSubscriber(app);
    const eventTypes = ["message.received", "approval.confirmed", "message.received"];
    const body = { url: "https://receiver.invalid/", eventTypes };
    const made = await callWebhooks(app, "POST", "", { token, body });
    expect(made.body.webhook.eventTypes).toEqual(["message.received", "approval.confirmed"]);
  });

  test("is stored without its secret in clear", async () => {
    const { token } = await createSubscriber(app);
    const { id, secret } = await subscribe(app, token, "https://receiver.invalid/");
    const row = await db.selectFrom("webhooks").where("id", "=", id).selectAll().executeTakeFirstOrThrow();
    const stored = [JSON.stringify(row), row.secret?.toString("latin1")].join();
    expect(stored).not.toContain(secret);
    expect(stored).not.toContain(Buffer.from(secret.slice("whsec_".length), "base64").toString("latin1"));
  });

  test("is sent each event of its types from then on, and no other, in the bytes of the feed", async () => {
    const receiver = await startReceiver();
    const fixture = await createSubscriber(app);
    await postMessage(app, fixture, "before");
    const { id } = await subscribe(app, fixture.token, receiver.url("/in?key=1"));
    const data = { zebra: 'é\u2028\\"', a: [1, 2.5, null], "long key": { nested: true } };
    const event = { type: "message.received", resourceId: "message-2", jobId: "job-2", data };
    await operate(app, "POST", `/accounts/${fixture.account}/events`, event);
    const proposal = { type: "proposal.received", resourceId: "proposal-1" };
    await operate(app, "POST", `/accounts/${fixture.account}/events`, proposal);
    await deliverAll(db, dispatcher);

    const [request, ...others] = receiver.received;
    expect(others).toEqual([]);
    expect(request?.path).toBe("/in?key=1");
    const feed = await call(app, "GET", "/updates?cursor=3&limit=1", { token: fixture.token });
    expect(feed.text).toContain(request?.body);
    expect(JSON.parse(request?.body ?? "")).toEqual(feed.body.events[0]);
    const { body } = await callWebhooks(app, "GET", `/${id}/deliveries`, { token: fixture.token });
    expect(body).toEqual({
      deliveries: [expect.objectContaining({ status: "DELIVERED" })],
      nextCursor: null,
    });
    expect(request?.headers).toMatchObject({
      "content-type": "application/json",
      "user-agent": "OpenTrain-Webhooks/1.0",
      "x-opentrain-event": "message.received",
      "x-opentrain-delivery": body.deliveries[0].id,
      "webhook-id": body.deliveries[0].id,
    });
  });

  test("is told of what a person decides, in the transaction of the decision", async () => {
    const receiver = await startReceiver();
    const fixture = await createSubscriber(app);
    const types = ["approval.confirmed", "milestone.status_changed"];
    await subscribe(app, fixture.token, receiver.url(), types);
    const { approval } = (await fund(app, fixture.token, fixture.milestone)).body;
    await operate(app, "POST", `/accounts/${fixture.account}/milestones/${fixture.milestone}/cancel`);
    await deliverAll(db, dispatcher);
    const told = receiver.received.map(({ body }) => JSON.parse(body));
    expect(told.map(({ type, data }) => [type, data.status]).sort()).toEqual([
      ["approval.confirmed", "expired"],
      ["milestone.status_changed", "CANCELLED"],
    ]);
    expect(told.find(({ type }) => type === "approval.confirmed").data.approvalId).toBe(approval.id);
  });

  test("gets one delivery for each event that it wants, as do its siblings", async () => {
    const receiver = await startReceiver();
    const fixture = await createSubscriber(app);
    for (const path of ["/a", "/b", "/c"]) await subscribe(app, fixture.token, receiver.url(path));
    const posted = Array.from({ length: 5 }, (_, i) => `message-${i}`);
    await Promise.all(posted.map((id) => postMessage(app, fixture, id)));
    await deliverAll(db, dispatcher);
    const seen = receiver.received.map(({ path, body }) => `${path} ${JSON.parse(body).resourceId}`);
    expect(seen.sort()).toEqual(["/a", "/b", "/c"].flatMap((path) => posted.map((id) => `${path} ${id}`)));
  });

  test("signs each delivery in both families, as code that is not ours verifies", async () => {
    const receiver = await startReceiver();
    const fixture = await createSubscriber(app);
    const { secret } = await subscribe(app, fixture.token, receiver.url());
    const other = await subscribe(app, fixture.token, "https://receiver.invalid/");
    await postMessage(app, fixture);
    await deliverAll(db, dispatcher);
    const [request] = receiver.received;
    if (request === undefined) throw new TypeError("one was sent");
    expect(verify(request, secret)).toEqual(BOTH);
    expect(verify(request, other.secret)).toEqual(NEITHER);
    expect(verify({ ...request, body: `${request.body} ` }, secret)).toEqual(NEITHER);
  });

  test("that is deleted answers as it was, and is gone with all that was to be sent", async () => {
    const receiver = await startReceiver();
    const fixture = await createSubscriber(app);
    const { token } = fixture;
    const { id } = await subscribe(app, token, receiver.url());
    await postMessage(app, fixture);
    const before = (await callWebhooks(app, "GET", `/${id}`, { token })).body;
    const deleted = await callWebhooks(app, "DELETE", `/${id}`, { token });
    expect([deleted.status, deleted.body]).toEqual([200, { ...before, deleted: true }]);
    for (const path of [`/${id}`, `/${id}/deliveries`])
      expect((await callWebhooks(app, "GET", path, { token })).status).toBe(404);
    expect((await callWebhooks(app, "GET", "", { token })).body).toEqual({ webhooks: [] });
    expect((await callWebhooks(app, "DELETE", `/${id}`, { token })).status).toBe(404);
    await postMessage(app, fixture);
    await deliverAll(db, dispatcher);
    expect(receiver.received).toEqual([]);
    const row = await db.selectFrom("webhooks").where("id", "=", id).selectAll().executeTakeFirstOrThrow();
    expect([row.secret, row.old_secret, row.due_at]).toEqual([null, null, null]);
  });
});

describe("a rotated secret", () => {
  test("signs at once, and the old one beside it for 24 hours", async () => {
    const receiver = await startReceiver();
    const fixture = await createSubscriber(app);
    const { id, secret: old } = await subscribe(app, fixture.token, receiver.url());
    const rotated = await callWebhooks(app, "POST", `/${id}/rotate-secret`, { token: fixture.token });
    expect(rotated.status).toBe(200);
    expect(Object.keys(rotated.body)).toEqual(["webhook", "secret"]);
    const fresh: string = rotated.body.secret;
    expect(fresh).not.toBe(old);

    const sendOne = async (): Promise<Received> => {
      await postMessage(app, fixture);
      await deliverAll(db, dispatcher);
      const request = receiver.received.at(-1);
      if (request === undefined) throw new TypeError("one was sent");
      return request;
    };
    const during = await sendOne();
    expect([verify(during, fresh), verify(during, old)]).toEqual([BOTH, BOTH]);
    await passTime(db, fixture, 24 * HOUR - 60);
    const late = await sendOne();
    expect([verify(late, fresh), verify(late, old)]).toEqual([BOTH, BOTH]);
    await passTime(db, fixture, 61);
    const after = await sendOne();
    expect([verify(after, fresh), verify(after, old)]).toEqual([BOTH, NEITHER]);
  });

  test("rotated again within them ends the oldest at once", async () => {
    const receiver = await startReceiver();
    const fixture = await createSubscriber(app);
    const { token } = fixture;
    const { id, secret: first } = await subscribe(app, token, receiver.url());
    const rotate = async () =>
      (await callWebhooks(app, "POST", `/${id}/rotate-secret`, { token })).body.secret as string;
    const [second, third] = [await rotate(), await rotate()];
    await postMessage(app, fixture);
    await deliverAll(db, dispatcher);
    const [request] = receiver.received;
    if (request === undefined) throw new TypeError("one was sent");
    expect([first, second, third].map((secret) => verify(request, secret))).toEqual([NEITHER, BOTH, BOTH]);
  });
});

describe("a webhook outlives", () => {
  test("the token that made it: it goes on being sent, and other tokens can read it", async () => {
    const receiver = await startReceiver();
    const fixture = await createSubscriber(app);
    const { id } = await subscribe(app, fixture.token, receiver.url());
    await db
      .updateTable("tokens")
      .set({ revoked_at: new Date() })
      .where("account_id", "=", accountKey(fixture.account))
      .execute();
    await postMessage(app, fixture);
    await deliverAll(db, dispatcher);
    expect(receiver.received).toHaveLength(1);
    const minted = { name: "Another", scopes: ["webhooks:manage"] };
    const { token } = await operate(app, "POST", `/accounts/${fixture.account}/tokens`, minted);
    expect((await callWebhooks(app, "GET", `/${id}`, { token })).status).toBe(200);
  });

  test("the account's feature: nothing is sent while it is off, and what waited goes out when it is back", async () => {
    const receiver = await startReceiver();
    const fixture = await createSubscriber(app);
    const setFeature = (on: boolean) =>
      operate(app, "PUT", `/accounts/${fixture.account}`, { features: { public_api_webhooks: on } });
    const { id } = await subscribe(app, fixture.token, receiver.url());
    await postMessage(app, fixture, "waits");
    await setFeature(false);
    await postMessage(app, fixture, "is not for it");
    await deliverAll(db, dispatcher);
    expect(receiver.received).toEqual([]);
    expect((await callWebhooks(app, "GET", `/${id}`, { token: fixture.token })).body.details).toEqual({
      featureKey: "public_api_webhooks",
    });
    await setFeature(true);
    await deliverAll(db, dispatcher);
    expect(receiver.received.map(({ body }) => JSON.parse(body).resourceId)).toEqual(["waits"]);
  });
});

test("the links of a refusal lead to the service's own pages", async () => {
  const { token } = await createSubscriber(app, { scopes: ["webhooks:manage"] });
  const body = { url: "https://receiver.invalid/", eventTypes: ["message.received"] };
  const { details } = (await callWebhooks(app, "POST", "", { token, body })).body;
  expect(details.tokensUrl).toBe(`${PUBLIC_URL}/settings/keys`);
});
