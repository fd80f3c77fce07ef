import { describe, expect, test } from "vitest";
import type { ChargeRequest } from "../../src/billing/processor.ts";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { composeRequest } from "../support/charges.ts";
import { createFixture } from "../support/fixtures.ts";
import { openStripeRails } from "../support/rails.ts";
import { startService } from "../support/service.ts";

const CREATE = "POST /v1/payment_intents";
const CONFIRM = "POST /v1/payment_intents/:id/confirm";
const READ = "GET /v1/payment_intents/:id";
const BACK = "https://pay.example.com/approvals/1";

const rails = await openStripeRails();
const { stripe } = rails;
const { app, db } = await startService({}, undefined, rails);
const processor = rails.open(db);

type Asked = ChargeRequest & { cardId: string; approvalId: string };

async function createRequest(paymentMethod = "pm_card_visa"): Promise<Asked> {
  const accountId = accountKey((await createFixture(app, { card: false })).account);
  const card = await processor.attachCard(accountId, paymentMethod);
  if (card === undefined) throw new TypeError(`${paymentMethod} was not taken`);
  const approvalId = newId();
  const metadata = { approvalId, milestoneId: "m1" };
  const charge = { accountId, cardId: card.id, amountCents: 45_000, currency: "usd", metadata };
  return { ...(await composeRequest(db, processor, charge)), cardId: card.id, approvalId };
}

async function prepare(request: ChargeRequest): Promise<string> {
  const prepared = await processor.prepare(request);
  if (prepared.status !== "prepared") throw new TypeError(prepared.status);
  return prepared.intentId;
}

const intentOf = (id: string) => stripe.books.intents.get(id)?.intent;
const charged = () => stripe.charges().size;

describe("an intent at Stripe", () => {
  test("is made unconfirmed, for cards alone, grouped and named so that both sides can find it", async () => {
    const request = await createRequest();
    const before = charged();
    const id = await prepare(request);
    const { approvalId } = request;
    expect(intentOf(id)).toMatchObject({
      status: "requires_confirmation",
      amount: 45_000,
      currency: "usd",
      payment_method: request.cardId,
      payment_method_types: ["card"],
      setup_future_usage: null,
      transfer_group: `milestone:${request.accountId}:m1`,
      metadata: { accountId: request.accountId, approvalId, milestoneId: "m1" },
    });
    expect(charged()).toBe(before);
    expect(await processor.read(id)).toEqual({ status: "unconfirmed" });
    expect(await processor.findIntent(id)).toMatchObject({
      accountId: request.accountId,
      amountCents: 45_000,
    });
  });

  test("is one for one attempt, however often it is asked for", async () => {
    const request = await createRequest();
    const ids = await Promise.all([1, 2, 3].map(() => prepare(request)));
    // Two at once may find the key taken: then there is one more, which is never confirmed.
    expect(await prepare(request)).toBe(ids.sort()[0] ?? "");
    expect(new Set(ids).size).toBe(1);
  });

  test("is not made under a key that holds a failure, another body, or an intent that is over", async () => {
    const taken = { status: "key_taken" };
    const failed = await createRequest();
    stripe.plan({ on: CREATE, does: "error", about: failed.approvalId });
    await expect(prepare(failed)).rejects.toMatchObject({ statusCode: 500 });
    expect(await processor.prepare(failed)).toEqual(taken);
    const made = await createRequest();
    const id = await prepare(made);
    expect(await processor.prepare({ ...(await createRequest()), key: made.key })).toEqual(taken);
    expect(await prepare(made)).toBe(id);
    await processor.cancel(id);
    expect(await processor.prepare(made)).toEqual(taken);
  });

  test("is not believed to be made, when Stripe answers with something else", async () => {
    const request = await createRequest();
    stripe.plan({ on: CREATE, does: "no_error_key", about: request.approvalId });
    await expect(prepare(request)).rejects.toThrow("no payment_intent");
  });

  test("that can never be made is a refusal in words, and no doubt that lasts", async () => {
    const request = await createRequest();
    await processor.detachCard(request.accountId, request.cardId);
    expect(await processor.prepare(request)).toMatchObject({
      status: "refused",
      message: expect.any(String),
    });
  });

  test("that can no longer be confirmed is cancelled, and only then refused", async () => {
    const request = await createRequest();
    const id = await prepare(request);
    await processor.detachCard(request.accountId, request.cardId);
    expect(await processor.execute(id, BACK)).toMatchObject({ status: "refused" });
    expect(intentOf(id)?.status).toBe("canceled");
  });

  test("moves money once, though it is confirmed again", async () => {
    const id = await prepare(await createRequest());
    const before = charged();
    expect(await processor.execute(id, BACK)).toEqual({ status: "succeeded" });
    expect(await processor.execute(id, BACK)).toEqual({ status: "succeeded" });
    expect(charged()).toBe(before + 1);
  });

  test("that the bank declines is refused, with what the person can do", async () => {
    const id = await prepare(await createRequest("pm_card_chargeCustomerFail"));
    const state = await processor.execute(id, BACK);
    expect(state).toMatchObject({ status: "refused", message: "The card was declined." });
    expect(await processor.read(id)).toEqual(state);
  });

  test("that is authenticated leads to the bank and back to us, and says what it said", async () => {
    for (const [passed, end] of [
      [true, { status: "succeeded" }],
      [false, { status: "refused", message: "The bank could not confirm that it was you." }],
    ] as const) {
      const id = await prepare(await createRequest("pm_card_authenticationRequired"));
      const state = await processor.execute(id, BACK);
      if (state.status !== "action_required") throw new TypeError(state.status);
      expect(new URL(state.actionUrl).origin).toBe(stripe.url);
      expect(await processor.read(id)).toMatchObject({ status: "action_required" });
      stripe.answerBank(id, passed);
      expect(await processor.read(id)).toMatchObject(end);
    }
  });

  test("is cancelled while nothing has moved, and tells where it stands when it has", async () => {
    const [waiting, paid] = [await prepare(await createRequest()), await prepare(await createRequest())];
    await processor.execute(paid, BACK);
    expect(await processor.cancel(waiting)).toMatchObject({ status: "refused", code: "canceled" });
    expect(await processor.cancel(waiting)).toMatchObject({ status: "refused", code: "canceled" });
    expect(await processor.cancel(paid)).toEqual({ status: "succeeded" });
  });
});

