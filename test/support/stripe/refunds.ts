import type Stripe from "stripe";
import { bookTransaction } from "./balance.ts";
import { type Desk, look, mergeMetadata, newId, now, record } from "./books.ts";
import { behaviourOf } from "./methods.ts";
import {
  expand,
  integer,
  metadata,
  notPlayed,
  oneOf,
  pagination,
  type Rules,
  range,
  text,
  unsettable,
} from "./parameters.ts";
import { invalid, refused } from "./refusals.ts";

export const createRefundRules: Rules<Stripe.RefundCreateParams> = {
  amount: integer(1),
  charge: text,
  currency: notPlayed,
  customer: notPlayed,
  expand,
  instructions_email: notPlayed,
  metadata: unsettable(metadata),
  origin: notPlayed,
  payment_intent: text,
  reason: oneOf("duplicate", "fraudulent", "requested_by_customer"),
  refund_application_fee: notPlayed,
  reverse_transfer: notPlayed,
};

/** `POST /v1/refunds` */
export function createRefund(desk: Desk, fields: Stripe.RefundCreateParams): Stripe.Refund {
  const charge = chargeToRefund(desk, fields);
  const left = charge.amount - charge.amount_refunded;
  if (left === 0) {
    throw refused(`Charge ${charge.id} has already been refunded.`, { code: "charge_already_refunded" });
  }
  const disputes = [...desk.books.disputes.values()].filter((dispute) => dispute.charge === charge.id);
  if (disputes.some(({ status }) => status !== "won")) {
    throw refused(`Charge ${charge.id} has been charged back; cannot issue a refund.`, {
      code: "charge_disputed",
    });
  }
  const amount = fields.amount ?? left;
  if (amount > left) {
    const message = `Refund amount (${dollars(amount)}) is greater than unrefunded amount on charge (${dollars(left)})`;
    throw refused(message, { param: "amount" });
  }
  const refund: Stripe.Refund = {
    id: newId("re"),
    object: "refund",
    amount,
    balance_transaction: null,
    charge: charge.id,
    created: now(desk),
    currency: charge.currency,
    customer: charge.customer,
    customer_account: null,
    destination_details: { card: { type: "refund" }, type: "card" },
    metadata: mergeMetadata({}, fields.metadata),
    payment_intent: charge.payment_intent,
    payment_method: charge.payment_method,
    reason: (fields.reason as Stripe.Refund.Reason | undefined) ?? null,
    receipt_number: null,
    source_transfer_reversal: null,
    status: "succeeded",
    transfer_reversal: null,
  };
  refund.balance_transaction = bookTransaction(desk, refund, { type: "refund", amount: -amount, fee: 0 }).id;
  desk.books.refunds.set(refund.id, refund);
  charge.amount_refunded += amount;
  charge.refunded = charge.amount_refunded === charge.amount;
  const method = desk.books.methods.get(String(charge.payment_method));
  const behaves = method && behaviourOf(method).refunds;
  if (behaves === "pending") refund.status = "pending";
  record(desk, "refund.created", refund);
  record(desk, "charge.refunded", charge);
  // Stripe's answer says that it succeeded; a moment later the bank gives it back.
  if (behaves === "failed") {
    const answered = structuredClone(refund);
    failRefund(desk, refund.id);
    return answered;
  }
  return refund;
}

/** What the bank says of a refund that was left pending. */
export function settleRefund(desk: Desk, id: string): Stripe.Refund {
  const refund = look(desk, "refunds", id);
  refund.status = "succeeded";
  record(desk, "refund.updated", refund);
  return refund;
}

/** What happens when the bank gives a refund back, days later. */
export function failRefund(desk: Desk, id: string): Stripe.Refund {
  const refund = look(desk, "refunds", id);
  const charge = look(desk, "charges", String(refund.charge));
  Object.assign(refund, { status: "failed", failure_reason: "expired_or_canceled_card" });
  const back = bookTransaction(desk, refund, { type: "refund", amount: refund.amount, fee: 0 });
  refund.failure_balance_transaction = back.id;
  charge.amount_refunded -= refund.amount;
  charge.refunded = false;
  record(desk, "refund.failed", refund);
  record(desk, "charge.refund.updated", refund);
  return refund;
}

function chargeToRefund(desk: Desk, { charge, payment_intent }: Stripe.RefundCreateParams): Stripe.Charge {
  if (charge !== undefined) return look(desk, "charges", charge, "charge");
  if (payment_intent === undefined) {
    throw invalid(
      "One of the following params should be provided for this request: payment_intent or charge.",
      "charge",
    );
  }
  const { intent } = look(desk, "intents", payment_intent, "payment_intent");
  if (intent.status !== "succeeded") {
    throw refused(`This PaymentIntent (${intent.id}) does not have a successful charge to refund.`, {
      param: "payment_intent",
    });
  }
  return look(desk, "charges", String(intent.latest_charge));
}

function dollars(cents: number): string {
  return `$${(cents / 100).toFixed(2)}`;
}

export const listRefundsRules: Rules<Stripe.RefundListParams> = {
  ...pagination,
  charge: text,
  created: range,
  payment_intent: text,
};
