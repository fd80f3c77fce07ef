import { sql } from "kysely";
import type Stripe from "stripe";
import { describe, expect, test, vi } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import {
  forgetProcessorEvents,
  receiveProcessorEvent,
  sweepProcessorEvents,
} from "../../src/approvals/processor-event-service.ts";
import { bookReversals } from "../../src/approvals/reversal-booking.ts";
import { findLatestPayment, listReversals } from "../../src/billing/payment-service.ts";
import type { Reversal } from "../../src/billing/processor.ts";
import { newId } from "../../src/lib/ids.ts";
import { call } from "../support/fixtures.ts";
import { open } from "../support/humans.ts";
import { openStripeRails } from "../support/rails.ts";
import { startService } from "../support/service.ts";
import { confirmNow, createStories, readOutcome, type Story } from "../support/stories.ts";
import { signatureHeader } from "../support/stripe/deliveries.ts";

const PATH = "/stripe/webhook";
const rails = await openStripeRails();
const { stripe } = rails;
const { app, db, config } = await startService({}, undefined, rails);
const processor = rails.open(db);
const alerts: Record<string, unknown>[] = [];
const logger = createLogger("error", { write: (line) => void alerts.push(JSON.parse(line)) });
const deps = { db, config, processor, logger };

type Paid = Story & { intentId: string; paymentId: string; cookie: string; token: string };

async function createConfirmed(card: "pays" | "authenticates" = "pays"): Promise<Paid> {
  const { fixture, human, stories } = await createStories(app, rails.cards[card], 1);
  const story = stories[0] as Story;
  await confirmNow(deps, story);
  const payment = await findLatestPayment(db, story.accountId, story.approvalId);
  const { cookie } = human;
  return {
    ...story,
    intentId: payment?.intentId ?? "",
    paymentId: payment?.id ?? "",
    cookie,
    token: fixture.token,
  };
}

/** The events that Stripe would have sent about an intent, the oldest first. */
function eventsOf({ intentId }: Paid): Stripe.Event[] {
  return [...stripe.books.events.values()]
    .map(({ event }) => event)
    .filter(({ data }) => JSON.stringify(data.object).includes(intentId));
}

function send(body: string, signature: string | undefined = signatureHeader(body, stripe.webhookSecret)) {
  const headers = { "content-type": "application/json", ...(signature && { "stripe-signature": signature }) };
  return call(app, "POST", PATH, { body, headers });
}

const deliver = async (events: readonly Stripe.Event[]) => {
  for (const event of events) expect((await send(JSON.stringify(event))).status).toBe(200);
};

const recorded = async () =>
  (await db.selectFrom("processor_events").select("id").execute()).map(({ id }) => id);

async function ledgerOf({ accountId, paymentId }: Paid): Promise<Record<string, number>> {
  const { rows } = await sql<{ account: string; sum: number }>`
    select ledger_account as account, sum(amount_cents)::bigint as sum from ledger_entries
    where account_id = ${accountId} and payment_id = ${paymentId} group by 1`.execute(db);
  return Object.fromEntries(rows.filter(({ sum }) => sum !== 0).map(({ account, sum }) => [account, sum]));
}

async function stateOf({ accountId, approvalId, milestone }: Paid) {
  const [row] = (
    await sql<{ milestone: string; invoice: string }>`
      select m.status as milestone, i.status as invoice from milestones m
      join invoices i on i.account_id = m.account_id and i.milestone_id = m.id and i.approval_id = ${approvalId}
      where m.account_id = ${accountId} and m.id = ${milestone}`.execute(db)
  ).rows;
  return row;
}

async function toldOf({ accountId, milestone }: Paid): Promise<string[]> {
  const { rows } = await sql<{ status: string }>`
    select data->>'status' as status from events where account_id = ${accountId} and resource_id = ${milestone}
    order by number`.execute(db);
  return rows.map(({ status }) => status);
}

