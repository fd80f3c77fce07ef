import Stripe from "stripe";
import { describe, expect, test } from "vitest";
import { findLatestPayment } from "../../src/billing/payment-service.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { begin, decide, type Story } from "../support/approval-scene.ts";
import { type Answer, call, createFixture } from "../support/fixtures.ts";
import { createHuman, hiddenValue, open, submit } from "../support/humans.ts";
import { openStripeRails } from "../support/rails.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";
import { putCard } from "../support/stories.ts";
import type { FaultKind } from "../support/stripe/faults.ts";

const rails = await openStripeRails();
const { stripe } = rails;
const service = await startService({}, undefined, rails);
const { app, db } = service;
const browser = new Stripe(stripe.secretKey, stripe.at);

/** A request that is ready to be sent, and what it must be answered while Stripe does what it should not. */
type Scene = { send: () => Promise<Answer>; says: number[] };

const OPERATOR = "/api/operator/v1/accounts";

async function beginSetup(): Promise<{ cookie: string; path: string }> {
  const { account } = await createFixture(app, { card: false });
  const { cookie } = await createHuman(app, account);
  const page = await open(app, "/billing", { cookie });
  const fields = {
    accountId: accountKey(account),
    form_token: hiddenValue(page, "/billing/new-card"),
  };
  const { headers } = await submit(app, "/billing/new-card", fields, { cookie });
  return { cookie, path: String(headers.location) };
}

async function beginBank(): Promise<Story> {
  const story = await begin(service, { paymentMethod: "pm_card_authenticationRequired" });
  await decide(service, story, "confirm");
  return story;
}

async function send(story: Story, form: string): Promise<() => Promise<Answer>> {
  const path = `${story.path}/${form}`;
  const returned = form === "look" ? `?payment_intent=${await intentOf(story)}` : "";
  const form_token = hiddenValue(await open(app, story.path + returned, story), path);
  return () => submit(app, path, { form_token }, story);
}

async function intentOf({ account, approvalId }: Story): Promise<string> {
  return (await findLatestPayment(db, accountKey(account), approvalId))?.intentId ?? "";
}

/** Every request of ours that waits for Stripe, by what it asks there. */
const SCENES: [what: string, on: string, begin: () => Promise<Scene>][] = [
  ["putting a card on file, for want of a customer,", "POST /v1/customers", attaching],
  ["putting a card on file", "POST /v1/payment_methods/:id/attach", attaching],
  ["taking a card off file", "POST /v1/payment_methods/:id/detach", detaching],
  [
    "beginning a card form",
    "POST /v1/setup_intents",
    async () => {
      const { account } = await createFixture(app, { card: false });
      const { cookie } = await createHuman(app, account);
      const form_token = hiddenValue(await open(app, "/billing", { cookie }), "/billing/new-card");
      const fields = { accountId: accountKey(account), form_token };
      return { send: () => submit(app, "/billing/new-card", fields, { cookie }), says: [503] };
    },
  ],
  [
    "opening a card form",
    "GET /v1/setup_intents/:id",
    async () => {
      const { cookie, path } = await beginSetup();
      return { send: () => open(app, path, { cookie }), says: [503, 404] };
    },
  ],
  [
    "keeping what was typed into one",
    "GET /v1/setup_intents/:id",
    async () => {
      const { cookie, path } = await beginSetup();
      const id = path.split("/").at(-1) ?? "";
      await browser.setupIntents.confirm(id, {
        payment_method: "pm_card_visa",
        return_url: "http://localhost",
      });
      const form_token = hiddenValue(await open(app, path, { cookie }), path);
      return { send: () => submit(app, path, { form_token }, { cookie }), says: [503, 404] };
    },
  ],
  [
    "confirming, at the first call,",
    "POST /v1/payment_intents",
    async () => {
      const story = await begin(service);
      return { send: () => decide(service, story, "confirm"), says: [303] };
    },
  ],
  [
    "confirming, at the call that pays,",
    "POST /v1/payment_intents/:id/confirm",
    async () => {
      const story = await begin(service);
      return { send: () => decide(service, story, "confirm"), says: [303] };
    },
  ],
  [
    "looking for the outcome",
    "GET /v1/payment_intents/:id",
    async () => ({ send: await send(await beginBank(), "look"), says: [303] }),
  ],
  [
    "giving a payment up",
    "POST /v1/payment_intents/:id/cancel",
    async () => ({ send: await send(await beginBank(), "cancel-payment"), says: [303, 503] }),
  ],
  [
    "an event of Stripe's about a payment",
    "GET /v1/payment_intents/:id",
    async () => {
      const story = await beginBank();
      const object = { object: "payment_intent", id: await intentOf(story), metadata: {} };
      const event = { id: `evt_${story.approvalId}`, object: "event", type: "payment_intent.succeeded" };
      const payload = JSON.stringify({ ...event, data: { object } });
      const signature = browser.webhooks.generateTestHeaderString({ payload, secret: stripe.webhookSecret });
      const headers = { "content-type": "application/json", "stripe-signature": signature };
      return { send: () => call(app, "POST", "/stripe/webhook", { body: payload, headers }), says: [200] };
    },
  ],
];

async function attaching(): Promise<Scene> {
  const { account } = await createFixture(app, { card: false });
  const path = `${OPERATOR}/${account}/payment-methods`;
  const asked = { token: OPERATOR_KEY, body: { paymentMethod: "pm_card_visa" } };
  return { send: () => call(app, "POST", path, asked), says: [503] };
}

async function detaching(): Promise<Scene> {
  const { account } = await createFixture(app, { card: false });
  await putCard(app, account, "pm_card_visa");
  const path = `${OPERATOR}/${account}/payment-methods`;
  const { body } = await call(app, "GET", path, { token: OPERATOR_KEY });
  const one = `${path}/${body.paymentMethods[0].id}`;
  // It is off file at once, and a sweep detaches it later.
  return { send: () => call(app, "DELETE", one, { token: OPERATOR_KEY }), says: [200] };
}

const FAULTS: FaultKind[] = [
  "reset",
  "error",
  "unavailable",
  "no_error_key",
  "garbled",
  "nonsense",
  "nothing",
  "hollow",
];

async function strike(on: string, does: FaultKind, { send, says }: Scene): Promise<void> {
  const fault = stripe.plan({ on, does, times: 10 });
  const { status, headers, text } = await send();
  fault.lift();
  expect(fault.struck(), "the request has met the fault").toBeGreaterThan(0);
  if (does === "hollow") return void expect(status, text).not.toBe(500);
  expect(says, text).toContain(status);
  if (status === 503 && !text.includes("<html")) expect(headers["retry-after"]).toBeDefined();
}

describe.each(SCENES)("%s (%s)", (_what, on, prepare) => {
  test.each(FAULTS)(
    "while Stripe does `%s` is answered as one that can be made again, never with 500",
    async (does) => strike(on, does, await prepare()),
  );
});

test("a caller who waits for Stripe gets 503 once Stripe's time is over", async () => {
  const waiting = SCENES.filter(([, on]) => !on.endsWith("/detach")).slice(0, 4);
  const calls = new Map(waiting.map(([, on, prepare]) => [on, prepare]));
  const scenes = await Promise.all([...calls].map(async ([on, prepare]) => [on, await prepare()] as const));
  const faults = scenes.map(([on]) => stripe.plan({ on, does: "timeout", times: 10 }));
  const answers = await Promise.all(scenes.map(([, { send }]) => send()));
  for (const fault of faults) fault.lift();
  expect(answers.map(({ status }) => status)).toEqual(Array(4).fill(503));
});
