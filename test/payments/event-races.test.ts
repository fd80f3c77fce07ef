import type { AddressInfo } from "node:net";
import type Stripe from "stripe";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { sweepDuePayments } from "../../src/approvals/jobs.ts";
import { WEBHOOK_PATH } from "../../src/approvals/processor-routes.ts";
import { findLatestPayment } from "../../src/billing/payment-service.ts";
import type { App } from "../../src/http/app.ts";
import { cloneDatabase } from "../support/clones.ts";
import { call } from "../support/fixtures.ts";
import { hiddenValue, open, submit } from "../support/humans.ts";
import { count } from "../support/long.ts";
import { type CardKind, findDisagreements, openStripeRails } from "../support/rails.ts";
import { startService } from "../support/service.ts";
import { confirmNow, createStories, readOutcome, type Stories, type Story } from "../support/stories.ts";

/** How often each race is run: who is first differs from one to the next. */
const TURNS = count(2, 8);
const CONFIRM = "POST /v1/payment_intents/:id/confirm";

const rails = await openStripeRails();
const { stripe } = rails;
const url = await cloneDatabase();
const { app, db, config } = await startService({}, url, rails);
const { app: other } = await startService({}, url, rails);
const deps = { db, config, processor: rails.open(db) };
const quiet = createLogger("silent");

let webhooks: string[] = [];
beforeAll(async () => {
  const listen = async (at: App): Promise<string> => {
    await at.listen({ host: "127.0.0.1", port: 0 });
    return `http://127.0.0.1:${(at.server.address() as AddressInfo).port}${WEBHOOK_PATH}`;
  };
  webhooks = [await listen(app), await listen(other)];
});

afterAll(async () => {
  expect(await findDisagreements(db, rails)).toEqual([]);
});

type Turn = Stories & { story: Story };

async function begin(card: CardKind): Promise<Turn> {
  const stories = await createStories(app, rails.cards[card], 1);
  return { ...stories, story: stories.stories[0] as Story };
}

async function intentOf({ story }: Turn): Promise<string> {
  const payment = await findLatestPayment(db, story.accountId, story.approvalId);
  if (payment?.intentId == null) throw new TypeError("it was confirmed");
  return payment.intentId;
}

/** Sends what Stripe has to say of an intent: all of it at once, twice, to both instances, the newest first. */
async function tell(intentId: string): Promise<void> {
  const about = [...stripe.books.events.values()]
    .map(({ event }) => event)
    .filter((event) => JSON.stringify(event.data.object).includes(intentId))
    .reverse();
  expect(about.length).toBeGreaterThan(0);
  await Promise.all([...about, ...about].flatMap((event) => webhooks.map((to) => sendTo(to, event))));
}

async function sendTo(to: string, event: Stripe.Event): Promise<void> {
  expect((await stripe.deliveries.resend(event, to)).status).toBe(200);
}

/** As if its time had come. */
async function sweep({ story }: Turn): Promise<void> {
  await db
    .updateTable("payments")
    .set({ due_at: new Date(0) })
    .where("account_id", "=", story.accountId)
    .where("status", "not in", ["succeeded", "refused"])
    .execute();
  await sweepDuePayments(deps, quiet);
}

/** The person's window, as they come back from their bank. */
async function comeBack(turn: Turn, intentId: string): Promise<() => Promise<unknown>> {
  const { story, human } = turn;
  const look = `${story.path}/look`;
  const page = await open(app, `${story.path}?payment_intent=${intentId}`, human);
  const form_token = hiddenValue(page, look);
  return () => submit(app, look, { form_token }, human);
}

async function endsOf({ fixture }: Turn): Promise<string[]> {
  const { body } = await call(app, "GET", "/updates?limit=200", { token: fixture.token });
  const events: { type: string; data: { status: string } }[] = body.events;
  return events.filter(({ type }) => type === "approval.confirmed").map(({ data }) => data.status);
}

/** How the intents stand that were made for an approval. */
function intentsOf({ story }: Turn): string[] {
  const all = [...stripe.books.intents.values()].map(({ intent }) => intent);
  return all.filter(({ metadata }) => metadata.approvalId === story.approvalId).map(({ status }) => status);
}

const turns = Array.from({ length: TURNS }, (_, i) => i);

