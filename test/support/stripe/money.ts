import type Stripe from "stripe";
import { type Desk, type HeldMethod, look, mergeMetadata, newId, now, record } from "./books.ts";
import type { Decline } from "./cards.ts";
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

const DISPUTE_FEE = 1_500;
const AVAILABLE_AFTER_SECONDS = 2 * 24 * 60 * 60;

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
    payment_method_details: { type: "card" },
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
    transfer_group: intent.transfer_group ?? (paid ? `group_${intent.id}` : null),
  };
  if (paid) {
    const fee = Math.round(amount * 0.029) + 30;
    charge.balance_transaction = bookTransaction(desk, charge, { type: "charge", amount, fee }).id;
  }
  desk.books.charges.set(id, charge);
  record(desk, paid ? "charge.succeeded" : "charge.failed", charge);
  return charge;
}

function bookTransaction(
  desk: Desk,
  source: { id: string; currency: string },
  { type, amount, fee }: { type: "charge" | "refund" | "adjustment"; amount: number; fee: number },
): Stripe.BalanceTransaction {
  const created = now(desk);
  const description = fee === DISPUTE_FEE ? "Dispute fee" : "Stripe processing fees";
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
  if (charge.disputed) {
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
  record(desk, "refund.created", refund);
  record(desk, "charge.refunded", charge);
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

/** What a cardholder does at their bank: the money is taken back at once, until it is decided. */
export function openDispute(desk: Desk, charge: Stripe.Charge, reason: string): Stripe.Dispute {
  const { currency } = charge;
  const amount = charge.amount - charge.amount_refunded;
  const id = newId("du");
  const withdrawn = bookTransaction(
    desk,
    { id, currency },
    { type: "adjustment", amount: -amount, fee: DISPUTE_FEE },
  );
  const dispute = {
    id,
    object: "dispute",
    amount,
    balance_transactions: [withdrawn],
    charge: charge.id,
    created: now(desk),
    currency,
    enhanced_eligibility_types: [],
    evidence: {} as Stripe.Dispute.Evidence,
    evidence_details: {
      due_by: now(desk) + 7 * 24 * 60 * 60,
      enhanced_eligibility: {},
      has_evidence: false,
      past_due: false,
      submission_count: 0,
    } as unknown as Stripe.Dispute.EvidenceDetails,
    intended_submission_method: null,
    is_charge_refundable: false,
    livemode: false,
    metadata: {},
    payment_intent: charge.payment_intent,
    reason,
    status: "needs_response",
  } satisfies Stripe.Dispute;
  desk.books.disputes.set(id, dispute);
  charge.disputed = true;
  record(desk, "charge.dispute.created", dispute);
  record(desk, "charge.dispute.funds_withdrawn", dispute);
  return dispute;
}

export function closeDispute(desk: Desk, id: string, status: "won" | "lost"): Stripe.Dispute {
  const dispute = look(desk, "disputes", id);
  dispute.status = status;
  if (status === "won") {
    const { amount } = dispute;
    dispute.balance_transactions.push(
      bookTransaction(desk, dispute, { type: "adjustment", amount, fee: -DISPUTE_FEE }),
    );
    record(desk, "charge.dispute.funds_reinstated", dispute);
  }
  record(desk, "charge.dispute.closed", dispute);
  return dispute;
}

/** `POST /v1/disputes/{id}/close`: gives the money up. */
export function acceptDispute(desk: Desk, _fields: object, id: string): object {
  const dispute = look(desk, "disputes", id);
  if (dispute.status !== "needs_response") throw refused("This dispute is already closed");
  return closeDispute(desk, id, "lost");
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

export const listChargesRules: Rules<Stripe.ChargeListParams> = {
  ...pagination,
  created: range,
  customer: text,
  payment_intent: text,
  transfer_group: text,
};
export const listRefundsRules: Rules<Stripe.RefundListParams> = {
  ...pagination,
  charge: text,
  created: range,
  payment_intent: text,
};
export const listDisputesRules: Rules<Stripe.DisputeListParams> = {
  ...pagination,
  charge: text,
  created: range,
  payment_intent: text,
};
export const listTransactionsRules: Rules<Stripe.BalanceTransactionListParams> = {
  ...pagination,
  created: range,
  currency: text,
  payout: notPlayed,
  source: text,
  type: text,
};
