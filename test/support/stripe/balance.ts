import type Stripe from "stripe";
import { type Desk, newId, now } from "./books.ts";
import { notPlayed, pagination, type Rules, range, text } from "./parameters.ts";

const AVAILABLE_AFTER_SECONDS = 2 * 24 * 60 * 60;

/** Writes down what a movement leaves in the balance. */
export function bookTransaction(
  desk: Desk,
  source: { id: string; currency: string },
  {
    type,
    amount,
    fee,
  }: { type: "charge" | "refund" | "adjustment" | "transfer"; amount: number; fee: number },
): Stripe.BalanceTransaction {
  const created = now(desk);
  const description = type === "adjustment" ? "Dispute fee" : "Stripe processing fees";
  const transaction: Stripe.BalanceTransaction = {
    id: newId("txn"),
    object: "balance_transaction",
    amount,
    available_on: created + AVAILABLE_AFTER_SECONDS,
    balance_type: "payments",
    created,
    currency: source.currency,
    description: null,
    exchange_rate: null,
    fee,
    fee_details:
      fee === 0
        ? []
        : [{ amount: fee, application: null, currency: source.currency, description, type: "stripe_fee" }],
    net: amount - fee,
    reporting_category: type === "adjustment" ? "dispute" : type,
    source: source.id,
    status: "pending",
    type,
  };
  desk.books.transactions.set(transaction.id, transaction);
  return transaction;
}

/** `GET /v1/balance`: it rests there until it is transferred or paid out. */
export function readBalance(desk: Desk): Stripe.Balance {
  const all = [...desk.books.transactions.values()];
  const sum = (pick: (transaction: Stripe.BalanceTransaction) => boolean) => {
    const byCurrency = Map.groupBy(all.filter(pick), ({ currency }) => currency);
    byCurrency.set("usd", byCurrency.get("usd") ?? []);
    return [...byCurrency].map(([currency, transactions]) => {
      const amount = transactions.reduce((total, { net }) => total + net, 0);
      return { amount, currency, source_types: { card: amount } };
    });
  };
  const at = now(desk);
  return {
    object: "balance",
    available: sum(({ available_on }) => available_on <= at),
    livemode: false,
    pending: sum(({ available_on }) => available_on > at),
  };
}

export const listTransactionsRules: Rules<Stripe.BalanceTransactionListParams> = {
  ...pagination,
  created: range,
  currency: text,
  payout: notPlayed,
  source: text,
  type: text,
};
