import { randomBytes } from "node:crypto";
import { sql } from "kysely";
import { expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { shortenWaits } from "../../src/app/waits.ts";
import { bookReversals } from "../../src/approvals/reversal-booking.ts";
import { insertProcessorEvent } from "../../src/billing/event-store.ts";
import { findLatestPayment, listReversals } from "../../src/billing/payment-service.ts";
import { insertTopUp } from "../../src/billing/top-up-store.ts";
import { readClock } from "../../src/database/clock.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import { extendOperatorFeed } from "../../src/events/operator-service.ts";
import { KnownCredentials } from "../../src/http/known-credentials.ts";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { addSeconds, DAY_SECONDS, HOUR_SECONDS } from "../../src/lib/time.ts";
import { claimMail, insertMail } from "../../src/mail/store.ts";
import { takeLease } from "../../src/webhooks/dispatch-store.ts";
import { takeOperatorLease } from "../../src/webhooks/operator-store.ts";
import { ownClock } from "../support/clock.ts";
import { asAdmin, cloneDatabase } from "../support/clones.ts";
import { call, createFixture } from "../support/fixtures.ts";
import { openStripeRails } from "../support/rails.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";
import { confirmNow, createStories, type Story } from "../support/stories.ts";
import { createDelivery, createSubscriber, TO_LOOPBACK } from "../support/webhooks.ts";

const url = await cloneDatabase();
const clock = await ownClock(asAdmin(url));
const rails = await openStripeRails();
const { app, db, config } = await startService(TO_LOOPBACK, url, rails);
const deps = { db, config, processor: rails.open(db), logger: createLogger("silent") };

/** Columns of this name that hold a date of the contract, not a wait. */
const DATES = ["milestones.due_at"];

/** How many seconds each lease and each wait of the database lasts yet, at most; null: there is none. */
async function readWaits(): Promise<Record<string, number | null>> {
  const { rows } = await sql<{ table: string; column: string }>`
    select table_name as table, column_name as column from information_schema.columns
    where table_schema = 'public' and column_name in ('due_at', 'leased_until')`.execute(db);
  const waits: Record<string, number | null> = {};
  for (const { table, column } of rows) {
    if (DATES.includes(`${table}.${column}`)) continue;
    const { rows: longest } = await sql<{ seconds: number | null }>`
      select ceil(extract(epoch from max(${sql.ref(column)}) - now()))::float8 as seconds
      from ${sql.table(table)}`.execute(db);
    waits[`${table}.${column}`] = longest[0]?.seconds ?? null;
  }
  return waits;
}

test("after the database's clock was set back, no lease and no wait lasts longer than its kind", async () => {
  await clock.set(0);
  const { stories } = await createStories(app, rails.cards.pays, 1);
  const held = new Error("the process ends here");
  const boundaries = (boundary: string) => {
    if (boundary === "call-prepare") throw held;
  };
  await confirmNow({ ...deps, boundaries }, stories[0] as Story).catch(() => {});
  await sql`update payments set lease = ${newId()}, leased_until = now() + interval '40 s', due_at = now() + interval '40 s'
    where due_at is not null`.execute(db);
  const subscriber = await createSubscriber(app);
  const { webhookId: id } = await createDelivery(app, subscriber);
  await call(app, "PUT", "/api/operator/v1/webhook", {
    token: OPERATOR_KEY,
    body: { url: "https://127.0.0.1:1/" },
  });
  await createFixture(app);
  await extendOperatorFeed(db);
  const now = await readClock(db);
  const until = addSeconds(now, 30);
  await takeLease(db, { accountId: accountKey(subscriber.account), id, lease: newId() }, now, until);
  await takeOperatorLease(db, newId(), now, until);
  const letter = { id: newId(), recipient: "ada@example.com", subject: "s", body: "b", urgent: false };
  await inTransaction(db, (trx) =>
    insertMail(trx, { ...letter, giveUpAt: addSeconds(now, DAY_SECONDS) }, now),
  );
  await claimMail(db, { leaseSeconds: 120, urgentOnly: false });
  const none = { intentId: null, setupId: null, sessionId: null, sent: null, accountId: null };
  const event = { id: newId(), type: "x", ...none };
  await insertProcessorEvent(db, event, { now, dueAt: addSeconds(now, 60) });

  const topUp = {
    accountId: accountKey(subscriber.account),
    id: newId(),
    amountCents: 2_000,
    currency: "usd",
    askedBy: { kind: "lost" },
    processor: "stripe_test",
    expiresAt: addSeconds(now, DAY_SECONDS),
  } as const;
  await inTransaction(db, (trx) => insertTopUp(trx, topUp, now));

  await clock.set(-3 * DAY_SECONDS);
  const before = await readWaits();
  const short = Object.entries(before).filter(([, seconds]) => seconds === null || seconds < DAY_SECONDS);
  expect(short).toEqual([]);
  await shortenWaits(deps);
  const after = await readWaits();
  expect(Object.keys(after).sort()).toEqual(Object.keys(before).sort());
  const longest: Record<string, number> = {
    "payments.due_at": 40,
    "payments.leased_until": 40,
    "top_ups.due_at": DAY_SECONDS,
    "processor_events.due_at": HOUR_SECONDS,
    "mails.due_at": HOUR_SECONDS,
    "mails.leased_until": 120,
    "webhook_deliveries.due_at": 60,
    "webhooks.due_at": 60,
    "webhooks.leased_until": 30,
    "operator_webhook.due_at": 0,
    "operator_webhook.leased_until": 30,
  };
  for (const [column, seconds] of Object.entries(after))
    expect(seconds, column).toBeLessThanOrEqual(longest[column] ?? 0);
});

test("a refund that is read after the database's clock was set back replaces what was read before", async () => {
  await clock.set(0);
  const { stories } = await createStories(app, rails.cards.pays, 1);
  const story = stories[0] as Story;
  await confirmNow(deps, story);
  const payment = await findLatestPayment(db, story.accountId, story.approvalId);
  if (payment === undefined) throw new TypeError("nothing was paid");
  const intentId = payment.intentId ?? "";
  const dispute = rails.stripe.dispute(intentId);
  await bookReversals(deps, payment);
  await clock.set(-HOUR_SECONDS);
  rails.stripe.closeDispute(dispute.id, "lost");
  await bookReversals(deps, payment);
  expect(await listReversals(db, story.accountId, [payment.id])).toMatchObject([{ final: true }]);
});

test("a credential that is accepted after the database's clock was set back is known to the other processes", async () => {
  await clock.set(0);
  const [here, there] = [new KnownCredentials(), new KnownCredentials()];
  const [first, second] = [randomBytes(32), randomBytes(32)];
  here.accept(first);
  await here.share(db);
  await there.share(db);
  expect(there.has(first)).toBe(true);
  await clock.set(-HOUR_SECONDS);
  here.accept(second);
  await here.share(db);
  await there.share(db);
  expect(there.has(second)).toBe(true);
});