test("a customer is made under the next key, when the first one only repeats that Stripe had failed", async () => {
  const accountId = accountKey((await createFixture(app, { card: false })).account);
  stripe.plan({ on: "POST /v1/customers", does: "error", about: accountId });
  await expect(processor.attachCard(accountId, "pm_card_visa")).rejects.toThrow("cannot be reached");
  expect(await processor.attachCard(accountId, "pm_card_visa")).toMatchObject({ last4: "4242" });
});

describe("an answer that says nothing certain", () => {
  test.for([
    "rate_limit",
    "lock_timeout",
    "unauthorized",
    "error",
    "unavailable",
    "no_error_key",
    "garbled",
  ] as const)("%s, is thrown and never taken for a refusal, before the effect or after it", async (does) => {
    for (const when of ["before", "after"] as const) {
      const id = await prepare(await createRequest());
      stripe.plan({ on: CONFIRM, does, when, about: id });
      await expect(processor.execute(id, BACK)).rejects.toThrow();
      stripe.plan({ on: READ, does, when, about: id });
      await expect(processor.read(id)).rejects.toThrow();
      expect(await processor.read(id)).toEqual({ status: when === "before" ? "unconfirmed" : "succeeded" });
    }
  });

  test("is the lack of one, though the money has moved", async () => {
    const id = await prepare(await createRequest());
    const lost = stripe.plan({ on: CONFIRM, does: "reset", when: "after", about: id, times: 2 });
    await expect(processor.execute(id, BACK)).rejects.toThrow();
    expect(lost.struck()).toBe(2);
    expect(await processor.read(id)).toEqual({ status: "succeeded" });
  });

  test("is `processing`", async () => {
    const id = await prepare(await createRequest());
    stripe.plan({ on: CONFIRM, does: "processing", about: id });
    expect(await processor.execute(id, BACK)).toEqual({ status: "processing" });
  });
});

test("nothing was asked of Stripe that its documentation does not name", () => {
  expect(stripe.notPlayed).toEqual([]);
});
