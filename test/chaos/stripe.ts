import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { WEBHOOK_PATH } from "../../src/approvals/processor-routes.ts";
import { reconcile } from "../../src/billing/reconcile-service.ts";
import { createStripe } from "../../src/billing/stripe-client.ts";
import type { Db } from "../../src/database/connection.ts";
import { type FakeStripe, startFakeStripe } from "../support/stripe/fake.ts";
import type { FaultKind } from "../support/stripe/faults.ts";
import type { Dice, Tally } from "./dice.ts";

/** The program that can be told of another Stripe. */
export const STRIPE_MAIN = join(import.meta.dirname, "../support/killed-main.ts");

export const STRIPE_CARDS = [
  "pm_card_visa",
  "pm_card_visa",
  "pm_card_mastercard",
  "pm_card_chargeCustomerFail",
  "pm_card_authenticationRequired",
  "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
  // Stripe does not let these two be put on file.
  "pm_card_chargeDeclined",
  "pm_card_nobody_knows",
];

const ENDPOINTS = [
  "POST /v1/payment_intents",
  "POST /v1/payment_intents/:id/confirm",
  "POST /v1/payment_intents/:id/confirm",
  "POST /v1/payment_intents/:id/cancel",
  "GET /v1/payment_intents/:id",
  "POST /v1/payment_methods/:id/attach",
];
const FAULTS: readonly FaultKind[] = [
  "rate_limit",
  "lock_timeout",
  "unauthorized",
  "error",
  "unavailable",
  "reset",
  "no_error_key",
  "garbled",
  "delay",
  "processing",
];

export function environmentOf(stripe: FakeStripe): Record<string, string> {
  return {
    STRIPE_SECRET_KEY: stripe.secretKey,
    STRIPE_PUBLISHABLE_KEY: stripe.publishableKey,
    STRIPE_WEBHOOK_SECRET: stripe.webhookSecret,
    STRIPE_AT: `${stripe.at.host}:${stripe.at.port}`,
  };
}

export function startStripe(): Promise<FakeStripe> {
  return startFakeStripe();
}

/** Makes mistakes at random until it is told to stop; then everything is decided, and every event told. */
export async function troubleStripe(
  stripe: FakeStripe,
  { dice, tally, origin }: { dice: Dice; tally: Tally; origin: () => string },
  stopping: AbortSignal,
): Promise<void> {
  const planned: { lift(): void }[] = [];
  while (!stopping.aborted) {
    stripe.sendEventsTo(origin() + WEBHOOK_PATH);
    const does = dice.pick(FAULTS);
    planned.push(
      stripe.plan({ on: dice.pick(ENDPOINTS), does, when: dice.roll() < 0.5 ? "before" : "after" }),
    );
    tally.add(`stripe: ${does}`);
    if (dice.roll() < 0.5) decideOne(stripe, dice);
    if (dice.roll() < 0.2) await stripe.deliveries.retry();
    await delay(dice.between(50, 400), undefined, { signal: stopping }).catch(() => {});
  }
  for (const fault of planned) fault.lift();
  while (decideOne(stripe, dice)) await delay(0);
}

/** The bank decides about one that it had let wait. @returns whether there was one */
function decideOne(stripe: FakeStripe, dice: Dice): boolean {
  const waiting = [...stripe.books.intents.values()].find(({ intent }) => intent.status === "processing");
  if (waiting === undefined) return false;
  const declined = { code: "card_declined", message: "Your card was declined." };
  stripe.settle(waiting.intent.id, dice.roll() < 0.7 ? undefined : declined);
  return true;
}

/** What the service's own comparison of the two books finds. */
export async function findDifferences(db: Db, stripe: FakeStripe): Promise<string[]> {
  const { secretKey, publishableKey, webhookSecret, at } = stripe;
  const processor = createStripe(db, { mode: "test", secretKey, publishableKey, webhookSecret }, at);
  const { differences } = await reconcile({ db, processor }, { days: 1, dryRun: true });
  const told = differences.map(({ kind, id, processor: held, books }) => `${kind}: ${id}, ${held}, ${books}`);
  return [...told, ...stripe.notPlayed];
}