describe("what Stripe tells of, what the page asks for and what the sweep looks for, all at once", () => {
  test("when the bank was passed: paid, booked once, and told once", async () => {
    for (const _ of turns) {
      const turn = await begin("authenticates");
      await confirmNow(deps, turn.story);
      const intentId = await intentOf(turn);
      const back = await comeBack(turn, intentId);
      stripe.answerBank(intentId, true);
      await Promise.all([back(), tell(intentId), sweep(turn), sweep(turn)]);
      expect(await readOutcome(db, turn.story)).toEqual({ approval: "confirmed", payment: "succeeded" });
      expect(await endsOf(turn)).toEqual(["confirmed"]);
    }
  });

  test("when the bank was failed: refused, and open to another card", async () => {
    for (const _ of turns) {
      const turn = await begin("authenticates");
      await confirmNow(deps, turn.story);
      const intentId = await intentOf(turn);
      const back = await comeBack(turn, intentId);
      stripe.answerBank(intentId, false);
      await Promise.all([back(), tell(intentId), sweep(turn)]);
      expect(await readOutcome(db, turn.story)).toEqual({ approval: "pending", payment: "refused" });
      expect(await endsOf(turn)).toEqual([]);
    }
  });

  test("when the person passes the bank and gives up: one outcome, and money only with it", async () => {
    const ends = { confirmed: "succeeded", pending: "refused" } as Record<string, string>;
    for (const _ of turns) {
      const turn = await begin("authenticates");
      await confirmNow(deps, turn.story);
      const intentId = await intentOf(turn);
      const giveUp = `${turn.story.path}/cancel-payment`;
      const form_token = hiddenValue(await open(app, turn.story.path, turn.human), giveUp);
      await Promise.all([
        submit(other, giveUp, { form_token }, turn.human),
        Promise.resolve()
          .then(() => stripe.answerBank(intentId, true))
          // It was given up first.
          .catch(() => {})
          .then(() => tell(intentId)),
      ]);
      await sweep(turn);
      const { approval, payment } = await readOutcome(db, turn.story);
      expect([approval, payment]).toEqual([approval, ends[approval]]);
      expect(stripe.charges().has(intentId)).toBe(approval === "confirmed");
    }
  });

  test("when the bank is passed while giving up is on its way to Stripe: paid, and booked", async () => {
    const turn = await begin("authenticates");
    await confirmNow(deps, turn.story);
    const intentId = await intentOf(turn);
    const giveUp = `${turn.story.path}/cancel-payment`;
    const form_token = hiddenValue(await open(app, turn.story.path, turn.human), giveUp);
    const held = stripe.plan({ on: "POST /v1/payment_intents/:id/cancel", does: "hold", about: intentId });
    const giving = submit(app, giveUp, { form_token }, turn.human);
    await held.reached;
    stripe.answerBank(intentId, true);
    await Promise.all([tell(intentId), sweep(turn)]);
    expect((await readOutcome(db, turn.story)).payment).toBe("action_required");
    held.lift();
    expect((await giving).status).toBe(303);
    expect(await readOutcome(db, turn.story)).toEqual({ approval: "confirmed", payment: "succeeded" });
    expect(await endsOf(turn)).toEqual(["confirmed"]);
  });

  test("while the confirmation itself is still being answered: paid, booked once, and told once", async () => {
    for (const _ of turns) {
      const turn = await begin("pays");
      const held = stripe.plan({ on: CONFIRM, does: "hold", about: turn.story.approvalId });
      const confirming = confirmNow(deps, turn.story);
      await held.reached;
      const intentId = await intentOf(turn);
      await Promise.all([tell(intentId), sweep(turn)]);
      expect((await readOutcome(db, turn.story)).payment).toBe("submitted");
      held.lift();
      await Promise.all([confirming, tell(intentId)]);
      expect(await readOutcome(db, turn.story)).toEqual({ approval: "confirmed", payment: "succeeded" });
      expect(await endsOf(turn)).toEqual(["confirmed"]);
    }
  });
});

