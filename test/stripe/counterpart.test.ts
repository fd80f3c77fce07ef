import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import Stripe from "stripe";
import { afterAll, describe, expect, test } from "vitest";
import { type FakeStripe, startFakeStripe } from "../support/stripe/fake.ts";
import type { FaultKind } from "../support/stripe/faults.ts";

const CONFIRM = "POST /v1/payment_intents/:id/confirm";
const USD = { amount: 45_000, currency: "usd" };
const RETURN = { return_url: "https://example.com/back?from=bank" };
const DAY = 24 * 60 * 60;

const started: { close(): unknown }[] = [];
afterAll(() => Promise.all(started.map((one) => one.close())));

async function start(): Promise<FakeStripe> {
  const stripe = await startFakeStripe();
  started.push(stripe);
  return stripe;
}

const fake = await start();
const client = clientOf(fake);

function clientOf(at: FakeStripe, options: Stripe.StripeConfig = {}): Stripe {
  return new Stripe(at.secretKey, { ...at.at, maxNetworkRetries: 0, ...options });
}

async function createIntent(card = "pm_card_visa"): Promise<string> {
  return (await client.paymentIntents.create({ ...USD, payment_method: card })).id;
}

const confirm = (id: string, options: Stripe.RequestOptions = {}) =>
  client.paymentIntents.confirm(id, RETURN, options);

const statusOf = async (id: string) => (await client.paymentIntents.retrieve(id)).status;

async function thrown(call: Promise<unknown>): Promise<Stripe.errors.StripeError> {
  const done = await call.catch((error: unknown) => error);
  if (done instanceof Stripe.errors.StripeError) return done;
  throw new Error(`it did not throw: ${JSON.stringify(done)}`);
}

describe("a fault", () => {
  const said: [FaultKind, object][] = [
    ["rate_limit", { type: "StripeRateLimitError", statusCode: 429, code: "rate_limit" }],
    ["lock_timeout", { type: "StripeRateLimitError", statusCode: 429, code: "lock_timeout" }],
    ["unauthorized", { type: "StripeAuthenticationError", statusCode: 401 }],
    ["error", { type: "StripeAPIError", statusCode: 500 }],
    ["unavailable", { type: "StripeAPIError", statusCode: 503 }],
    ["garbled", { type: "StripeAPIError" }],
    ["reset", { type: "StripeConnectionError" }],
    ["timeout", { type: "StripeConnectionError" }],
  ];
  for (const when of ["before", "after"] as const) {
    test.for(said)(`of kind %s ${when} the effect is thrown by the SDK`, async ([does, error]) => {
      const id = await createIntent();
      // The SDK asks again by itself, once, when a connection is cut.
      const planned = fake.plan({ on: CONFIRM, does, when, about: id, times: 2 });
      expect(await thrown(confirm(id, { timeout: does === "timeout" ? 1_000 : 60_000 }))).toMatchObject(
        error,
      );
      planned.lift();
      expect(planned.struck()).toBe(does === "reset" ? 2 : 1);
      expect(await statusOf(id)).toBe(when === "after" ? "succeeded" : "requires_confirmation");
      expect(fake.charges().has(id)).toBe(when === "after");
    });
  }

  test("that is a 4xx without an error is taken for a success by the SDK", async () => {
    const id = await createIntent();
    fake.plan({ on: CONFIRM, does: "no_error_key", about: id });
    const answer = await confirm(id);
    expect([answer.object, answer.status]).toEqual([undefined, undefined]);
    expect(await statusOf(id)).toBe("requires_confirmation");
  });

  test("that is a 500 is given again for the same key, and hides what was done", async () => {
    for (const when of ["before", "after"] as const) {
      const id = await createIntent();
      const options = { idempotencyKey: randomUUID() };
      fake.plan({ on: CONFIRM, does: "error", when, about: id });
      expect((await thrown(confirm(id, options))).headers).not.toHaveProperty("idempotent-replayed");
      const again = await thrown(confirm(id, options));
      expect([again.statusCode, again.headers?.["idempotent-replayed"]]).toEqual([500, "true"]);
      expect(await statusOf(id)).toBe(when === "after" ? "succeeded" : "requires_confirmation");
    }
  });

  test("of any other kind is not kept under the key", async () => {
    for (const does of ["rate_limit", "unavailable", "no_error_key"] as const) {
      const id = await createIntent();
      const options = { idempotencyKey: randomUUID() };
      fake.plan({ on: CONFIRM, does, about: id });
      await confirm(id, options).catch(() => {});
      expect((await confirm(id, options)).status).toBe("succeeded");
    }
  });

  test("that cuts the answer off leaves it to be had again with the key", async () => {
    const id = await createIntent();
    fake.plan({ on: CONFIRM, does: "reset", when: "after", about: id });
    const answer = await confirm(id);
    expect([answer.status, answer.lastResponse.headers["idempotent-replayed"]]).toEqual([
      "succeeded",
      "true",
    ]);
    expect((await client.charges.list({ payment_intent: id })).data).toHaveLength(1);
  });

  test("that holds a request keeps its key taken, until it is released", async () => {
    const id = await createIntent();
    const options = { idempotencyKey: randomUUID() };
    const held = fake.plan({ on: CONFIRM, does: "hold", about: id });
    const first = confirm(id, options);
    await held.reached;
    expect(await thrown(confirm(id, options))).toMatchObject({
      statusCode: 409,
      code: "idempotency_key_in_use",
    });
    expect(await statusOf(id)).toBe("requires_confirmation");
    held.lift();
    expect((await first).status).toBe("succeeded");
  });

  test("strikes what it is about, as often as it was told, and can be planned by another process", async () => {
    const [id, other] = [await createIntent(), await createIntent()];
    const fault = { on: CONFIRM, does: "rate_limit", about: id, times: 2 };
    const planned = await fetch(`${fake.url}/control/plan`, { method: "POST", body: JSON.stringify(fault) });
    expect(planned.status).toBe(200);
    expect((await confirm(other)).status).toBe("succeeded");
    for (let i = 0; i < 2; i++) expect((await thrown(confirm(id))).statusCode).toBe(429);
    expect((await confirm(id)).status).toBe("succeeded");
    const charges = await (await fetch(`${fake.url}/control/charges`)).json();
    expect(charges).toContainEqual(expect.objectContaining({ payment_intent: id, amount: 45_000 }));
  });
});

