import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { refusalOf } from "./decline-rules.ts";
import type { IntentRecord, IntentState, Processor } from "./processor.ts";
import { sandboxCheckout } from "./sandbox-checkout-client.ts";
import { paySession, type SessionRow } from "./sandbox-checkout-store.ts";
import { sandboxPayouts, sandboxRefunds } from "./sandbox-outgoing-client.ts";
import * as books from "./sandbox-store.ts";
import type { Charge } from "./schemas.ts";

export { findSession } from "./sandbox-checkout-store.ts";
export { findAuthenticating } from "./sandbox-store.ts";

const SLOW = 3_000;
const VALID_YEARS = 4;
const UNCONFIRMED = "requires_confirmation";
const CANCELABLE = ["requires_confirmation", "requires_action", "requires_payment_method"] as const;

type Behaviour = {
  brand: string;
  last4: string;
  declineCode?: string;
  authenticates?: true;
  slow?: true;
  loses?: true;
};

/** Stripe's published test payment methods, and two of our own (docs/contract.md §8). */
const TEST_METHODS: ReadonlyMap<string, Behaviour> = new Map<string, Behaviour>([
  ["pm_card_visa", { brand: "visa", last4: "4242" }],
  ["pm_card_chargeDeclined", { brand: "visa", last4: "0002", declineCode: "generic_decline" }],
  [
    "pm_card_chargeDeclinedInsufficientFunds",
    { brand: "visa", last4: "9995", declineCode: "insufficient_funds" },
  ],
  ["pm_card_authenticationRequired", { brand: "visa", last4: "3184", authenticates: true }],
  ["pm_sandbox_slow", { brand: "visa", last4: "0003", slow: true }],
  ["pm_sandbox_timeout", { brand: "visa", last4: "0004", loses: true }],
  // These pay, and simulate an event when refunded.
  ["pm_card_pendingRefund", { brand: "visa", last4: "7726" }],
  ["pm_card_refundFail", { brand: "visa", last4: "5126" }],
  ["pm_sandbox_refund_refused", { brand: "visa", last4: "0005" }],
]);

/** Stripe's published test card numbers, each with its payment method. */
export const TEST_CARD_NUMBERS: ReadonlyMap<string, string> = new Map([
  ["4242424242424242", "pm_card_visa"],
  ["4000000000000002", "pm_card_chargeDeclined"],
  ["4000000000009995", "pm_card_chargeDeclinedInsufficientFunds"],
  ["4000002760003184", "pm_card_authenticationRequired"],
]);

/**
 * A processor that moves no real money. Its records are in a schema of their own; the service reads them only through
 * the processor's interface.
 * @param publicUrl where the page is that simulates a bank's verification
 */
export function createSandbox(db: Db, publicUrl: string): Processor {
  const stateOf = (intent: Omit<books.Intent, "testMethod">): IntentState => toState(intent, publicUrl);

  return {
    name: "sandbox",

    async attachCard(accountId, paymentMethod) {
      const method = TEST_METHODS.get(paymentMethod);
      if (method === undefined) return undefined;
      const now = await readClock(db);
      const { brand, last4 } = method;
      const card = {
        id: newBookId("pm"),
        brand,
        last4,
        expMonth: 12,
        expYear: now.getUTCFullYear() + VALID_YEARS,
      };
      await books.insertCard(db, accountId, card, paymentMethod);
      return card;
    },

    async detachCard(accountId, cardId) {
      await books.detachCard(db, accountId, cardId, await readClock(db));
    },

    composeCharge: ({ cardId, amountCents, currency, metadata }) => ({
      cardId,
      amountCents,
      currency,
      metadata,
    }),

    async prepare({ accountId, key, body }) {
      const asked = { accountId, key, ...(body as books.AskedIntent) };
      const intent = await books.insertIntent(db, newBookId("pi"), asked, await readClock(db));
      return intent.sameBody && stateOf(intent).status !== "refused"
        ? { status: "prepared", intentId: intent.id }
        : { status: "key_taken" };
    },

    async execute(intentId) {
      const intent = await books.findIntent(db, intentId);
      if (intent.status !== UNCONFIRMED) return stateOf(intent);
      const method = TEST_METHODS.get(intent.testMethod);
      if (method?.slow) await delay(SLOW);
      if (method?.authenticates)
        return stateOf(await books.moveIntent(db, intentId, { from: [UNCONFIRMED], to: "requires_action" }));
      const settled = stateOf(await settle(db, intentId, UNCONFIRMED, method?.declineCode));
      if (method?.loses) throw new Error("the sandbox's answer was lost on the way");
      return settled;
    },

    async read(intentId) {
      return stateOf(await books.findIntent(db, intentId));
    },

    async cancel(intentId) {
      const move = { from: CANCELABLE, to: "canceled", declineCode: "canceled" } as const;
      return stateOf(await books.moveIntent(db, intentId, move));
    },

    composePayout: ({ destination, sourceIntentId, amountCents, currency, metadata }) => ({
      destination,
      sourceIntentId,
      amountCents,
      currency,
      metadata,
    }),
    composeRefund: ({ sourceIntentId, amountCents, currency, metadata }) => ({
      sourceIntentId,
      amountCents,
      currency,
      metadata,
    }),
    payouts: sandboxPayouts(db),
    refunds: sandboxRefunds(db),

    async findIntent(intentId) {
      const [row] = await books.readIntents(db, { id: intentId });
      return row && toRecord(row, publicUrl);
    },

    async *listIntents(of) {
      for (const row of await books.readIntents(db, of)) yield toRecord(row, publicUrl);
    },

    // The sandbox has no refunds or disputes of its own accord.
    async *listReversals() {},

    checkout: sandboxCheckout(db, publicUrl, newBookId),
  };
}

