import type Stripe from "stripe";
import { type Desk, type HeldIntent, look, mergeMetadata, newId, now, record } from "./books.ts";
import { confirmHeld, OPEN, usable } from "./confirmations.ts";
import { customerOf } from "./customers.ts";
import { invalid, refused, unexpectedState } from "./refusals.ts";

const CURRENCIES = ["usd", "eur", "gbp", "cad", "aud", "chf"];
const CANCELABLE =
  "requires_payment_method, requires_capture, requires_confirmation, requires_action, processing";

/** `POST /v1/payment_intents` */
export function createIntent(desk: Desk, fields: Stripe.PaymentIntentCreateParams): object {
  checkAmount(fields);
  const { confirm, off_session, return_url, use_stripe_sdk } = fields;
  for (const [name, value] of Object.entries({ off_session, return_url, use_stripe_sdk })) {
    if (value !== undefined && confirm !== true) {
      throw invalid(`You can only provide \`${name}\` when \`confirm\` is \`true\`.`, name);
    }
  }
  const customer = fields.customer === undefined ? null : customerOf(desk, fields.customer, "customer").id;
  const method =
    fields.payment_method === undefined ? undefined : usable(desk, fields.payment_method, customer);
  const id = newId("pi");
  const intent: Stripe.PaymentIntent = {
    id,
    object: "payment_intent",
    allowed_payment_method_types: fields.allowed_payment_method_types ?? null,
    amount: fields.amount,
    amount_capturable: 0,
    amount_details: { tip: {} },
    amount_received: 0,
    application: null,
    application_fee_amount: null,
    automatic_payment_methods: {
      enabled: fields.automatic_payment_methods?.enabled ?? true,
      allow_redirects: (fields.automatic_payment_methods?.allow_redirects ?? "always") as "always",
    },
    canceled_at: null,
    cancellation_reason: null,
    capture_method: (fields.capture_method ?? "automatic_async") as "automatic_async",
    client_secret: `${id}_${newId("secret")}`,
    confirmation_method: "automatic",
    created: now(desk),
    currency: fields.currency.toLowerCase(),
    customer,
    customer_account: null,
    description: fields.description ?? null,
    excluded_payment_method_types: null,
    last_payment_error: null,
    latest_charge: null,
    livemode: false,
    managed_payments: { enabled: false },
    metadata: mergeMetadata({}, fields.metadata),
    next_action: null,
    on_behalf_of: null,
    payment_method: method?.method.id ?? null,
    payment_method_configuration_details: null,
    payment_method_options: {
      card: { installments: null, mandate_options: null, network: null, request_three_d_secure: "automatic" },
    },
    payment_method_types: ["card"],
    payment_record: null,
    processing: null,
    receipt_email: fields.receipt_email ?? null,
    review: null,
    setup_future_usage: (fields.setup_future_usage as "off_session" | undefined) ?? null,
    shipping: null,
    source: null,
    statement_descriptor: fields.statement_descriptor ?? null,
    statement_descriptor_suffix: fields.statement_descriptor_suffix ?? null,
    status: method === undefined ? "requires_payment_method" : "requires_confirmation",
    transfer_data: null,
    transfer_group: fields.transfer_group ?? null,
  };
  const held: HeldIntent<Stripe.PaymentIntent> = { intent, attempt: undefined };
  desk.books.intents.set(id, held);
  record(desk, "payment_intent.created", intent);
  if (confirm) confirmHeld(desk, held, fields);
  return intent;
}

function checkAmount({ amount, currency }: { amount: number; currency: string }): void {
  if (!CURRENCIES.includes(currency.toLowerCase())) {
    throw invalid(
      `Invalid currency: ${currency}. Stripe currently supports these currencies: ${CURRENCIES.join(", ")}`,
      "currency",
    );
  }
  if (amount < 50) {
    throw refused(`Amount must be at least $0.50 ${currency}`, { code: "amount_too_small", param: "amount" });
  }
  if (amount > 99_999_999) {
    throw refused("Amount must be no more than $999,999.99", { code: "amount_too_large", param: "amount" });
  }
}

/** `POST /v1/payment_intents/{id}` */
export function updateIntent(desk: Desk, fields: Stripe.PaymentIntentUpdateParams, id: string): object {
  const { intent } = look(desk, "intents", id);
  const { metadata: given, expand: _, description, ...rest } = fields;
  const [first] = Object.keys(rest);
  if (first !== undefined && !OPEN.includes(intent.status)) {
    const message = `This PaymentIntent's ${first} could not be updated because it has a status of ${intent.status}. You may only update the ${first} of a PaymentIntent with one of the following statuses: ${OPEN.join(", ")}.`;
    throw unexpectedState(message, intent);
  }
  if (fields.amount !== undefined || fields.currency !== undefined) {
    const { amount = intent.amount, currency = intent.currency } = fields;
    checkAmount({ amount, currency });
    Object.assign(intent, { amount, currency });
  }
  if (fields.customer !== undefined) intent.customer = customerOf(desk, fields.customer, "customer").id;
  if (fields.payment_method !== undefined) {
    intent.payment_method = usable(desk, fields.payment_method, intent.customer as string | null).method.id;
    intent.status = "requires_confirmation";
    intent.next_action = null;
  }
  if (fields.transfer_group !== undefined) intent.transfer_group = fields.transfer_group;
  if (description !== undefined) intent.description = description;
  intent.metadata = mergeMetadata(intent.metadata, given);
  return intent;
}

/** `POST /v1/payment_intents/{id}/cancel`: from then on it can never move money. */
export function cancelIntent(
  desk: Desk,
  {
    cancellation_reason = null,
  }: { cancellation_reason?: Stripe.PaymentIntentCancelParams["cancellation_reason"] | null },
  id: string,
): object {
  const held = look(desk, "intents", id);
  const { intent } = held;
  if (!OPEN.includes(intent.status)) {
    throw unexpectedState(
      `You cannot cancel this PaymentIntent because it has a status of ${intent.status}. Only a PaymentIntent with one of the following statuses may be canceled: ${CANCELABLE}.`,
      intent,
    );
  }
  Object.assign(intent, {
    status: "canceled",
    canceled_at: now(desk),
    cancellation_reason,
    next_action: null,
  });
  held.attempt = undefined;
  record(desk, "payment_intent.canceled", intent);
  return intent;
}
