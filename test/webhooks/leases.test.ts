import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { readClock } from "../../src/database/clock.ts";
import { appendEvents } from "../../src/events/service.ts";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { addSeconds } from "../../src/lib/time.ts";
import {
  findNextDelivery,
  takeLease,
  type WebhookKey,
  writeAttempt,
} from "../../src/webhooks/dispatch-store.ts";
import type { Fixture } from "../support/fixtures.ts";
import { countWaiting } from "../support/locks.ts";
import { waitUntil } from "../support/process.ts";
import { startService } from "../support/service.ts";
import {
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
const SOMEWHERE = "https://receiver.invalid";

async function createDue(path = "/", fixture?: Fixture): Promise<WebhookKey & { fixture: Fixture }> {
  const owner = fixture ?? (await createSubscriber(app));
  const { id } = await subscribe(app, owner.token, `${SOMEWHERE}${path}`);
  return { accountId: accountKey(owner.account), id, fixture: owner };
}

async function lease({ accountId, id }: WebhookKey): Promise<{ taken: boolean; lease: string }> {
  const now = await readClock(db);
  const lease = newId();
  return { taken: await takeLease(db, { accountId, id, lease }, now, addSeconds(now, 30)), lease };
}

const leaseOf = async ({ id }: WebhookKey) =>
  (await db.selectFrom("webhooks").where("id", "=", id).select("lease").executeTakeFirstOrThrow()).lease;

describe("the lease of a webhook", () => {
  test("is given to one of many at once, and to none while nothing is due", async () => {
    const due = await createDue();
    expect((await lease(due)).taken).toBe(false);
    await postMessage(app, due.fixture);
    const answers = await Promise.all(Array.from({ length: 10 }, () => lease(due)));
    expect(answers.filter(({ taken }) => taken)).toHaveLength(1);
    expect(await leaseOf(due)).toBe(answers.find(({ taken }) => taken)?.lease);
  });

  test("is given for one webhook of a receiver at a time; another account's has nothing to do with it", async () => {
    const first = await createDue("/first");
    const second = await createDue("/second?x=1", first.fixture);
    const foreign = await createDue("/first");
    for (const { fixture } of [first, foreign]) await postMessage(app, fixture);
    const answers = await Promise.all([lease(first), lease(second)]);
    expect(answers.map(({ taken }) => taken).sort()).toEqual([false, true]);
    expect((await lease(foreign)).taken).toBe(true);
  });

  test("of a process that died goes to another when it has expired, and the first sends nothing afterwards", async () => {
    const receiver = await startReceiver();
    const fixture = await createSubscriber(app);
    const { id } = await subscribe(app, fixture.token, receiver.url());
    await postMessage(app, fixture);
    const key = { accountId: accountKey(fixture.account), id };
    const dead = { ...key, ...(await lease(key)) };
    expect(await findNextDelivery(db, dead, false, [], 15)).toBeDefined();
    const dispatcher = openDispatcher(service);
    await dispatcher.sweep();
    await dispatcher.idle();
    expect(receiver.received).toEqual([]);
    await passTime(db, fixture, 16);
    expect(await findNextDelivery(db, dead, false, [], 15)).toBeUndefined();
    await passTime(db, fixture, 15);
    await dispatcher.sweep();
    await dispatcher.idle();
    await deliverAll(db, dispatcher);
    expect(receiver.received).toHaveLength(1);
    expect(await leaseOf(dead)).toBeNull();
  });

  test("is not given back past an event that is about to commit: its delivery goes out too", async () => {
    const receiver = await startReceiver(() => "hang");
    const fixture = await createSubscriber(app);
    const { id } = await subscribe(app, fixture.token, receiver.url());
    const accountId = accountKey(fixture.account);
    await postMessage(app, fixture, "first");
    const dispatcher = openDispatcher(service);
    await dispatcher.sweep();
    await waitUntil(() => receiver.open === 1, "the first is under way");

    receiver.answer = () => 200;
    await db.transaction().execute(async (trx) => {
      const event = { type: "message.received" as const, resourceId: "second", jobId: null, data: {} };
      await appendEvents(trx, accountId, [event], await readClock(trx));
      receiver.letGo();
      await waitUntil(async () => (await countWaiting(db)) > 0, "the lease waits to be given back");
    });
    await dispatcher.idle();
    const { rows } = await sql<{ due: boolean }>`
      select due_at <= now() as due from webhooks where id = ${id}`.execute(db);
    expect(rows).toEqual([{ due: true }]);
    await deliverAll(db, dispatcher);
    expect(receiver.received.map(({ body }) => JSON.parse(body).resourceId)).toEqual(["first", "second"]);
  });
});

test("an attempt's outcome is recorded once: a second record changes nothing", async () => {
  const due = await createDue();
  await postMessage(app, due.fixture);
  const delivery = await db
    .selectFrom("webhook_deliveries")
    .where("webhook_id", "=", due.id)
    .select(["id", "attempts"])
    .executeTakeFirstOrThrow();
  const now = await readClock(db);
  const write = (status: "DELIVERED" | "FAILED") =>
    db.transaction().execute((trx) => {
      const values = { status, dueAt: null, answerStatus: 200, answerError: null };
      return writeAttempt(trx, due.accountId, delivery, values, now);
    });
  const written = await Promise.all([write("DELIVERED"), write("FAILED"), write("DELIVERED")]);
  expect(written.filter((one) => one)).toHaveLength(1);
});

describe("the database refuses", () => {
  test("a second delivery of an event to a webhook, another body, and another account's webhook", async () => {
    const due = await createDue();
    await postMessage(app, due.fixture);
    const foreign = await createDue();
    const insert = (accountId: string, webhookId: string, number: number) =>
      sql`
        insert into webhook_deliveries (account_id, id, webhook_id, event_number, event_type, body, due_at, created_at)
        values (${accountId}, ${newId()}, ${webhookId}, ${number}, 'message.received', '{}', now(), now())`.execute(
        db,
      );
    await expect(insert(due.accountId, due.id, 3)).rejects.toThrow(/unique/);
    await expect(insert(due.accountId, foreign.id, 4)).rejects.toThrow(/foreign key/);
    await expect(
      sql`update webhook_deliveries set body = '{}' where webhook_id = ${due.id}`.execute(db),
    ).rejects.toThrow(/never changed/);
  });

  test("a webhook that is deleted and has a secret, or is not active and due", async () => {
    const due = await createDue();
    for (const change of [
      sql`status = 'DELETED'`,
      sql`status = 'DISABLED'`,
      sql`status = 'DISABLED', due_at = now(), disabled_at = now(), disabled_reason = 'x'`,
      sql`secret = null`,
      sql`old_secret_until = now()`,
      sql`lease = gen_random_uuid()`,
    ]) {
      await expect(sql`update webhooks set ${change} where id = ${due.id}`.execute(db)).rejects.toThrow(
        /check/,
      );
    }
  });
});