describe("an answer that is lost", () => {
  test("is made up for by what Stripe tells, before any sweep", async () => {
    const turn = await begin("loses");
    await expect(confirmNow(deps, turn.story)).rejects.toMatchObject({ type: "StripeConnectionError" });
    expect((await readOutcome(db, turn.story)).payment).toBe("unknown");
    await tell(await intentOf(turn));
    expect(await readOutcome(db, turn.story)).toEqual({ approval: "confirmed", payment: "succeeded" });
  });

  test.for([
    "rate_limit",
    "lock_timeout",
    "unauthorized",
    "error",
    "unavailable",
    "no_error_key",
    "garbled",
  ] as const)(
    "or is no answer, %s, leaves the outcome open whether or not money moved, until it is read",
    async (does) => {
      for (const when of ["before", "after"] as const) {
        const turn = await begin("pays");
        stripe.plan({ on: CONFIRM, does, when, about: turn.story.approvalId });
        await expect(confirmNow(deps, turn.story)).rejects.toThrow();
        expect(await readOutcome(db, turn.story)).toEqual({ approval: "pending", payment: "unknown" });
        const intentId = await intentOf(turn);
        expect(stripe.charges().has(intentId)).toBe(when === "after");
        await sweep(turn);
        await sweep(turn);
        expect(await readOutcome(db, turn.story)).toEqual({ approval: "confirmed", payment: "succeeded" });
        expect(await endsOf(turn)).toEqual(["confirmed"]);
      }
    },
  );

  test("is waited for as long as the bank takes, and booked as it ends", async () => {
    for (const [decline, outcome] of [
      [undefined, { approval: "confirmed", payment: "succeeded" }],
      [
        { code: "card_declined", declineCode: "generic_decline", message: "Your card was declined." },
        { approval: "pending", payment: "refused" },
      ],
    ] as const) {
      const turn = await begin("pays");
      stripe.plan({ on: CONFIRM, does: "processing", about: turn.story.approvalId });
      await confirmNow(deps, turn.story);
      const intentId = await intentOf(turn);
      await Promise.all([sweep(turn), tell(intentId)]);
      expect(await readOutcome(db, turn.story)).toEqual({ approval: "pending", payment: "unknown" });
      stripe.settle(intentId, decline);
      await Promise.all([sweep(turn), tell(intentId)]);
      await sweep(turn);
      expect(await readOutcome(db, turn.story)).toEqual(outcome);
    }
  });

  test("of the making of an intent leaves nothing that could pay, and the attempt goes on", async () => {
    for (const when of ["before", "after"] as const) {
      const turn = await begin("pays");
      const about = turn.story.approvalId;
      stripe.plan({ on: "POST /v1/payment_intents", does: "error", when, about });
      await expect(confirmNow(deps, turn.story)).rejects.toThrow();
      expect(await readOutcome(db, turn.story)).toEqual({ approval: "pending", payment: "created" });
      await sweep(turn);
      expect(await readOutcome(db, turn.story)).toEqual({ approval: "confirmed", payment: "succeeded" });
      expect(intentsOf(turn).filter((status) => status === "succeeded")).toHaveLength(1);
    }
  });

  test("of the making of an intent, whose key has expired since, makes another, and one of the two pays", async () => {
    const turn = await begin("pays");
    const about = turn.story.approvalId;
    stripe.plan({ on: "POST /v1/payment_intents", does: "reset", when: "after", about, times: 2 });
    await expect(confirmNow(deps, turn.story)).rejects.toMatchObject({ type: "StripeConnectionError" });
    stripe.advance(24 * 60 * 60);
    await sweep(turn);
    expect(await readOutcome(db, turn.story)).toEqual({ approval: "confirmed", payment: "succeeded" });
    expect(intentsOf(turn)).toEqual(["requires_confirmation", "succeeded"]);
  });
});

describe("everything that Stripe has ever told", () => {
  test("told again, the other way round, changes nothing", async () => {
    const turn = await begin("pays");
    await confirmNow(deps, turn.story);
    const before = await endsOf(turn);
    const count = () =>
      db
        .selectFrom("ledger_entries")
        .select((select) => select.fn.countAll<number>().as("count"))
        .executeTakeFirstOrThrow();
    const entries = await count();
    for (const { event } of [...stripe.books.events.values()].reverse())
      await sendTo(webhooks[0] ?? "", event);
    expect(await endsOf(turn)).toEqual(before);
    expect(await count()).toEqual(entries);
  });
});
