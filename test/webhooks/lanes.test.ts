import { sql } from "kysely";
import { expect, test } from "vitest";
import { readClock } from "../../src/database/clock.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import { appendEvents } from "../../src/events/service.ts";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { NO_ORIGIN } from "../../src/lib/origin.ts";
import { addByToken } from "../../src/webhooks/by-token-service.ts";
import { createDeliveryClient } from "../../src/webhooks/delivery-client.ts";
import type { Dispatcher } from "../../src/webhooks/dispatch-service.ts";
import { waitUntil } from "../support/process.ts";
import { startService } from "../support/service.ts";
import { FEATURES, openDispatcher, type Receiver, startReceiver, TO_LOOPBACK } from "../support/webhooks.ts";

const service = await startService(TO_LOOPBACK);
const { db } = service;

/** More than are served at once. */
const HANGING = 90;
const FAST_SOCKETS = 160;
const SLOW_SOCKETS = 40;

function openWith(timeout: number): Dispatcher {
  const rules = { privateHosts: ["127.0.0.1"], allowLocalhost: false };
  return openDispatcher(service, createDeliveryClient({ ...rules, maxSockets: 1_000 }, { timeout }));
}

/** So many accounts, each with a webhook at the receiver; written without HTTP, as they are many. */
async function createSubscribers(receiver: Receiver, count: number): Promise<string[]> {
  const now = await readClock(db);
  const made = Array.from({ length: count }, () => {
    const id = `acct-${newId().slice(-12)}`;
    return { id, account_id: accountKey(id), token_id: newId() };
  });
  const accountIds = made.map(({ account_id }) => account_id);
  await sql`
    insert into accounts (account_id, id, name, features, created_at, updated_at)
    select a.account_id, a.id, 'Acme', ${JSON.stringify(FEATURES)}::jsonb, ${now}::timestamptz, ${now}::timestamptz
    from unnest(${accountIds}::uuid[], ${made.map(({ id }) => id)}::text[]) as a (account_id, id)`.execute(
    db,
  );
  await sql`insert into account_heads (account_id) select unnest(${accountIds}::uuid[])`.execute(db);
  await sql`
    insert into tokens (account_id, id, name, digest, preview, scopes, created_at)
    select t.account_id, t.id, 'Agent', decode(repeat('00', 32), 'hex'), 'ot_pat', '{}', ${now}::timestamptz
    from unnest(${accountIds}::uuid[], ${made.map(({ token_id }) => token_id)}::uuid[]) as t (account_id, id)`.execute(
    db,
  );
  for (const { account_id: accountId, token_id: tokenId } of made) {
    const token = { accountId, tokenId, rootTokenId: tokenId, tokenName: "Agent", tokenPreview: "ot_pat" };
    const body = { url: receiver.url(), eventTypes: ["message.received" as const] };
    await addByToken(service, { ...token, scopes: ["messages:read"] }, body, NO_ORIGIN);
  }
  return accountIds;
}

/** Writes events of the account, each with its delivery. */
async function tell(accountId: string, ...resourceIds: string[]): Promise<void> {
  const events = resourceIds.map((resourceId) => {
    return { type: "message.received" as const, resourceId, jobId: null, data: {} };
  });
  await inTransaction(db, async (trx) => appendEvents(trx, accountId, events, await readClock(trx)));
}

async function makeAllDue(): Promise<void> {
  await sql`update webhook_deliveries set due_at = now() where status = 'PENDING'`.execute(db);
  await sql`update webhooks set due_at = now() where status = 'ACTIVE'`.execute(db);
}

test("90 hanging receivers hold 160 sockets until they are known, then 40; other deliveries are sent", async () => {
  const [hanging, healthy] = [await startReceiver(() => "hang"), await startReceiver()];
  for (const accountId of await createSubscribers(hanging, HANGING)) await tell(accountId, "a", "b", "c");

  const first = openWith(300_000);
  for (let sweep = 0; sweep < 3; sweep++) {
    await first.sweep();
    await waitUntil(() => hanging.open === FAST_SOCKETS, "the fast lane is full");
  }
  const stopping = first.stop();
  hanging.letGo(503);
  await stopping;
  expect(hanging.mostOpen).toBe(FAST_SOCKETS);

  // Now each is learnt of: its time runs out.
  await makeAllDue();
  const learning = openWith(100);
  const areKnown = async () => {
    await learning.sweep();
    await learning.idle();
    return (await sql`select from webhooks where slow_since is null`.execute(db)).rows.length === 0;
  };
  await waitUntil(areKnown, "all are in the slow lane");

  await makeAllDue();
  const [mine = ""] = await createSubscribers(healthy, 1);
  hanging.mostOpen = hanging.open;
  const dispatcher = openWith(300_000);
  await dispatcher.sweep();
  await waitUntil(() => hanging.open === SLOW_SOCKETS, "the slow lane is full");
  for (let i = 1; i <= 10; i++) {
    await tell(mine, `mine-${i}`);
    await dispatcher.sweep();
    await waitUntil(() => healthy.received.length === i, "the next of mine has arrived");
    await waitUntil(
      async () =>
        (await sql`select from webhooks where account_id = ${mine} and due_at is null`.execute(db)).rows
          .length === 1,
      "its turn is over",
    );
  }
  expect(hanging.mostOpen).toBe(SLOW_SOCKETS);
}, 120_000);
