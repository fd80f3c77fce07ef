import { describe, expect, test } from "vitest";
import { EVENT_SCOPES } from "../../src/events/schemas.ts";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { expectRefusal } from "../http/expectations.ts";
import { digestRows, endTokens } from "../http/rows.ts";
import { call } from "../support/fixtures.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import {
  callWebhooks,
  createDelivery,
  createSubscriber,
  deliverAll,
  openDispatcher,
  postMessage,
  startReceiver,
  subscribe,
  TO_LOOPBACK,
} from "../support/webhooks.ts";

const service = await startService(TO_LOOPBACK);
const { app, db } = service;

const BODY = { url: "https://receiver.invalid/webhooks", eventTypes: ["message.received"] };
const create = (token: string, body: unknown = BODY) => callWebhooks(app, "POST", "", { token, body });
const tokensUrl = `${PUBLIC_URL}/settings/keys`;
const DISABLED = {
  status: "DISABLED",
  due_at: null,
  disabled_at: new Date(),
  disabled_reason: "answered 410",
} as const;

/** Every call of the webhooks' API, on things of the account's own. */
async function listCalls(fixture: Awaited<ReturnType<typeof createSubscriber>>) {
  const { webhookId, deliveryId } = await createDelivery(app, fixture);
  return [
    ["POST", "", BODY],
    ["GET", ""],
    ["GET", `/${webhookId}`],
    ["GET", `/${webhookId}/deliveries`],
    ["POST", `/${webhookId}/rotate-secret`],
    ["POST", `/${webhookId}/deliveries/${deliveryId}/redeliver`],
    ["DELETE", `/${webhookId}`],
  ] as const;
}

describe("every call about webhooks", () => {
  test("is refused without the scope, then without the feature, and needs no claim", async () => {
    const fixture = await createSubscriber(app);
    const scopeless = await createSubscriber(app, {
      scopes: ["payments:write", "messages:read"],
      features: {},
    });
    const featureless = await createSubscriber(app, { features: { public_api_payments_write: true } });
    for (const [method, path, body] of await listCalls(fixture)) {
      const send = (token: string) => callWebhooks(app, method, path, { token, body });
      expectRefusal(await send(scopeless.token), 403, "FORBIDDEN", {
        requiredScopes: ["webhooks:manage"],
        grantedScopes: ["payments:write", "messages:read"],
        tokensUrl,
      });
      const featureKey = "public_api_webhooks";
      expectRefusal(await send(featureless.token), 403, "FORBIDDEN", { featureKey });
    }
    const unclaimed = await createSubscriber(app, { claimed: false });
    for (const [method, path, body] of await listCalls(unclaimed)) {
      const { status, text } = await callWebhooks(app, method, path, { token: unclaimed.token, body });
      expect(status, text).toBeLessThan(300);
    }
  });

  test("is refused with an Idempotency-Key, and writes nothing: answers that hold secrets are not kept", async () => {
    const fixture = await createSubscriber(app);
    const calls = await listCalls(fixture);
    const before = await digestRows(db);
    const headers = { "idempotency-key": "key-1" };
    for (const [method, path, body] of calls) {
      const answer = await callWebhooks(app, method, path, { token: fixture.token, body, headers });
      expectRefusal(answer, 400, "BAD_REQUEST", { field: "Idempotency-Key" });
    }
    const { tokens: _tokens, ...after } = await digestRows(db);
    const { tokens: _before, ...rest } = before;
    expect(after).toEqual(rest);
  });

  test("stands under the prefix alone", async () => {
    const fixture = await createSubscriber(app);
    for (const [method, path, body] of await listCalls(fixture)) {
      const bare = await call(app, method, `/webhooks${path}`, { token: fixture.token, body });
      expectRefusal(bare, 404, "NOT_FOUND", { resource: "routes" });
    }
  });

  test("answers an unknown webhook or delivery, and another account's, alike", async () => {
    const fixture = await createSubscriber(app);
    const { webhookId } = await createDelivery(app, fixture);
    const foreign = await createDelivery(app, await createSubscriber(app));
    const { token } = fixture;
    for (const id of [newId(), foreign.webhookId, "nonsense", webhookId.toUpperCase()]) {
      for (const [method, path] of [
        ["GET", `/${id}`],
        ["GET", `/${id}/deliveries`],
        ["POST", `/${id}/rotate-secret`],
        ["POST", `/${id}/deliveries/${foreign.deliveryId}/redeliver`],
        ["DELETE", `/${id}`],
      ] as const) {
        const answer = await callWebhooks(app, method, path, { token });
        expectRefusal(answer, 404, "NOT_FOUND", { resource: "webhooks", webhookId: id });
      }
    }
    for (const deliveryId of [newId(), foreign.deliveryId, "nonsense"]) {
      const path = `/${webhookId}/deliveries/${deliveryId}/redeliver`;
      const answer = await callWebhooks(app, "POST", path, { token });
      expectRefusal(answer, 404, "NOT_FOUND", { resource: "deliveries", deliveryId });
    }
  });
});