describe("an idempotency key", () => {
  test("is kept for a day by the driven clock, and then makes another", async () => {
    const stripe = await start();
    const create = () => clientOf(stripe).paymentIntents.create(USD, { idempotencyKey: "payment-1" });
    const { id } = await create();
    stripe.advance(DAY - 60);
    expect((await create()).id).toBe(id);
    stripe.advance(60);
    expect((await create()).id).not.toBe(id);
  });
});

describe("an intent", () => {
  /** How each state comes about. */
  const STATES: Record<string, () => Promise<string>> = {
    requires_payment_method: async () => (await client.paymentIntents.create(USD)).id,
    requires_confirmation: () => createIntent(),
    requires_action: async () => {
      const id = await createIntent("pm_card_authenticationRequired");
      await confirm(id);
      return id;
    },
    processing: async () => {
      const id = await createIntent();
      fake.plan({ on: CONFIRM, does: "processing", about: id });
      await confirm(id);
      return id;
    },
    succeeded: async () => {
      const id = await createIntent();
      await confirm(id);
      return id;
    },
    canceled: async () => {
      const id = await createIntent();
      await client.paymentIntents.cancel(id);
      return id;
    },
  };
  const REFUSED = "payment_intent_unexpected_state";
  /** What confirming, cancelling and changing the amount then lead to. */
  const MOVES: [string, string, string, string][] = [
    ["requires_payment_method", REFUSED, "canceled", "requires_payment_method"],
    ["requires_confirmation", "succeeded", "canceled", "requires_confirmation"],
    ["requires_action", "requires_action", "canceled", "requires_action"],
    ["processing", REFUSED, REFUSED, REFUSED],
    ["succeeded", REFUSED, REFUSED, REFUSED],
    ["canceled", REFUSED, REFUSED, REFUSED],
  ];
  const said = (call: Promise<Stripe.PaymentIntent>): Promise<string | undefined> =>
    call.then(
      ({ status }) => status,
      (error: Stripe.errors.StripeError) => error.code,
    );

  test.for(MOVES)("that is %s goes where Stripe lets it", async ([state, confirmed, cancelled, changed]) => {
    const create = STATES[state] ?? createIntent;
    expect(await statusOf(await create())).toBe(state);
    expect(await said(confirm(await create()))).toBe(confirmed);
    expect(await said(client.paymentIntents.cancel(await create()))).toBe(cancelled);
    expect(await said(client.paymentIntents.update(await create(), { amount: 50_000 }))).toBe(changed);
  });

  test("that is processing succeeds or is declined later, and has a charge only then", async () => {
    const [paid, declined] = await Promise.all([STATES.processing?.(), STATES.processing?.()]);
    if (paid === undefined || declined === undefined) throw new TypeError("there is such a state");
    expect([fake.charges().has(paid), fake.charges().has(declined)]).toEqual([false, false]);
    fake.settle(paid);
    fake.settle(declined, { code: "card_declined", message: "Your card was declined." });
    expect([await statusOf(paid), await statusOf(declined)]).toEqual([
      "succeeded",
      "requires_payment_method",
    ]);
    expect([fake.charges().has(paid), fake.charges().has(declined)]).toEqual([true, false]);
  });
});