describe("a message to the webhook", () => {
  const body = () =>
    JSON.stringify({ id: `evt_${newId()}`, object: "event", type: "ping", data: { object: {} } });

  test("that Stripe signed is recorded, once, however often it comes", async () => {
    const message = body();
    const answers = await Promise.all(Array.from({ length: 5 }, () => send(message)));
    expect(answers.map(({ status }) => status)).toEqual(Array(5).fill(200));
    const { id } = JSON.parse(message);
    expect((await recorded()).filter((one) => one === id)).toEqual([id]);
  });

  test.for([
    ["unsigned", () => undefined],
    ["signed with another secret", (message: string) => signatureHeader(message, "whsec_another")],
    ["signed for another body", () => signatureHeader(body(), stripe.webhookSecret)],
    ["signed in a way of its own", () => "t=1,v0=00"],
    [
      "signed six minutes ago",
      (message: string) =>
        signatureHeader(message, stripe.webhookSecret, Math.floor(Date.now() / 1_000) - 360),
    ],
  ] as const)("that is %s is 400, and leaves no trace", async ([, sign]) => {
    const before = await recorded();
    const message = body();
    const headers = { "content-type": "application/json" };
    const signature = sign(message);
    const answer = await call(app, "POST", PATH, {
      body: message,
      headers: signature === undefined ? headers : { ...headers, "stripe-signature": signature },
    });
    expect([answer.status, answer.body.code, answer.body.details.field]).toEqual([
      400,
      "BAD_REQUEST",
      "stripe-signature",
    ]);
    expect(await recorded()).toEqual(before);
  });

  test("that is signed and no event, or too large, is refused and no fault of ours", async () => {
    for (const odd of ["", "{}", "[]", "null", "not json", '{"id":"evt_1"}', `"${"x".repeat(300_000)}"`]) {
      const { status } = await send(odd);
      expect([odd.slice(0, 20), status < 500 && status >= 400]).toEqual([odd.slice(0, 20), true]);
    }
  });

  test("that is unsigned is logged once and then counted, so that no caller can fill the log", async () => {
    const warned = vi.spyOn(app.log, "warn");
    for (let i = 0; i < 20; i++) await call(app, "POST", PATH, { body: body() });
    expect(warned.mock.calls.length).toBeLessThanOrEqual(1);
    warned.mockRestore();
  });

  test("has no address where the sandbox pays", async () => {
    const { app: other } = await startService();
    expect((await call(other, "POST", PATH, { body: "{}" })).status).toBe(404);
  });
});

