import type Stripe from "stripe";
import { bookTransaction } from "./balance.ts";
import { type Desk, look, newId, now, record } from "./books.ts";
import { pagination, type Rules, range, text } from "./parameters.ts";
import { refused } from "./refusals.ts";

const FEE = 1_500;

/** What a cardholder does at their bank: the money is taken back at once, until it is decided. */
export function openDispute(
  desk: Desk,
  charge: Stripe.Charge,
  reason: string,
  amount = charge.amount - charge.amount_refunded,
): Stripe.Dispute {
  const { currency } = charge;
  const id = newId("du");
  const withdrawn = bookTransaction(
    desk,
    { id, currency },
    { type: "adjustment", amount: -amount, fee: FEE },
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
    evidence: EVIDENCE,
    evidence_details: {
      due_by: now(desk) + 7 * 24 * 60 * 60,
      enhanced_eligibility: {},
      has_evidence: false,
      past_due: false,
      submission_count: 0,
      submission_method: "manual",
    },
    intended_submission_method: null,
    is_charge_refundable: false,
    livemode: false,
    metadata: {},
    payment_intent: charge.payment_intent,
    payment_method_details: {
      type: "card",
      card: {
        brand: charge.payment_method_details?.card?.brand ?? "visa",
        case_type: "chargeback",
        network: charge.payment_method_details?.card?.network ?? "visa",
        network_reason_code: "10.4",
      },
    },
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
      bookTransaction(desk, dispute, { type: "adjustment", amount, fee: -FEE }),
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

export const listDisputesRules: Rules<Stripe.DisputeListParams> = {
  ...pagination,
  charge: text,
  created: range,
  payment_intent: text,
};

const EVIDENCE: Stripe.Dispute.Evidence = {
  access_activity_log: null,
  billing_address: null,
  cancellation_policy: null,
  cancellation_policy_disclosure: null,
  cancellation_rebuttal: null,
  customer_communication: null,
  customer_email_address: null,
  customer_name: null,
  customer_purchase_ip: null,
  customer_signature: null,
  duplicate_charge_documentation: null,
  duplicate_charge_explanation: null,
  duplicate_charge_id: null,
  enhanced_evidence: {},
  product_description: null,
  receipt: null,
  refund_policy: null,
  refund_policy_disclosure: null,
  refund_refusal_explanation: null,
  service_date: null,
  service_documentation: null,
  shipping_address: null,
  shipping_carrier: null,
  shipping_date: null,
  shipping_documentation: null,
  shipping_tracking_number: null,
  uncategorized_file: null,
  uncategorized_text: null,
};