describe("the bank's page", () => {
  async function challenge(card = "pm_card_authenticationRequired"): Promise<{ id: string; url: string }> {
    const id = await createIntent(card);
    const { next_action } = await confirm(id);
    return { id, url: next_action?.redirect_to_url?.url ?? "" };
  }

  const answer = (url: string, said: string) =>
    fetch(url, { method: "POST", redirect: "manual", body: new URLSearchParams({ answer: said }) });

  test("lets the person complete, and sends them back with the intent", async () => {
    const { id, url } = await challenge();
    const page = await (await fetch(url)).text();
    expect(page).toContain("Complete");
    expect(page).toContain("Fail");
    expect(await statusOf(id)).toBe("requires_action");
    const { status, headers } = await answer(url, "complete");
    const back = new URL(headers.get("location") ?? "");
    expect([status, back.origin + back.pathname]).toEqual([303, "https://example.com/back"]);
    const { client_secret } = await client.paymentIntents.retrieve(id);
    expect(Object.fromEntries(back.searchParams)).toEqual({
      from: "bank",
      payment_intent: id,
      payment_intent_client_secret: client_secret,
      source_type: "card",
    });
    expect(await statusOf(id)).toBe("succeeded");
  });

  test("leaves the intent without a payment method when the person fails, or the bank declines then", async () => {
    for (const [card, said, code] of [
      ["pm_card_authenticationRequired", "fail", "payment_intent_authentication_failure"],
      ["pm_card_authenticationRequiredChargeDeclinedInsufficientFunds", "complete", "card_declined"],
    ] as const) {
      const { id, url } = await challenge(card);
      expect((await answer(url, said)).status).toBe(303);
      const read = await client.paymentIntents.retrieve(id);
      expect(read).toMatchObject({ status: "requires_payment_method", last_payment_error: { code } });
      expect(read.payment_method).toBeNull();
    }
  });

  test("does nothing once nothing waits for it: answered, cancelled, or confirmed again", async () => {
    const [answered, cancelled, anew] = await Promise.all([challenge(), challenge(), challenge()]);
    await answer(answered.url, "fail");
    await client.paymentIntents.cancel(cancelled.id);
    await confirm(anew.id);
    for (const { url } of [answered, cancelled, anew])
      expect((await answer(url, "complete")).status).toBe(404);
    expect(fake.charges().has(answered.id) || fake.charges().has(cancelled.id)).toBe(false);
    expect(await statusOf(anew.id)).toBe("requires_action");
  });
});

describe("a page with the publishable key", () => {
  const ask = (path: string, fields: Record<string, string>) =>
    fetch(fake.url + path, {
      method: "POST",
      body: new URLSearchParams({ key: fake.publishableKey, ...fields }),
    });
  const card = {
    "payment_method_data[type]": "card",
    "payment_method_data[card][number]": "4242 4242 4242 4242",
    "payment_method_data[card][exp_month]": "12",
    "payment_method_data[card][exp_year]": "2034",
    "payment_method_data[card][cvc]": "123",
    ...RETURN,
  };

  test("fills in the setup whose secret it has, and no other", async () => {
    const { id: customer } = await client.customers.create();
    const { id, client_secret } = await client.setupIntents.create({ customer });
    const path = `/v1/setup_intents/${id}/confirm`;
    for (const fields of [card, { ...card, client_secret: `${client_secret}x` }]) {
      expect((await ask(path, fields)).status).toBe(400);
    }
    expect((await ask(path, { ...card, client_secret: String(client_secret) })).status).toBe(200);
    const { data } = await client.customers.listPaymentMethods(customer);
    expect(data).toMatchObject([{ card: { last4: "4242" } }]);
  });

  test("can do nothing else", async () => {
    expect((await ask("/v1/payment_intents", { amount: "100", currency: "usd" })).status).toBe(403);
  });
});