describe("what Stripe tells of an intent", () => {
  test("books a payment that waited for the bank, whatever the event itself says", async () => {
    const paid = await createConfirmed("authenticates");
    expect(await readOutcome(db, paid)).toEqual({ approval: "pending", payment: "action_required" });
    const told = eventsOf(paid).find(({ type }) => type === "payment_intent.requires_action");
    const lie = { ...(told as object), id: `evt_${newId()}`, type: "payment_intent.succeeded" };
    await send(JSON.stringify(lie));
    expect(await readOutcome(db, paid)).toEqual({ approval: "pending", payment: "action_required" });
    stripe.answerBank(paid.intentId, true);
    await deliver(eventsOf(paid).slice(-1));
    expect(await readOutcome(db, paid)).toEqual({ approval: "confirmed", payment: "succeeded" });
    expect(await toldOf(paid)).toEqual(["NOT_FUNDED", "ACTIVE_FUNDED"]);
  });

  test("does no harm in any order, twice, or long after", async () => {
    const paid = await createConfirmed("authenticates");
    stripe.answerBank(paid.intentId, true);
    const events = eventsOf(paid);
    expect(events.length).toBeGreaterThan(3);
    for (const order of [events.toReversed(), events, events.toReversed()]) await deliver(order);
    await db.deleteFrom("processor_events").execute();
    await deliver(events);
    expect(await readOutcome(db, paid)).toEqual({ approval: "confirmed", payment: "succeeded" });
    expect(await toldOf(paid)).toEqual(["NOT_FUNDED", "ACTIVE_FUNDED"]);
    expect(await ledgerOf(paid)).toEqual({ processor: 45_000, [`milestone:${paid.milestone}`]: -45_000 });
  });

  test("is taken once it is recorded, though Stripe cannot be asked just then, and is seen to later", async () => {
    const paid = await createConfirmed("authenticates");
    stripe.answerBank(paid.intentId, true);
    stripe.plan({ on: "GET /v1/payment_intents/:id", does: "unavailable", about: paid.intentId });
    const [last] = eventsOf(paid).slice(-1);
    await deliver([last as Stripe.Event]);
    expect((await readOutcome(db, paid)).payment).toBe("unknown");
    await sql`update processor_events set due_at = now() - interval '1 second' where id = ${last?.id}`.execute(
      db,
    );
    await sweepProcessorEvents(deps);
    expect((await readOutcome(db, paid)).payment).toBe("succeeded");
    const row = await db
      .selectFrom("processor_events")
      .where("id", "=", last?.id ?? "")
      .selectAll()
      .executeTakeFirstOrThrow();
    expect([row.attempts, row.due_at, row.handled_at !== null]).toEqual([1, null, true]);
  });

  test("of a payment that is unknown here, and of other services on that account, changes nothing", async () => {
    for (const type of ["payment_intent.succeeded", "charge.dispute.created", "refund.created"]) {
      const object = {
        id: "pi_other",
        object: "payment_intent",
        payment_intent: "pi_other",
        metadata: { accountId: newId() },
      };
      const message = JSON.stringify({ id: `evt_${newId()}`, object: "event", type, data: { object } });
      expect((await send(message)).status).toBe(200);
    }
  });

  test("is forgotten five weeks after it was handled, and not before", async () => {
    const [old, young] = [`evt_${newId()}`, `evt_${newId()}`];
    for (const id of [old, young])
      await receiveProcessorEvent(deps, {
        id,
        type: "ping",
        intentId: null,
        setupId: null,
        sessionId: null,
        sent: null,
        accountId: null,
      });
    await sql`update processor_events set handled_at = now() - interval '36 days' where id = ${old}`.execute(
      db,
    );
    await forgetProcessorEvents(deps);
    const kept = await recorded();
    expect([kept.includes(old), kept.includes(young)]).toEqual([false, true]);
  });
});