describe("a token without the scope to read what a webhook is sent", () => {
  test("neither reads its deliveries, nor resends one, nor gets a secret to sign with; it lists and deletes it", async () => {
    const fixture = await createSubscriber(app);
    const { webhookId, deliveryId } = await createDelivery(app, fixture);
    const mint = async (scopes: string[]) =>
      (await call(app, "POST", "/api/public/v1/tokens", { token: fixture.token, body: { scopes } })).body
        .token;
    const narrow = await mint(["webhooks:manage", "payments:read"]);
    const wide = await mint(["webhooks:manage", "messages:write"]);
    const calls = [
      ["GET", `/${webhookId}/deliveries`],
      ["POST", `/${webhookId}/rotate-secret`],
      ["POST", `/${webhookId}/deliveries/${deliveryId}/redeliver`],
    ] as const;
    const { tokens: _before, ...before } = await digestRows(db);
    for (const [method, path] of calls) {
      expectRefusal(await callWebhooks(app, method, path, { token: narrow }), 403, "FORBIDDEN", {
        requiredScopes: ["messages:read"],
        grantedScopes: ["webhooks:manage", "payments:read"],
        tokensUrl,
      });
    }
    const { tokens: _after, ...after } = await digestRows(db);
    expect(after).toEqual(before);
    // Nor does it learn so that one is disabled; and what is not there is 404 to it, as to all.
    await db.updateTable("webhooks").set(DISABLED).where("id", "=", webhookId).execute();
    for (const [method, path] of calls)
      expect((await callWebhooks(app, method, path, { token: narrow })).status).toBe(403);
    const nothing = await callWebhooks(app, "GET", `/${newId()}/deliveries`, { token: narrow });
    expect(nothing.status).toBe(404);
    expect((await callWebhooks(app, "GET", `/${webhookId}/deliveries`, { token: wide })).status).toBe(200);
    expect((await callWebhooks(app, "GET", "", { token: narrow })).body.webhooks).toHaveLength(1);
    expect((await callWebhooks(app, "GET", `/${webhookId}`, { token: narrow })).status).toBe(200);
    expect((await callWebhooks(app, "DELETE", `/${webhookId}`, { token: narrow })).status).toBe(200);
  });
});