describe("events", () => {
  async function listen(answers: (body: string, signature: string) => number) {
    const server = createServer((request, response) => {
      void request.toArray().then((parts) => {
        const signature = String(request.headers["stripe-signature"]);
        response.writeHead(answers(Buffer.concat(parts).toString(), signature)).end();
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    started.push(server);
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/stripe`;
  }

  async function startListening(status: () => number = () => 200) {
    const stripe = await start();
    const received: Stripe.Event[] = [];
    const its = clientOf(stripe);
    stripe.sendEventsTo(
      await listen((body, signature) => {
        received.push(its.webhooks.constructEvent(body, signature, stripe.webhookSecret));
        return status();
      }),
    );
    return { stripe, its, received };
  }

  test("are signed so that the SDK believes them, and no altered one", async () => {
    const { stripe, its, received } = await startListening();
    const { id } = await its.paymentIntents.create({ ...USD, payment_method: "pm_card_visa" });
    await its.paymentIntents.confirm(id, RETURN);
    await stripe.deliveries.settled();
    expect(received.map(({ type }) => type).sort()).toEqual([
      "charge.succeeded",
      "charge.updated",
      "payment_intent.created",
      "payment_intent.succeeded",
    ]);
    const stranger = `t=${Math.floor(Date.now() / 1_000)},v1=${"0".repeat(64)}`;
    expect(() => its.webhooks.constructEvent("{}", stranger, stripe.webhookSecret)).toThrow();
    expect((await its.events.list()).data.every(({ pending_webhooks }) => pending_webhooks === 0)).toBe(true);
  });

  test("are sent in whatever order, and as often, as a test wants", async () => {
    const { stripe, its, received } = await startListening();
    stripe.deliveries.hold();
    const { id } = await its.paymentIntents.create({ ...USD, payment_method: "pm_card_visa" });
    await its.paymentIntents.confirm(id, RETURN);
    const made = stripe.deliveries.held().map((event) => event.id);
    expect([made.length, received.length]).toEqual([4, 0]);
    await stripe.deliveries.release({ order: (events) => events.toReversed(), copies: 2 });
    expect(received.map((event) => event.id)).toEqual([...made.toReversed(), ...made.toReversed()]);
  });

  test("that were not received are sent again", async () => {
    let status = 500;
    const { stripe, its, received } = await startListening(() => status);
    await its.paymentIntents.create(USD);
    await stripe.deliveries.settled();
    expect((await its.events.list({ delivery_success: false })).data).toHaveLength(1);
    status = 200;
    await stripe.deliveries.retry();
    await stripe.deliveries.retry();
    expect(received).toHaveLength(2);
    expect((await its.events.list({ delivery_success: false })).data).toEqual([]);
  });
});

describe("this counterpart", () => {
  test("notes what it is asked for and does not play, so that no test passes by it", async () => {
    const stripe = await start();
    const its = clientOf(stripe);
    const shipping = { name: "Ada", address: { line1: "1 Main St" } };
    expect((await thrown(its.paymentIntents.create({ ...USD, shipping }))).code).toBe("not_played");
    const old = clientOf(stripe, { apiVersion: "2024-06-20" as typeof Stripe.API_VERSION });
    expect((await thrown(old.balance.retrieve())).code).toBe("not_played");
    expect(stripe.notPlayed).toHaveLength(2);
  });

  test("can be copied as it stands, and goes its own way from there", async () => {
    const stripe = await start();
    const { id } = await clientOf(stripe).paymentIntents.create({ ...USD, payment_method: "pm_card_visa" });
    const copy = await stripe.copy();
    started.push(copy);
    expect((await clientOf(copy).paymentIntents.confirm(id, RETURN)).status).toBe("succeeded");
    expect((await clientOf(stripe).paymentIntents.retrieve(id)).status).toBe("requires_confirmation");
    expect([stripe.charges().size, copy.charges().size]).toEqual([0, 1]);
  });

  test("keeps a balance: what was charged, less fees, refunds and what is disputed", async () => {
    const stripe = await start();
    const its = clientOf(stripe);
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) {
      const { id } = await its.paymentIntents.create({ ...USD, payment_method: "pm_card_visa" });
      await its.paymentIntents.confirm(id, RETURN);
      ids.push(id);
    }
    const [refunded = "", won = ""] = ids;
    const net = 45_000 - (Math.round(45_000 * 0.029) + 30);
    stripe.refund(refunded);
    const dispute = stripe.dispute(won);
    const pending = async () => (await its.balance.retrieve()).pending[0]?.amount;
    expect(await pending()).toBe(3 * net - 45_000 - 45_000 - 1_500);
    expect(await its.charges.retrieve(dispute.charge as string)).toMatchObject({ disputed: true });
    expect((await thrown(its.refunds.create({ payment_intent: won }))).code).toBe("charge_disputed");
    stripe.closeDispute(dispute.id, "won");
    expect(await pending()).toBe(3 * net - 45_000);
    stripe.advance(3 * DAY);
    expect((await its.balance.retrieve()).available[0]?.amount).toBe(3 * net - 45_000);
  });
});
