import { expect } from "vitest";
import type { Processor } from "../../src/billing/processor.ts";
import { reconcile } from "../../src/billing/reconcile-service.ts";
import { answerAuthentication, createSandbox } from "../../src/billing/sandbox-client.ts";
import { createStripe } from "../../src/billing/stripe-client.ts";
import type { Db } from "../../src/database/connection.ts";
import { auditAccounts } from "../../src/receipts/audit-service.ts";
import { booksOf, findFaults, type ProcessorBooks } from "./books.ts";
import { closeAfterFile } from "./closing.ts";
import { PUBLIC_URL } from "./service.ts";
import { type FakeStripe, startFakeStripe } from "./stripe/fake.ts";

/** How a card behaves: what the sandbox has a test method for, and Stripe a card or a fault. */
export type CardKind = "pays" | "declines" | "authenticates" | "slow" | "loses";

export type TestCard = {
  paymentMethod: string;
  /** What is to happen at the processor once the card is on file there, under this id. */
  spoil?: (id: string) => void;
};

/** A processor to test payments over, and what is at its other end. */
export type Rails = {
  name: "sandbox" | "stripe";
  cards: Record<CardKind, TestCard>;
  /** What a service is told of it, and what the program of `killed-main.ts` is told besides. */
  env: Record<string, string>;
  open(db: Db): Processor;
  /** What the person does at their bank. */
  answerBank(db: Db, intentId: string, passed: boolean): Promise<void>;
  /** The processor's books, where they are not in the service's database. */
  books(): ProcessorBooks | undefined;
  /** The counterpart of Stripe's rails. */
  stripe?: FakeStripe;
  /** The same, to go on from the present moment with a copy of the database. */
  copy(): Promise<Rails>;
};

export const SANDBOX: Rails = {
  name: "sandbox",
  cards: {
    pays: { paymentMethod: "pm_card_visa" },
    declines: { paymentMethod: "pm_card_chargeDeclined" },
    authenticates: { paymentMethod: "pm_card_authenticationRequired" },
    slow: { paymentMethod: "pm_sandbox_slow" },
    loses: { paymentMethod: "pm_sandbox_timeout" },
  },
  env: {},
  open: (db) => createSandbox(db, PUBLIC_URL),
  answerBank: answerAuthentication,
  books: () => undefined,
  copy: async () => SANDBOX,
};

/** What does not agree in the two books, or within ours: by the tests' own look at both, and by the service's. */
export async function findDisagreements(db: Db, rails: Rails): Promise<string[]> {
  const { differences } = await reconcile({ db, processor: rails.open(db) }, { days: 1, dryRun: true });
  const told = differences.map(({ kind, id, processor, books }) => `${kind}: ${id}, ${processor}, ${books}`);
  return [...(await findFaults(db, rails.books())), ...told, ...(await findBrokenChains(db))];
}

/** Decisions without a receipt, and whatever else the audit finds. */
async function findBrokenChains(db: Db): Promise<string[]> {
  const audits = await Array.fromAsync(auditAccounts(db, new Map()));
  return audits.flatMap(({ account, findings }) => findings.map((finding) => `${account}: ${finding}`));
}

/** Both, each for the test file alone. */
export async function openRails(): Promise<Rails[]> {
  return [SANDBOX, await openStripeRails()];
}

/** @param options for a browser, whose requests to Stripe are led here: `routeStripe` */
export async function openStripeRails(
  options: Parameters<typeof startFakeStripe>[0] = {},
): Promise<Rails & { stripe: FakeStripe }> {
  const stripe = await startFakeStripe(options);
  const opened = [stripe];
  closeAfterFile(async () => {
    await Promise.all(opened.map((one) => one.close()));
    expect(opened.flatMap(({ notPlayed }) => notPlayed)).toEqual([]);
  });
  return railsOf(stripe, (copy) => opened.push(copy));
}

function railsOf(stripe: FakeStripe, onCopy: (copy: FakeStripe) => void): Rails & { stripe: FakeStripe } {
  const { secretKey, publishableKey, webhookSecret, at } = stripe;
  const on = "POST /v1/payment_intents/:id/confirm";
  return {
    name: "stripe",
    stripe,
    cards: {
      pays: { paymentMethod: "pm_card_visa" },
      // One that the bank declines cannot be put on file at Stripe; this one can.
      declines: { paymentMethod: "pm_card_chargeCustomerFail" },
      authenticates: { paymentMethod: "pm_card_authenticationRequired" },
      slow: {
        paymentMethod: "pm_card_visa",
        spoil: (about) => void stripe.plan({ on, does: "delay", about, times: Number.POSITIVE_INFINITY }),
      },
      loses: {
        paymentMethod: "pm_card_visa",
        spoil: (about) =>
          void stripe.plan({ on, does: "reset", when: "after", about, times: Number.POSITIVE_INFINITY }),
      },
    },
    env: {
      STRIPE_SECRET_KEY: secretKey,
      STRIPE_PUBLISHABLE_KEY: publishableKey,
      STRIPE_WEBHOOK_SECRET: webhookSecret,
      STRIPE_AT: `${at.host}:${at.port}`,
    },
    open: (db) => createStripe(db, { mode: "test", secretKey, publishableKey, webhookSecret }, at),
    answerBank: async (_db, intentId, passed) => stripe.answerBank(intentId, passed),
    books: () => booksOf(stripe),
    async copy() {
      const copy = await stripe.copy();
      onCopy(copy);
      return railsOf(copy, onCopy);
    },
  };
}
