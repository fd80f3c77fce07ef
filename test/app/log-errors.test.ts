import { PassThrough } from "node:stream";
import Stripe from "stripe";
import { expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { Problem } from "../../src/lib/problems.ts";
import { startFakeStripe } from "../support/stripe/fake.ts";

const BACK = { return_url: "http://localhost:3000/billing" };

/** What a log says of an error, as the line that is written. */
function lineOf(error: unknown): string {
  const stream = new PassThrough();
  createLogger("info", stream).warn({ err: error, paymentId: "p1" }, "not known yet");
  return String(stream.read());
}

/** A refusal of a card as Stripe's client throws it: the whole intent hangs on it, in three places. */
async function declinedAtStripe(): Promise<{ error: Stripe.errors.StripeError; secret: string }> {
  const stripe = await startFakeStripe();
  const client = new Stripe(stripe.secretKey, { ...stripe.at, maxNetworkRetries: 0 });
  const customer = await client.customers.create();
  const setup = await client.setupIntents.create({
    customer: customer.id,
    allowed_payment_method_types: ["card"],
  });
  const error = await client.setupIntents
    .confirm(setup.id, { payment_method: "pm_card_chargeDeclined", ...BACK })
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
  await stripe.close();
  if (!(error instanceof Stripe.errors.StripeError)) throw new TypeError("the card was not declined");
  return { error, secret: String(setup.client_secret) };
}

test("a refusal of Stripe's is logged with its codes, and without the intent and its client_secret", async () => {
  const { error, secret } = await declinedAtStripe();
  expect(JSON.stringify(error)).toContain(secret);
  const behind = new Problem("unavailable");
  behind.cause = error;
  for (const thrown of [error, behind, new AggregateError([error], "several"), { err: error }])
    expect(lineOf(thrown)).not.toContain(secret);
  expect(JSON.parse(lineOf(error))).toMatchObject({
    msg: "not known yet",
    paymentId: "p1",
    err: {
      type: "StripeCardError",
      message: error.message,
      code: "card_declined",
      statusCode: 402,
      requestId: error.requestId,
      stack: expect.stringContaining("declinedAtStripe"),
    },
  });
  expect(JSON.parse(lineOf(behind)).err).toMatchObject({
    message: expect.stringContaining(error.message),
    stack: expect.stringContaining("caused by: "),
  });
});

test("a call that Stripe did not answer is logged with what failed: the name, the port, the certificate", async () => {
  const stripe = await startFakeStripe();
  await stripe.close();
  const cases = [
    [{ host: "127.0.0.1", port: stripe.at.port, protocol: "http" }, /^ECONNREFUSED/],
    [{ host: "stripe.invalid", port: 443, protocol: "https" }, /^(ENOTFOUND|EAI_AGAIN)/],
  ] as const;
  for (const [at, fault] of cases) {
    const client = new Stripe(stripe.secretKey, { ...at, maxNetworkRetries: 0 });
    const error = await client.balance.retrieve().catch((thrown: unknown) => thrown);
    const { err } = JSON.parse(lineOf(error));
    expect(err).toMatchObject({ type: "StripeConnectionError", fault: expect.stringMatching(fault) });
    expect(lineOf(error)).not.toContain(stripe.secretKey);
  }
});

test("a refusal of the database's is logged without the row that it is about", () => {
  const error = Object.assign(new Error("duplicate key value violates unique constraint"), {
    code: "23505",
    constraint: "tokens_digest",
    detail: "Key (digest)=(\\x5ec2e7) already exists.",
    where: "parameters: $1 = 'ot_pat_secret'",
  });
  const line = lineOf(error);
  expect(JSON.parse(line).err).toMatchObject({ code: "23505", constraint: "tokens_digest" });
  expect(line).not.toMatch(/5ec2e7|ot_pat_secret/);
});

test.each([["words"], [undefined], [null], [{ secret: "hidden", message: "hidden" }]])(
  "what is no error at all, such as %j, is logged and breaks nothing",
  (thrown) => {
    expect(JSON.parse(lineOf(thrown)).msg).toBe("not known yet");
    expect(lineOf(thrown)).not.toContain("hidden");
  },
);