describe("money that goes back from Stripe's side", () => {
  const milestoneAccount = ({ milestone }: Paid) => `milestone:${milestone}`;

  test("in full: booked, told to the agent, shown to people, said aloud, once", async () => {
    const paid = await createConfirmed();
    const refund = stripe.refund(paid.intentId);
    alerts.length = 0;
    const events = eventsOf(paid);
    await deliver(events);
    for (const event of events)
      await receiveProcessorEvent(deps, { ...noticeOf(event), id: `again-${event.id}` });
    expect(await ledgerOf(paid)).toEqual({});
    expect(await stateOf(paid)).toEqual({ milestone: "REFUNDED", invoice: "refunded" });
    expect(await toldOf(paid)).toEqual(["NOT_FUNDED", "ACTIVE_FUNDED", "REFUNDED"]);
    expect(await listReversals(db, paid.accountId, [paid.paymentId])).toMatchObject([
      { id: refund.id, kind: "refund", status: "succeeded", takenCents: 45_000, final: true },
    ]);
    const page = await open(app, paid.path, { cookie: paid.cookie });
    expect(page.text).toContain("went back to the card");
    expect(page.text).not.toContain("is held for");
    expect((await open(app, "/billing", { cookie: paid.cookie })).text).toContain("Charged, refunded");
    expect(
      (await call(app, "GET", `/approvals/${paid.approvalId}`, { token: paid.token })).body.approval.status,
    ).toBe("confirmed");
  });

  test("is said aloud in the log, with what is needed to find it", async () => {
    const paid = await createConfirmed();
    const dispute = stripe.dispute(paid.intentId);
    alerts.length = 0;
    for (const event of eventsOf(paid)) await receiveProcessorEvent(deps, noticeOf(event));
    const { accountId, approvalId, paymentId } = paid;
    expect(alerts).toMatchObject([
      {
        alert: "payment_disputed",
        accountId,
        approvalId,
        paymentId,
        reversalId: dispute.id,
        takenCents: 45_000,
      },
    ]);
  });

  test("in part: booked and shown, and the milestone stays funded until all of it has gone", async () => {
    const paid = await createConfirmed();
    stripe.refund(paid.intentId, 20_000);
    await deliver(eventsOf(paid));
    expect(await ledgerOf(paid)).toEqual({ processor: 25_000, [milestoneAccount(paid)]: -25_000 });
    expect(await stateOf(paid)).toEqual({ milestone: "ACTIVE_FUNDED", invoice: "paid" });
    stripe.refund(paid.intentId, 25_000);
    await deliver(eventsOf(paid).slice(-2));
    expect(await ledgerOf(paid)).toEqual({});
    expect(await stateOf(paid)).toEqual({ milestone: "REFUNDED", invoice: "refunded" });
  });

  test("by a refund that fails days later comes back into the books", async () => {
    const paid = await createConfirmed();
    const { id } = stripe.refund(paid.intentId, 20_000);
    await deliver(eventsOf(paid));
    stripe.failRefund(id);
    await deliver(eventsOf(paid).slice(-2));
    expect(await ledgerOf(paid)).toEqual({ processor: 45_000, [milestoneAccount(paid)]: -45_000 });
    expect((await open(app, paid.path, { cookie: paid.cookie })).text).toContain("It has not gone through.");
  });

  test.for([
    ["won", { processor: 45_000 }, { milestone: "ACTIVE_FUNDED", invoice: "paid" }],
    ["lost", {}, { milestone: "REFUNDED", invoice: "refunded" }],
  ] as const)(
    "by a dispute that is %s: rests apart while it is open, in every order of events",
    async ([end, ledger, state]) => {
      for (const order of ["as they came", "backwards"] as const) {
        const paid = await createConfirmed();
        const dispute = stripe.dispute(paid.intentId);
        await deliver(eventsOf(paid));
        expect(await ledgerOf(paid)).toEqual({ disputes: 45_000, [milestoneAccount(paid)]: -45_000 });
        expect(await stateOf(paid)).toEqual({ milestone: "ACTIVE_FUNDED", invoice: "paid" });
        expect((await open(app, paid.path, { cookie: paid.cookie })).text).toContain(
          "holder disputes this payment",
        );
        stripe.closeDispute(dispute.id, end);
        const events = eventsOf(paid);
        await deliver(order === "backwards" ? events.toReversed() : events);
        expect(await ledgerOf(paid)).toEqual(
          "processor" in ledger ? { ...ledger, [milestoneAccount(paid)]: -45_000 } : ledger,
        );
        expect(await stateOf(paid)).toEqual(state);
      }
    },
  );

  test("leaves a milestone paid out that was, ends what is pending on one that was not", async () => {
    const [out, held] = [await createConfirmed(), await createConfirmed()];
    await sql`update milestones set status = 'PAID' where account_id = ${out.accountId} and id = ${out.milestone}`.execute(
      db,
    );
    const pending = newId();
    await sql`
      insert into approvals (account_id, id, type, contract_id, milestone_id, job_id, terms, terms_digest, co_sign,
        token_id, token_name, token_preview, root_token_id, status, created_at, expires_at)
      select account_id, ${pending}, 'milestone_approve', contract_id, milestone_id, job_id, terms, terms_digest, co_sign,
        token_id, token_name, token_preview, root_token_id, 'pending', created_at, expires_at
      from approvals where account_id = ${held.accountId} and id = ${held.approvalId}`.execute(db);
    for (const paid of [out, held]) {
      stripe.refund(paid.intentId);
      await deliver(eventsOf(paid));
    }
    expect(await stateOf(out)).toEqual({ milestone: "PAID", invoice: "refunded" });
    expect(await ledgerOf(out)).toEqual({});
    expect(await toldOf(out)).toEqual(["NOT_FUNDED", "ACTIVE_FUNDED"]);
    const { body } = await call(app, "GET", `/approvals/${pending}`, { token: held.token });
    expect(body.approval).toMatchObject({ status: "expired", result: { reason: "milestone_not_funded" } });
    expect(await toldOf({ ...held, milestone: pending })).toEqual(["expired"]);
  });

  test("waits while another action executes on the milestone, and is booked when that is over", async () => {
    const paid = await createConfirmed();
    await sql`
      insert into executing_milestones (account_id, milestone_id, approval_id, started_at)
      values (${paid.accountId}, ${paid.milestone}, ${paid.approvalId}, now())`.execute(db);
    stripe.refund(paid.intentId);
    await deliver(eventsOf(paid));
    expect(await stateOf(paid)).toEqual({ milestone: "ACTIVE_FUNDED", invoice: "paid" });
    await sql`delete from executing_milestones where account_id = ${paid.accountId}`.execute(db);
    await sql`update processor_events set due_at = now() - interval '1 second' where due_at is not null`.execute(
      db,
    );
    await sweepProcessorEvents(deps);
    expect(await stateOf(paid)).toEqual({ milestone: "REFUNDED", invoice: "refunded" });
    expect(await ledgerOf(paid)).toEqual({});
  });

  test("waits for a payment that is not booked yet", async () => {
    const paid = await createConfirmed("authenticates");
    stripe.answerBank(paid.intentId, true);
    stripe.dispute(paid.intentId);
    await sql`update payments set lease = ${newId()}, leased_until = now() + interval '1 minute' where id = ${paid.paymentId}`.execute(
      db,
    );
    await deliver(eventsOf(paid));
    expect(await listReversals(db, paid.accountId, [paid.paymentId])).toEqual([]);
    await sql`update payments set leased_until = now() - interval '1 second' where id = ${paid.paymentId}`.execute(
      db,
    );
    await sql`update processor_events set due_at = now() - interval '1 second' where due_at is not null`.execute(
      db,
    );
    await sweepProcessorEvents(deps);
    expect(await ledgerOf(paid)).toEqual({ disputes: 45_000, [milestoneAccount(paid)]: -45_000 });
  });

  test("is booked once by many at once, and an old answer does not undo a newer one", async () => {
    const paid = await createConfirmed();
    const payment = await findLatestPayment(db, paid.accountId, paid.approvalId);
    if (payment === undefined) throw new TypeError("it was paid");
    const dispute = stripe.dispute(paid.intentId);
    const [asked, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const seen: Reversal[] = await Array.fromAsync(processor.listReversals({ intentId: paid.intentId }));
    const slow = {
      ...processor,
      async *listReversals() {
        asked.resolve();
        await held.promise;
        yield* seen;
      },
    };
    const stale = bookReversals({ db, config, processor: slow }, payment);
    await asked.promise;
    // The clock's milliseconds tell the two apart.
    await sql`select pg_sleep(0.01)`.execute(db);
    stripe.closeDispute(dispute.id, "won");
    const changes = await Promise.all(
      [1, 2, 3, 4].map(() => bookReversals({ db, config, processor }, payment)),
    );
    expect(changes.flat()).toMatchObject([{ id: dispute.id, status: "won" }]);
    held.resolve();
    expect(await stale).toEqual([]);
    expect(await ledgerOf(paid)).toEqual({ processor: 45_000, [milestoneAccount(paid)]: -45_000 });
  });
});

function noticeOf(event: Stripe.Event) {
  const body = JSON.stringify(event);
  const notice = processor.readEvent?.(body, signatureHeader(body, stripe.webhookSecret));
  if (notice === undefined) throw new TypeError("it was signed");
  return notice;
}

test("nothing was asked of Stripe that its documentation does not name", () => {
  expect(stripe.notPlayed).toEqual([]);
});
