import { randomUUID } from "node:crypto";
import Stripe from "stripe";
import { afterAll, describe, expect, test } from "vitest";
import { startFakeStripe } from "../support/stripe/fake.ts";

/**
 * What is expected of Stripe, by the tests that use the counterpart in `test/support/stripe`: asked of it, and of
 * Stripe's own test mode when there is a key to it, so that the one is held to the other.
 */

const fake = await startFakeStripe();
afterAll(async () => {
  await fake.close();
  expect(fake.notPlayed).toEqual([]);
});

const testKey = process.env.STRIPE_TEST_SECRET_KEY;
if (testKey === undefined) {
  console.warn(
    "Skipped: the expectations of Stripe's real test mode. They run with a key in STRIPE_TEST_SECRET_KEY.",
  );
} else if (!/^[sr]k_test_/.test(testKey)) {
  throw new Error(
    "STRIPE_TEST_SECRET_KEY must be a key of test mode, which begins with sk_test_ or rk_test_",
  );
}

type Side = { side: string; key: string | undefined; options: Stripe.StripeConfig };

const SIDES: Side[] = [
  { side: "the counterpart", key: fake.secretKey, options: { ...fake.at, maxNetworkRetries: 0 } },
  { side: "Stripe's test mode", key: testKey, options: { maxNetworkRetries: 2 } },
];

/** How a call was refused; fails when it was not. */
async function refusal(call: Promise<unknown>): Promise<Stripe.errors.StripeError> {
  const done = await call.catch((error: unknown) => error);
  if (done instanceof Stripe.errors.StripeError) return done;
  throw new Error(`it was not refused: ${JSON.stringify(done)}`);
}

const USD = { amount: 45_000, currency: "usd" };
const RETURN = { return_url: "https://example.com/back" };