describe("POST /webhooks refuses", () => {
  test("a URL that is none, not https, not public or too long, and names the field", async () => {
    const { token } = await createSubscriber(app);
    const urls = [
      "",
      "receiver.invalid",
      "/webhooks",
      "http://receiver.invalid/",
      "ftp://receiver.invalid/",
      "javascript:alert(1)",
      "https://",
      "https://user:password@receiver.invalid/",
      "https://localhost/",
      "https://127.0.0.2/",
      "https://10.1.2.3/",
      "https://169.254.169.254/latest/meta-data/",
      "https://2130706434/",
      "https://0x7f.2/",
      "https://[::1]/",
      "https://[::ffff:10.0.0.1]/",
      "https://[64:ff9b::a00:1]/",
      `https://receiver.invalid/${"x".repeat(2049 - 25)}`,
      "https://receiver.invalid/\u0000",
      17,
      null,
      ["https://receiver.invalid/"],
    ];
    for (const url of urls) {
      const answer = await create(token, { ...BODY, url });
      expectRefusal(answer, 400, "BAD_REQUEST", { field: "url" });
    }
    const longest = `https://receiver.invalid/${"x".repeat(2048 - 25)}`;
    expect((await create(token, { ...BODY, url: longest })).status).toBe(201);
  });

  test("plain http, but for the hosts that the operator named", async () => {
    const { token } = await createSubscriber(app);
    expect((await create(token, { ...BODY, url: "http://127.0.0.1:1/" })).status).toBe(201);
    const strict = await startService({}, service.config.databaseUrl);
    for (const url of ["http://127.0.0.1:1/", "https://127.0.0.1:1/"]) {
      const answer = await callWebhooks(strict.app, "POST", "", { token, body: { ...BODY, url } });
      expectRefusal(answer, 400, "BAD_REQUEST", { field: "url" });
    }
  });

  test("types that are none, that nothing writes, or none at all, and names the field", async () => {
    const { token } = await createSubscriber(app);
    const refused: [unknown, string][] = [
      [[], "eventTypes"],
      [["payment.refused"], "eventTypes.0"],
      [["message.sent"], "eventTypes.0"],
      [["message.received", "*"], "eventTypes.1"],
      [[null], "eventTypes.0"],
      ["message.received", "eventTypes"],
      [null, "eventTypes"],
    ];
    for (const [eventTypes, field] of refused) {
      expectRefusal(await create(token, { ...BODY, eventTypes }), 400, "BAD_REQUEST", { field });
    }
  });

  test("a body that lacks a field, or has one too many", async () => {
    const { token } = await createSubscriber(app);
    for (const [body, field] of [
      [{ url: BODY.url }, "eventTypes"],
      [{ eventTypes: BODY.eventTypes }, "url"],
      [{ ...BODY, secret: "whsec_mine" }, "secret"],
      [[], "body"],
      [null, "body"],
    ] as const) {
      expectRefusal(await create(token, body), 400, "BAD_REQUEST", { field });
    }
  });

  test.each(Object.entries(EVENT_SCOPES))(
    "%s to a token without %s, and takes it from one that may write, too",
    async (type, scope) => {
      const others = ["proposals:read", "messages:read", "payments:read"].filter((other) => other !== scope);
      const poor = await createSubscriber(app, { scopes: ["webhooks:manage", ...others] });
      const eventTypes = [type, type === "message.received" ? "proposal.received" : "message.received"];
      const answer = await create(poor.token, { ...BODY, eventTypes });
      expectRefusal(answer, 403, "FORBIDDEN", {
        requiredScopes: [
          ...new Set(eventTypes.map((each) => EVENT_SCOPES[each as "milestone.status_changed"])),
        ],
        grantedScopes: ["webhooks:manage", ...others],
        tokensUrl,
      });
      const writer = await createSubscriber(app, {
        scopes: ["webhooks:manage", scope.replace("read", "write")],
      });
      expect((await create(writer.token, { ...BODY, eventTypes: [type] })).status).toBe(201);
    },
  );

  test("an eleventh webhook, however many ask at once, until one is deleted", async () => {
    const { token, account } = await createSubscriber(app);
    const answers = await Promise.all(Array.from({ length: 20 }, () => create(token)));
    const made = answers.filter(({ status }) => status === 201);
    expect(made).toHaveLength(10);
    const details = { reason: "webhook_limit_reached", limit: 10 };
    for (const answer of answers.filter(({ status }) => status !== 201))
      expectRefusal(answer, 409, "CONFLICT", details);
    await callWebhooks(app, "DELETE", `/${made[0]?.body.webhook.id}`, { token });
    expect((await create(token)).status).toBe(201);
    expectRefusal(await create(token), 409, "CONFLICT", details);
    const { count } = await db
      .selectFrom("webhooks")
      .where("account_id", "=", accountKey(account))
      .where("status", "=", "ACTIVE")
      .select((select) => select.fn.countAll<number>().as("count"))
      .executeTakeFirstOrThrow();
    expect(count).toBe(10);
  });

  test("in the order of the gates: token, scope, feature, fields, the types' scopes, the limit", async () => {
    const full = await createSubscriber(app, { scopes: ["webhooks:manage", "messages:read"] });
    for (let i = 0; i < 10; i++) await subscribe(app, full.token, BODY.url);
    const bad = { url: "http://10.0.0.1/", eventTypes: ["milestone.status_changed"] };
    const field = await create(full.token, bad);
    expectRefusal(field, 400, "BAD_REQUEST", { field: "url" });
    const scopes = await create(full.token, { ...bad, url: BODY.url });
    expect([scopes.status, scopes.body.details.requiredScopes]).toEqual([403, ["payments:read"]]);
    expect((await create(full.token)).status).toBe(409);
    const off = await createSubscriber(app, { features: {} });
    expect((await create(off.token, bad)).body.details).toEqual({ featureKey: "public_api_webhooks" });
    await endTokens(db, full, "revoked");
    expect((await create(full.token)).status).toBe(401);
  });
});

describe("a webhook that is disabled", () => {
  test("can be read and deleted, and is refused a new secret or a delivery", async () => {
    const receiver = await startReceiver(() => 410);
    const fixture = await createSubscriber(app);
    const { token } = fixture;
    const { id } = await subscribe(app, token, receiver.url());
    await postMessage(app, fixture);
    await deliverAll(db, openDispatcher(service));
    const { body } = await callWebhooks(app, "GET", `/${id}/deliveries`, { token });
    const deliveryId: string = body.deliveries[0].id;
    expect((await callWebhooks(app, "GET", `/${id}`, { token })).body.webhook.status).toBe("DISABLED");
    for (const path of [`/${id}/rotate-secret`, `/${id}/deliveries/${deliveryId}/redeliver`]) {
      const answer = await callWebhooks(app, "POST", path, { token });
      expectRefusal(answer, 409, "CONFLICT", { reason: "webhook_disabled" });
    }
    expect((await callWebhooks(app, "DELETE", `/${id}`, { token })).status).toBe(200);
  });
});

describe("GET /webhooks/{id}/deliveries", () => {
  test("refuses a limit outside 1–100 and a cursor that is not digits", async () => {
    const fixture = await createSubscriber(app);
    const { webhookId } = await createDelivery(app, fixture);
    const { token } = fixture;
    for (const limit of ["0", "101", "-1", "1.5", "", "abc"]) {
      const answer = await callWebhooks(app, "GET", `/${webhookId}/deliveries?limit=${limit}`, { token });
      expectRefusal(answer, 400, "BAD_REQUEST", { field: "limit" });
    }
    for (const cursor of ["", "-1", "abc", "9".repeat(16)]) {
      const answer = await callWebhooks(app, "GET", `/${webhookId}/deliveries?cursor=${cursor}`, { token });
      expectRefusal(answer, 400, "BAD_REQUEST", { field: "cursor" });
    }
  });
});
