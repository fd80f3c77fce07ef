import type Stripe from "stripe";
import { type Desk, look, mergeMetadata, newId, now, record } from "./books.ts";
import { confirmHeld } from "./confirmations.ts";
import { customerOf } from "./customers.ts";
import {
  address,
  expand,
  hash,
  integer,
  listOf,
  metadata,
  notPlayed,
  oneOf,
  pagination,
  type Rules,
  range,
  required,
  text,
} from "./parameters.ts";
import { createIntent } from "./payment-intents.ts";
import { refused } from "./refusals.ts";

/** Unless a session says otherwise. */
const OPEN_SECONDS = 24 * 60 * 60;

const LINE_ITEM = {
  quantity: required(integer(1)),
  price_data: required(
    hash({
      currency: required(text),
      unit_amount: required(integer(1)),
      product_data: required(hash({ name: required(text) })),
    }),
  ),
};

export const createRules: Rules<Stripe.Checkout.SessionCreateParams> = {
  adaptive_pricing: notPlayed,
  after_expiration: notPlayed,
  allow_promotion_codes: notPlayed,
  allowed_payment_method_types: listOf(oneOf("card")),
  automatic_tax: notPlayed,
  billing_address_collection: notPlayed,
  branding_settings: notPlayed,
  cancel_url: address,
  client_reference_id: text,
  consent_collection: notPlayed,
  currency: notPlayed,
  custom_fields: notPlayed,
  custom_text: notPlayed,
  customer: required(text),
  customer_account: notPlayed,
  customer_creation: notPlayed,
  customer_email: notPlayed,
  customer_update: notPlayed,
  discounts: notPlayed,
  excluded_payment_method_types: notPlayed,
  expand: expand,
  expires_at: notPlayed,
  integration_identifier: notPlayed,
  invoice_creation: notPlayed,
  line_items: required(listOf(hash(LINE_ITEM))),
  locale: notPlayed,
  managed_payments: notPlayed,
  metadata: metadata,
  mode: required(oneOf("payment")),
  name_collection: notPlayed,
  optional_items: notPlayed,
  origin_context: notPlayed,
  payment_intent_data: hash({ description: text, metadata }),
  payment_method_collection: notPlayed,
  payment_method_configuration: notPlayed,
  payment_method_data: notPlayed,
  payment_method_options: notPlayed,
  permissions: notPlayed,
  phone_number_collection: notPlayed,
  redirect_on_completion: notPlayed,
  return_url: notPlayed,
  saved_payment_method_options: notPlayed,
  setup_intent_data: notPlayed,
  shipping_address_collection: notPlayed,
  shipping_options: notPlayed,
  submit_type: notPlayed,
  subscription_data: notPlayed,
  success_url: required(address),
  tax_id_collection: notPlayed,
  ui_mode: notPlayed,
  wallet_options: notPlayed,
};

export const listRules: Rules<Stripe.Checkout.SessionListParams> = {
  ...pagination,
  created: range,
  customer: text,
  customer_account: notPlayed,
  customer_details: notPlayed,
  payment_intent: text,
  payment_link: notPlayed,
  status: oneOf("complete", "expired", "open"),
  subscription: notPlayed,
};

export const expireRules: Rules<Stripe.Checkout.SessionExpireParams> = { expand };