describe.each(SIDES)("$side", ({ key, options }) => {
  if (key === undefined) {
    test.skip("is asked when there is a key in STRIPE_TEST_SECRET_KEY", () => {});
    return;
  }
  const client = new Stripe(key, options);

  async function createPayer(card = "pm_card_visa"): Promise<{ customer: string; payment_method: string }> {
    const { id: customer } = await client.customers.create({ metadata: { of: "countersign's tests" } });
    const { id } = await client.paymentMethods.attach(card, { customer });
    return { customer, payment_method: id };
  }

  const createIntent = async (card?: string) =>
    client.paymentIntents.create({ ...USD, ...(await createPayer(card)) });

  const confirm = (id: string, more: Stripe.PaymentIntentConfirmParams = {}) =>
    client.paymentIntents.confirm(id, { ...RETURN, ...more });

  describe("a customer's card", () => {
    test("is made of a test method, attached, listed, and detached for good", async () => {
      const { customer, payment_method: id } = await createPayer();
      const method = await client.paymentMethods.retrieve(id);
      expect(method).toMatchObject({ object: "payment_method", customer, type: "card", livemode: false });
      expect(method.card).toMatchObject({ brand: "visa", last4: "4242", country: "US" });
      const listed = await client.customers.listPaymentMethods(customer);
      expect(listed.data.map((one) => one.id)).toEqual([id]);
      expect(await client.paymentMethods.detach(id)).toMatchObject({ id, customer: null });
      expect((await client.customers.listPaymentMethods(customer)).data).toEqual([]);
      for (const again of [
        client.paymentMethods.attach(id, { customer }),
        client.paymentMethods.detach(id),
        client.paymentIntents.create({ ...USD, customer, payment_method: id }),
      ]) {
        expect(await refusal(again)).toMatchObject({ statusCode: 400, type: "StripeInvalidRequestError" });
      }
    });

    test("cannot be attached when the bank declines it, unless it declines charges alone", async () => {
      const { id: customer } = await client.customers.create();
      for (const [card, decline_code] of [
        ["pm_card_chargeDeclined", "generic_decline"],
        ["pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"],
      ] as const) {
        expect(await refusal(client.paymentMethods.attach(card, { customer }))).toMatchObject({
          statusCode: 402,
          type: "StripeCardError",
          code: "card_declined",
          decline_code,
        });
      }
      await client.paymentMethods.attach("pm_card_chargeCustomerFail", { customer });
    });

    test("pays for its customer alone", async () => {
      const { payment_method } = await createPayer();
      const { customer } = await createPayer();
      for (const owner of [{}, { customer }]) {
        const error = await refusal(client.paymentIntents.create({ ...USD, ...owner, payment_method }));
        expect(error).toMatchObject({ statusCode: 400, type: "StripeInvalidRequestError" });
      }
    });
  });

  describe("a payment intent", () => {
    test("moves nothing until it is confirmed, then has one charge", async () => {
      const { customer, payment_method } = await createPayer();
      const made = await client.paymentIntents.create({
        ...USD,
        customer,
        payment_method,
        allowed_payment_method_types: ["card"],
        transfer_group: "approval-1",
        description: "Milestone m1",
        metadata: { approvalId: "approval-1" },
      });
      expect(made).toMatchObject({
        object: "payment_intent",
        status: "requires_confirmation",
        amount: 45_000,
        amount_received: 0,
        currency: "usd",
        customer,
        payment_method,
        latest_charge: null,
        next_action: null,
        last_payment_error: null,
        transfer_group: "approval-1",
        metadata: { approvalId: "approval-1" },
        payment_method_types: ["card"],
        livemode: false,
      });
      expect((await client.charges.list({ payment_intent: made.id })).data).toEqual([]);
      const paid = await confirm(made.id);
      expect(paid).toMatchObject({ id: made.id, status: "succeeded", amount_received: 45_000 });
      const { data: charges } = await client.charges.list({ payment_intent: made.id });
      expect(charges).toMatchObject([
        {
          id: paid.latest_charge,
          object: "charge",
          amount: 45_000,
          currency: "usd",
          paid: true,
          captured: true,
          status: "succeeded",
          customer,
          payment_method,
          payment_intent: made.id,
          metadata: { approvalId: "approval-1" },
          transfer_group: "approval-1",
          refunded: false,
          disputed: false,
        },
      ]);
    });

    test("waits for a payment method when it was made without one", async () => {
      const made = await client.paymentIntents.create(USD);
      expect(made).toMatchObject({ status: "requires_payment_method", payment_method: null });
      expect(await refusal(confirm(made.id))).toMatchObject({
        statusCode: 400,
        code: "payment_intent_unexpected_state",
      });
      expect(await confirm(made.id, { payment_method: "pm_card_visa" })).toMatchObject({
        status: "succeeded",
      });
    });

    test("that has succeeded is neither confirmed again nor cancelled", async () => {
      const { id } = await createIntent();
      await confirm(id);
      for (const call of [confirm(id), client.paymentIntents.cancel(id)]) {
        const error = await refusal(call);
        expect(error).toMatchObject({
          statusCode: 400,
          type: "StripeInvalidRequestError",
          code: "payment_intent_unexpected_state",
        });
        expect(error.payment_intent).toMatchObject({ id, status: "succeeded" });
      }
    });

    test("that is cancelled can never be confirmed, nor cancelled again", async () => {
      const { id } = await createIntent();
      const cancelled = await client.paymentIntents.cancel(id, { cancellation_reason: "abandoned" });
      expect(cancelled).toMatchObject({ status: "canceled", cancellation_reason: "abandoned" });
      expect(cancelled.canceled_at).toBeTypeOf("number");
      for (const call of [confirm(id), client.paymentIntents.cancel(id)]) {
        expect(await refusal(call)).toMatchObject({
          statusCode: 400,
          code: "payment_intent_unexpected_state",
        });
      }
      expect((await client.charges.list({ payment_intent: id })).data).toEqual([]);
    });

    test("that the bank declines needs another payment method, and can then succeed", async () => {
      const { id, customer } = await createIntent("pm_card_chargeCustomerFail");
      const error = await refusal(confirm(id));
      expect(error).toMatchObject({
        statusCode: 402,
        type: "StripeCardError",
        code: "card_declined",
        decline_code: "generic_decline",
      });
      expect(error.payment_intent).toMatchObject({ id, status: "requires_payment_method" });
      const read = await client.paymentIntents.retrieve(id);
      expect(read).toMatchObject({
        status: "requires_payment_method",
        payment_method: null,
        amount_received: 0,
        last_payment_error: { type: "card_error", code: "card_declined", decline_code: "generic_decline" },
      });
      const { data: charges } = await client.charges.list({ payment_intent: id });
      expect(charges).toMatchObject([{ id: read.latest_charge, status: "failed", paid: false }]);
      const another = await client.paymentMethods.attach("pm_card_visa", { customer: String(customer) });
      expect(await confirm(id, { payment_method: another.id })).toMatchObject({
        status: "succeeded",
        last_payment_error: null,
      });
    });

    test("that the bank wants to see the person for is a redirect, and can be cancelled meanwhile", async () => {
      const { id } = await createIntent("pm_card_authenticationRequired");
      const asked = await confirm(id);
      expect(asked).toMatchObject({
        status: "requires_action",
        next_action: { type: "redirect_to_url", redirect_to_url: RETURN },
      });
      expect(URL.canParse(asked.next_action?.redirect_to_url?.url ?? "")).toBe(true);
      expect((await client.charges.list({ payment_intent: id })).data).toEqual([]);
      expect(await client.paymentIntents.cancel(id)).toMatchObject({ status: "canceled", next_action: null });
    });

    test("that the bank wants to see the person for is declined while the person is away", async () => {
      const { id } = await createIntent("pm_card_authenticationRequired");
      expect(await refusal(client.paymentIntents.confirm(id, { off_session: true }))).toMatchObject({
        statusCode: 402,
        code: "authentication_required",
      });
      expect(await client.paymentIntents.retrieve(id)).toMatchObject({ status: "requires_payment_method" });
    });

    test("is found by its customer, newest first, a page at a time, with its charge expanded", async () => {
      const { customer, payment_method } = await createPayer();
      const made: string[] = [];
      for (let i = 0; i < 3; i++) {
        made.unshift((await client.paymentIntents.create({ ...USD, customer, payment_method })).id);
      }
      const first = await client.paymentIntents.list({ customer, limit: 2 });
      expect([first.has_more, first.data.map(({ id }) => id)]).toEqual([true, made.slice(0, 2)]);
      const all = await client.paymentIntents.list({ customer, limit: 2 }).autoPagingToArray({ limit: 10 });
      expect(all.map(({ id }) => id)).toEqual(made);
      const [newest = ""] = made;
      await confirm(newest);
      const read = async () => {
        const options = { expand: ["latest_charge.balance_transaction"] };
        return (await client.paymentIntents.retrieve(newest, options)).latest_charge as Stripe.Charge;
      };
      expect(await read()).toMatchObject({ object: "charge", payment_intent: newest });
      // It is captured in the background.
      await expect
        .poll(async () => (await read()).balance_transaction, { timeout: 20_000 })
        .toMatchObject({ object: "balance_transaction", amount: 45_000 });
    });
  });

  describe("a setup intent", () => {
    test("attaches the card when it has succeeded", async () => {
      const { id: customer } = await client.customers.create();
      const setup = await client.setupIntents.create({
        customer,
        allowed_payment_method_types: ["card"],
        usage: "on_session",
        metadata: { accountId: "a" },
      });
      expect(setup).toMatchObject({
        object: "setup_intent",
        status: "requires_payment_method",
        usage: "on_session",
        customer,
        metadata: { accountId: "a" },
      });
      expect(setup.client_secret).toMatch(new RegExp(`^${setup.id}_secret_`));
      const done = await client.setupIntents.confirm(setup.id, { payment_method: "pm_card_visa", ...RETURN });
      expect(done.status).toBe("succeeded");
      expect(await client.paymentMethods.retrieve(String(done.payment_method))).toMatchObject({ customer });
      const again = client.setupIntents.confirm(setup.id, { payment_method: "pm_card_visa", ...RETURN });
      expect(await refusal(again)).toMatchObject({ statusCode: 400, code: "setup_intent_unexpected_state" });
    });

    test("is declined like a charge, asks for the bank, and can be cancelled", async () => {
      const { id: customer } = await client.customers.create();
      const { id } = await client.setupIntents.create({ customer, allowed_payment_method_types: ["card"] });
      const declined = await refusal(
        client.setupIntents.confirm(id, { payment_method: "pm_card_chargeDeclined", ...RETURN }),
      );
      expect(declined).toMatchObject({ statusCode: 402, code: "card_declined" });
      expect(declined.setup_intent).toMatchObject({ status: "requires_payment_method" });
      const asked = await client.setupIntents.confirm(id, {
        payment_method: "pm_card_authenticationRequired",
        ...RETURN,
      });
      expect(asked).toMatchObject({ status: "requires_action", next_action: { type: "redirect_to_url" } });
      expect(await client.setupIntents.cancel(id)).toMatchObject({ status: "canceled" });
    });
  });

  describe("money that goes back", () => {
    test("goes back in part, then whole, and no further", async () => {
      const { id } = await createIntent("pm_card_bypassPending");
      const { latest_charge: charge } = await confirm(id);
      const part = await client.refunds.create({ payment_intent: id, amount: 5_000 });
      expect(part).toMatchObject({
        object: "refund",
        amount: 5_000,
        charge,
        payment_intent: id,
        status: "succeeded",
      });
      expect(await refusal(client.refunds.create({ payment_intent: id, amount: 40_001 }))).toMatchObject({
        statusCode: 400,
        param: "amount",
      });
      await client.refunds.create({ charge: String(charge) });
      expect(await client.charges.retrieve(String(charge))).toMatchObject({
        refunded: true,
        amount_refunded: 45_000,
      });
      expect(await refusal(client.refunds.create({ payment_intent: id }))).toMatchObject({
        statusCode: 400,
        code: "charge_already_refunded",
      });
      const { data } = await client.refunds.list({ payment_intent: id });
      expect(data.map(({ amount }) => amount)).toEqual([40_000, 5_000]);
      expect((await client.paymentIntents.retrieve(id)).status).toBe("succeeded");
    });

    test("is disputed by a cardholder", async () => {
      const { id } = await createIntent("pm_card_createDispute");
      await confirm(id);
      await expect
        .poll(async () => (await client.disputes.list({ payment_intent: id })).data, { timeout: 20_000 })
        .toMatchObject([{ object: "dispute", amount: 45_000, payment_intent: id, status: "needs_response" }]);
      const [dispute] = (await client.disputes.list({ payment_intent: id })).data;
      expect(dispute?.balance_transactions.map(({ amount }) => amount)).toEqual([-45_000]);
    });
  });

  describe("events", () => {
    test("tell of an intent's whole way, and can be read again", async () => {
      const { id } = await createIntent();
      await confirm(id);
      const types = async () => {
        const { data } = await client.events.list({
          types: ["payment_intent.created", "payment_intent.succeeded"],
          limit: 100,
        });
        return data.filter((event) => (event.data.object as { id?: string }).id === id);
      };
      await expect
        .poll(async () => (await types()).map(({ type }) => type).sort(), { timeout: 20_000 })
        .toEqual(["payment_intent.created", "payment_intent.succeeded"]);
      const succeeded = (await types()).find(({ type }) => type === "payment_intent.succeeded");
      const again = await client.events.retrieve(succeeded?.id ?? "");
      expect(again).toMatchObject({
        object: "event",
        data: { object: { id, status: "succeeded" } },
        livemode: false,
      });
    });
  });

  describe("a request", () => {
    test("with a field that Stripe does not know is refused by its name", async () => {
      const unknown = { ...USD, colour: "blue" } as Stripe.PaymentIntentCreateParams;
      expect(await refusal(client.paymentIntents.create(unknown))).toMatchObject({
        statusCode: 400,
        type: "StripeInvalidRequestError",
        code: "parameter_unknown",
        param: "colour",
        message: "Received unknown parameter: colour",
      });
      const nested = { ...USD, automatic_payment_methods: { enabled: true, colour: "blue" } };
      expect(await refusal(client.paymentIntents.create(nested))).toMatchObject({
        code: "parameter_unknown",
        param: "automatic_payment_methods[colour]",
      });
    });

    test("that lacks a field, or has a wrong one, is refused by its name", async () => {
      const wrong: [object, object][] = [
        [{ currency: "usd" }, { code: "parameter_missing", param: "amount" }],
        [{ amount: 100 }, { code: "parameter_missing", param: "currency" }],
        [{ amount: 49, currency: "usd" }, { code: "amount_too_small" }],
        [{ amount: 100_000_000, currency: "usd" }, { code: "amount_too_large" }],
        [{ amount: "much", currency: "usd" }, { param: "amount" }],
        [{ ...USD, capture_method: "later" }, { param: "capture_method" }],
        [
          { ...USD, customer: "cus_none" },
          { code: "resource_missing", param: "customer" },
        ],
        [
          { ...USD, payment_method: "pm_none" },
          { code: "resource_missing", param: "payment_method" },
        ],
      ];
      for (const [params, said] of wrong) {
        const error = await refusal(client.paymentIntents.create(params as Stripe.PaymentIntentCreateParams));
        expect(error, JSON.stringify(params)).toMatchObject({
          statusCode: 400,
          type: "StripeInvalidRequestError",
          ...said,
        });
      }
    });

    test("for what is not there is a 404", async () => {
      expect(await refusal(client.paymentIntents.retrieve("pi_none"))).toMatchObject({
        statusCode: 404,
        code: "resource_missing",
        message: "No such payment_intent: 'pi_none'",
      });
    });

    test("with a wrong key is a 401", async () => {
      const stranger = new Stripe("sk_test_nobodys", options);
      expect(await refusal(stranger.balance.retrieve())).toMatchObject({
        statusCode: 401,
        type: "StripeAuthenticationError",
      });
    });
  });

  describe("an idempotency key", () => {
    test("gives the first answer again, and says so", async () => {
      const idempotencyKey = randomUUID();
      const first = await client.paymentIntents.create(USD, { idempotencyKey });
      const again = await client.paymentIntents.create(USD, { idempotencyKey });
      expect(again.id).toBe(first.id);
      expect(again.lastResponse.headers["idempotent-replayed"]).toBe("true");
      expect(again.lastResponse.headers["original-request"]).toBe(first.lastResponse.requestId);
    });

    test("gives the first answer again though the object has moved on since", async () => {
      const idempotencyKey = randomUUID();
      const payer = await createPayer();
      const { id } = await client.paymentIntents.create({ ...USD, ...payer }, { idempotencyKey });
      await confirm(id);
      const again = await client.paymentIntents.create({ ...USD, ...payer }, { idempotencyKey });
      expect(again).toMatchObject({ id, status: "requires_confirmation" });
    });

    test("gives a refusal again, too", async () => {
      const { id } = await createIntent("pm_card_chargeCustomerFail");
      const options = { idempotencyKey: randomUUID() };
      await refusal(client.paymentIntents.confirm(id, RETURN, options));
      const again = await refusal(client.paymentIntents.confirm(id, RETURN, options));
      expect([again.statusCode, again.headers?.["idempotent-replayed"]]).toEqual([402, "true"]);
      expect((await client.charges.list({ payment_intent: id })).data).toHaveLength(1);
    });

    test("takes nothing but the same request", async () => {
      const idempotencyKey = randomUUID();
      await client.paymentIntents.create(USD, { idempotencyKey });
      const other = client.paymentIntents.create({ ...USD, amount: 45_001 }, { idempotencyKey });
      expect(await refusal(other)).toMatchObject({ statusCode: 400, type: "StripeIdempotencyError" });
      const elsewhere = client.customers.create({}, { idempotencyKey });
      expect((await refusal(elsewhere)).statusCode).toBe(400);
    });

    test("keeps nothing of a request whose fields are wrong", async () => {
      const idempotencyKey = randomUUID();
      await refusal(client.paymentIntents.create({ currency: "usd" } as typeof USD, { idempotencyKey }));
      expect((await client.paymentIntents.create(USD, { idempotencyKey })).object).toBe("payment_intent");
    });
  });
});
