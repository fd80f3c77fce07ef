import { randomBytes } from "node:crypto";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import type { Processor } from "./processor.ts";

/** The test payment methods that Stripe publishes, and two of our own (CONTRACT.md §8). */
const TEST_METHODS: ReadonlyMap<string, { brand: string; last4: string }> = new Map([
  ["pm_card_visa", { brand: "visa", last4: "4242" }],
  ["pm_card_chargeDeclined", { brand: "visa", last4: "0002" }],
  ["pm_card_chargeDeclinedInsufficientFunds", { brand: "visa", last4: "9995" }],
  ["pm_card_authenticationRequired", { brand: "visa", last4: "3184" }],
  ["pm_sandbox_slow", { brand: "visa", last4: "0003" }],
  ["pm_sandbox_timeout", { brand: "visa", last4: "0004" }],
]);
const VALID_YEARS = 4;

/**
 * A processor that moves no real money. Its books are in a schema of their own, and the service reads them
 * through the processor's interface alone, as it would those of a real one.
 */
export function createSandbox(db: Db): Processor {
  return {
    async attachCard(accountId, paymentMethod) {
      const method = TEST_METHODS.get(paymentMethod);
      if (method === undefined) return undefined;
      const expYear = (await readClock(db)).getUTCFullYear() + VALID_YEARS;
      const card = { id: `pm_${randomBytes(12).toString("hex")}`, ...method, expMonth: 12, expYear };
      await db
        .insertInto("sandbox.payment_methods")
        .values({
          id: card.id,
          account_id: accountId,
          test_method: paymentMethod,
          brand: card.brand,
          last4: card.last4,
          exp_month: card.expMonth,
          exp_year: card.expYear,
          detached_at: null,
        })
        .execute();
      return card;
    },

    async detachCard(accountId, cardId) {
      await db
        .updateTable("sandbox.payment_methods")
        .set({ detached_at: await readClock(db) })
        .where("id", "=", cardId)
        .where("account_id", "=", accountId)
        .where("detached_at", "is", null)
        .execute();
    },
  };
}
