import { randomBytes } from "node:crypto";
import { sql } from "kysely";
import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { keyIdOf } from "../../src/lib/sealed.ts";
import { forgetDeliveries, resealSecrets } from "../../src/webhooks/jobs.ts";
import type { Fixture } from "../support/fixtures.ts";
import { ownerOf } from "../support/owner.ts";
import { startService } from "../support/service.ts";
import {
  callWebhooks,
  createDelivery,
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
const { app, db, config } = service;
const logger = createLogger("silent");

const countDeliveries = async (webhookId: string) =>
  (await db.selectFrom("webhook_deliveries").where("webhook_id", "=", webhookId).select("id").execute())
    .length;
/** Makes the deliveries of a webhook so much older. */
async function age(webhookId: string, days: number): Promise<void> {
  await ownerOf(db)
    .transaction()
    .execute(async (trx) => {
      await sql`alter table webhook_deliveries disable trigger webhook_deliveries_body`.execute(trx);
      await sql`update webhook_deliveries set created_at = created_at - make_interval(days => ${days})
      where webhook_id = ${webhookId}`.execute(trx);
      await sql`alter table webhook_deliveries enable trigger webhook_deliveries_body`.execute(trx);
    });
}
/** Copies a webhook's one delivery, as if so many more had arrived. */
async function multiply(webhookId: string, count: number): Promise<void> {
  await sql`
    insert into webhook_deliveries (account_id, id, webhook_id, event_number, event_type, body, status, created_at,
      resolved_at)
    select account_id, gen_random_uuid(), webhook_id, event_number + n, event_type, body, 'DELIVERED', created_at,
      created_at
    from webhook_deliveries, generate_series(1, ${count}::integer) n where webhook_id = ${webhookId}`.execute(
    db,
  );
}

describe("deliveries", () => {
  test("are kept for 30 days and then forgotten, however many, and no other account's with them", async () => {
    const [old, young] = [await createSubscriber(app), await createSubscriber(app)];
    const { webhookId } = await createDelivery(app, old);
    const { webhookId: kept } = await createDelivery(app, young);
    await multiply(webhookId, 2_500);
    await age(webhookId, 29);
    await age(kept, 29);
    await forgetDeliveries(db);
    expect(await countDeliveries(webhookId)).toBe(2_501);
    await age(webhookId, 2);
    await forgetDeliveries(db);
    expect([await countDeliveries(webhookId), await countDeliveries(kept)]).toEqual([0, 1]);
    expect((await callWebhooks(app, "GET", `/${webhookId}`, { token: old.token })).status).toBe(200);
  });

  test("of a deleted webhook are deleted, more than one batch of them, and then the webhook", async () => {
    const fixture = await createSubscriber(app);
    const { webhookId } = await createDelivery(app, fixture);
    const { webhookId: kept } = await createDelivery(app, await createSubscriber(app));
    await multiply(webhookId, 1_500);
    await callWebhooks(app, "DELETE", `/${webhookId}`, { token: fixture.token });
    await forgetDeliveries(db);
    const rows = await db.selectFrom("webhooks").where("id", "in", [webhookId, kept]).select("id").execute();
    expect([await countDeliveries(webhookId), rows]).toEqual([0, [{ id: kept }]]);
  });
});

describe("after a rotation of SECRETS_KEY", () => {
  const [oldKey] = config.secretsKeys;
  if (oldKey === undefined) throw new TypeError("there is one");
  const newKey = randomBytes(32);
  const both = { ...service, config: { ...config, secretsKeys: [newKey, oldKey] } };
  const only = { ...service, config: { ...config, secretsKeys: [newKey] } };
  const keysOf = async (id: string) => {
    const columns = ["secret_key_id", "old_secret_key_id"] as const;
    return Object.values(
      await db.selectFrom("webhooks").where("id", "=", id).select(columns).executeTakeFirstOrThrow(),
    );
  };

  /** A webhook with two secrets under the old key, and one event waiting. */
  async function prepare(): Promise<{
    fixture: Fixture;
    id: string;
    receiver: Awaited<ReturnType<typeof startReceiver>>;
  }> {
    const receiver = await startReceiver();
    const fixture = await createSubscriber(app);
    const { id } = await subscribe(app, fixture.token, receiver.url());
    await callWebhooks(app, "POST", `/${id}/rotate-secret`, { token: fixture.token });
    await postMessage(app, fixture);
    return { fixture, id, receiver };
  }
  const signatures = (receiver: Awaited<ReturnType<typeof startReceiver>>) =>
    receiver.received.map(({ headers }) => String(headers["webhook-signature"]).split(" ").length);

  test("deliveries go on under both keys, the secrets are sealed again, and then the old key can go", async () => {
    const { fixture, id, receiver } = await prepare();
    await deliverAll(db, openDispatcher(both));
    await resealSecrets(both, logger);
    expect(await keysOf(id)).toEqual([keyIdOf(newKey), keyIdOf(newKey)]);
    await postMessage(app, fixture);
    await deliverAll(db, openDispatcher(only));
    expect(signatures(receiver)).toEqual([2, 2]);
  });

  test("a process that lacks the key sends nothing and costs no attempt; one that has it goes on", async () => {
    const { fixture, id, receiver } = await prepare();
    const lines: string[] = [];
    const log = pino({ base: null }, { write: (line: string) => void lines.push(line) });
    await deliverAll(db, openDispatcher(only));
    await resealSecrets(only, log);
    expect(receiver.received).toEqual([]);
    const { body } = await callWebhooks(app, "GET", `/${id}/deliveries`, { token: fixture.token });
    expect(body.deliveries).toMatchObject([{ status: "PENDING", attempts: 0, lastAttemptAt: null }]);
    expect(body.deliveries[0].lastError).toContain("could not be signed");
    expect(lines.join("")).toContain("SECRETS_KEY lacks the key");
    expect(await keysOf(id)).toEqual([keyIdOf(oldKey), keyIdOf(oldKey)]);
    await passTime(db, fixture, 61);
    await deliverAll(db, openDispatcher(both));
    expect(signatures(receiver)).toEqual([2]);
  });
});