/** Applies the person's answer on the bank's page: the money moves, or the card is refused. */
export async function answerAuthentication(db: Db, intentId: string, passed: boolean): Promise<void> {
  if ((await books.findAuthenticating(db, intentId)) === undefined) return;
  await settle(db, intentId, "requires_action", passed ? undefined : "authentication_failed");
}

/**
 * Pays a top-up's page with a test card, once, unless the page has ended.
 * @returns why the card did not pay, for people; `undefined`: it paid
 */
export async function payCheckout(
  db: Db,
  session: SessionRow,
  paymentMethod: string,
): Promise<string | undefined> {
  const method = TEST_METHODS.get(paymentMethod);
  if (method?.authenticates) return "This page has no bank that could verify you. Use another test card.";
  if (method === undefined || method.declineCode !== undefined) return refusalOf(method?.declineCode).message;
  const now = await readClock(db);
  const [cardId, intentId, chargeId] = [newBookId("pm"), newBookId("pi"), newBookId("ch")] as const;
  const card = { id: cardId, ...method, expMonth: 12, expYear: now.getUTCFullYear() + VALID_YEARS };
  await books.insertCard(db, session.account_id, card, paymentMethod);
  await paySession(db, session.id, { cardId, intentId, chargeId }, now);
  return undefined;
}

/** The sandbox's charges of an account, newest first, for the operator to compare. */
export async function listCharges(db: Db, accountId: string): Promise<Charge[]> {
  return (await books.listCharges(db, accountId)).map((row) => ({
    id: row.id,
    idempotencyKey: row.idempotency_key,
    amountCents: row.amount_cents,
    currency: row.currency,
    status: row.status,
    createdAt: row.created_at.toISOString(),
    metadata: row.metadata,
  }));
}

/** Charges or refuses an intent in one given state: a second caller changes nothing. */
async function settle(
  db: Db,
  intentId: string,
  from: "requires_confirmation" | "requires_action",
  declineCode: string | undefined,
): Promise<books.Intent> {
  return declineCode === undefined
    ? books.charge(db, intentId, newBookId("ch"), from, await readClock(db))
    : books.moveIntent(db, intentId, { from: [from], to: "requires_payment_method", declineCode });
}

function toState(
  intent: Pick<books.Intent, "id" | "status" | "declineCode">,
  publicUrl: string,
): IntentState {
  switch (intent.status) {
    case "requires_confirmation":
      return { status: "unconfirmed" };
    case "requires_action":
      return { status: "action_required", actionUrl: `${publicUrl}/sandbox/authenticate/${intent.id}` };
    case "succeeded":
      return { status: "succeeded" };
    default:
      return refusalOf(intent.declineCode);
  }
}

function toRecord(row: books.IntentRow, publicUrl: string): IntentRecord {
  return {
    id: row.id,
    accountId: row.account_id,
    milestoneId: row.metadata.milestoneId ?? null,
    topUpId: row.metadata.topUpId ?? null,
    refundedCents: 0,
    amountCents: row.amount_cents,
    currency: row.currency,
    state: toState({ ...row, declineCode: row.decline_code }, publicUrl),
    createdAt: row.created_at,
  };
}

function newBookId(prefix: string): string {
  return `${prefix}_${randomBytes(12).toString("hex")}`;
}
