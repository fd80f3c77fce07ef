import type Stripe from "stripe";
import { bookTransaction } from "./balance.ts";
import { type Desk, type HeldMethod, newId, now, record } from "./books.ts";
import type { Decline } from "./cards.ts";
import { pagination, type Rules, range, text } from "./parameters.ts";

/** Asks the bank for the money: a charge that succeeded, or one that failed and moved nothing. */
export function makeCharge(
  desk: Desk,
  intent: Stripe.PaymentIntent,
  { method }: HeldMethod,
  decline: Decline | undefined,
): Stripe.Charge {
  const { amount, currency } = intent;
  const paid = decline === undefined;
  const id = newId("ch");
  const charge: Stripe.Charge = {
    id,
    object: "charge",
    amount,
    amount_captured: paid ? amount : 0,
    amount_refunded: 0,
    application: null,
    application_fee: null,
    application_fee_amount: null,
    balance_transaction: null,
    billing_details: { ...method.billing_details },
    calculated_statement_descriptor: "COUNTERSIGN",
    captured: paid,
    created: now(desk),
    currency,
    customer: intent.customer,
    description: intent.description,
    disputed: false,
    failure_balance_transaction: null,
    failure_code: decline?.code ?? null,
    failure_message: decline?.message ?? null,
    fraud_details: {},
    livemode: false,
    metadata: { ...intent.metadata },
    on_behalf_of: null,
    outcome: {
      advice_code: null,
      network_advice_code: null,
      network_decline_code: null,
      network_status: paid ? "approved_by_network" : "declined_by_network",
      reason: decline?.declineCode ?? decline?.code ?? null,
      risk_level: "normal",
      seller_message: paid
        ? "Payment complete."
        : "The bank did not return any further details with this decline.",
      type: paid ? "authorized" : "issuer_declined",
    },
    paid,
    payment_intent: intent.id,
    payment_method: method.id,
    payment_method_details: { type: "card", card: cardOf(method, amount) },
    receipt_email: intent.receipt_email,
    receipt_number: null,
    receipt_url: paid ? `https://pay.stripe.com/receipts/payment/${id}` : null,
    refunded: false,
    review: null,
    shipping: null,
    source: null,
    source_transfer: null,
    statement_descriptor: intent.statement_descriptor,
    statement_descriptor_suffix: intent.statement_descriptor_suffix,
    status: paid ? "succeeded" : "failed",
    transfer_data: null,
    transfer_group: intent.transfer_group,
  };
  desk.books.charges.set(id, charge);
  record(desk, paid ? "charge.succeeded" : "charge.failed", charge);
  return charge;
}

/** A charge is captured in the background: what it brings stands in the balance a little later. */
export function captureCharge(desk: Desk, charge: Stripe.Charge): void {
  const { amount } = charge;
  const fee = Math.round(amount * 0.029) + 30;
  charge.balance_transaction = bookTransaction(desk, charge, { type: "charge", amount, fee }).id;
  record(desk, "charge.updated", charge);
}

function cardOf({ card }: Stripe.PaymentMethod, amount: number): Stripe.Charge.PaymentMethodDetails.Card {
  if (card === undefined) throw new TypeError("all payment methods here are cards");
  const { brand, checks, country, exp_month, exp_year, fingerprint, funding, last4, regulated_status } = card;
  return {
    amount_authorized: amount,
    authorization_code: "123456",
    brand,
    checks,
    country,
    electronic_commerce_indicator: null,
    exp_month,
    exp_year,
    fingerprint: fingerprint ?? null,
    funding,
    installments: null,
    last4,
    mandate: null,
    network: brand,
    network_token: { used: false },
    network_transaction_id: newId("ntx", 15).slice(4),
    regulated_status,
    three_d_secure: null,
    transaction_link_id: null,
    wallet: null,
  };
}

export const listChargesRules: Rules<Stripe.ChargeListParams> = {
  ...pagination,
  created: range,
  customer: text,
  payment_intent: text,
  transfer_group: text,
};