/** `POST /v1/checkout/sessions`: a page on which a person pays. Its PaymentIntent comes with the payment. */
export function createSession(desk: Desk, fields: Stripe.Checkout.SessionCreateParams): object {
  const id = newId("cs_test", 58);
  const customer = customerOf(desk, fields.customer ?? "", "customer").id;
  const [item] = fields.line_items ?? [];
  const amount = (item?.price_data?.unit_amount ?? 0) * (item?.quantity ?? 0);
  const session = {
    id,
    object: "checkout.session",
    adaptive_pricing: { enabled: false },
    after_expiration: null,
    allow_promotion_codes: null,
    allowed_payment_method_types: fields.allowed_payment_method_types ?? null,
    amount_subtotal: amount,
    amount_total: amount,
    automatic_tax: { enabled: false, liability: null, provider: null, status: null },
    billing_address_collection: null,
    cancel_url: fields.cancel_url ?? null,
    client_reference_id: fields.client_reference_id ?? null,
    client_secret: null,
    collected_information: null,
    consent: null,
    consent_collection: null,
    created: now(desk),
    currency: item?.price_data?.currency ?? null,
    currency_conversion: null,
    custom_fields: [],
    custom_text: {
      after_submit: null,
      shipping_address: null,
      submit: null,
      terms_of_service_acceptance: null,
    },
    customer,
    customer_account: null,
    customer_creation: null,
    customer_details: null,
    customer_email: null,
    discounts: [],
    expires_at: now(desk) + OPEN_SECONDS,
    integration_identifier: null,
    invoice: null,
    invoice_creation: null,
    livemode: false,
    locale: null,
    managed_payments: null,
    metadata: mergeMetadata({}, fields.metadata),
    mode: "payment",
    origin_context: null,
    payment_intent: null,
    payment_link: null,
    payment_method_collection: "if_required",
    payment_method_configuration_details: null,
    payment_method_options: { card: { request_three_d_secure: "automatic" } },
    payment_method_types: ["card"],
    payment_status: "unpaid",
    permissions: null,
    recovered_from: null,
    saved_payment_method_options: null,
    setup_intent: null,
    shipping_address_collection: null,
    shipping_cost: null,
    shipping_options: [],
    status: "open",
    submit_type: null,
    subscription: null,
    success_url: fields.success_url ?? null,
    total_details: { amount_discount: 0, amount_shipping: 0, amount_tax: 0 },
    ui_mode: "hosted_page",
    url: `https://checkout.stripe.com/c/pay/${id}`,
    wallet_options: null,
  } as unknown as Stripe.Checkout.Session;
  desk.books.sessions.set(id, { session, paymentIntentData: fields.payment_intent_data ?? {} });
  return session;
}

/** A session as it stands by now: one that was open for too long has expired. */
export function readSession(desk: Desk, id: string): Stripe.Checkout.Session {
  const { session } = look(desk, "sessions", id);
  if (session.status === "open" && now(desk) >= session.expires_at) expire(desk, session);
  return session;
}

/** `POST /v1/checkout/sessions/{id}/expire` */
export function expireSession(desk: Desk, _fields: object, id: string): object {
  const session = readSession(desk, id);
  if (session.status !== "open") {
    throw refused(
      `Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of ${session.status}.`,
    );
  }
  expire(desk, session);
  return session;
}

function expire(desk: Desk, session: Stripe.Checkout.Session): void {
  Object.assign(session, { status: "expired", url: null });
  record(desk, "checkout.session.expired", session);
}

/** What a person does on the page: pays with a card of their own. Throws what their bank says. */
export function paySession(desk: Desk, id: string, paymentMethod: string): Stripe.Checkout.Session {
  const session = readSession(desk, id);
  if (session.status !== "open") throw new TypeError(`${id} is ${session.status}`);
  const { paymentIntentData } = look(desk, "sessions", id);
  const intent = createIntent(desk, {
    ...(paymentIntentData as Stripe.PaymentIntentCreateParams),
    amount: session.amount_total ?? 0,
    currency: session.currency ?? "",
    customer: session.customer as string,
  }) as Stripe.PaymentIntent;
  const held = look(desk, "intents", intent.id);
  confirmHeld(desk, held, { payment_method: paymentMethod, return_url: session.success_url ?? "" });
  if (intent.status !== "succeeded") throw new TypeError(`${intent.id} is ${intent.status}`);
  Object.assign(session, {
    status: "complete",
    payment_status: "paid",
    payment_intent: intent.id,
    url: null,
  });
  record(desk, "checkout.session.completed", session);
  return session;
}
