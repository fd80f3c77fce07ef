import type Stripe from "stripe";
import {
  address,
  either,
  expand,
  flag,
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
  unsettable,
} from "./parameters.ts";

const common = {
  allowed_payment_method_types: listOf(oneOf("card")),
  amount_details: notPlayed,
  capture_method: oneOf("automatic", "automatic_async"),
  excluded_payment_method_types: notPlayed,
  expand,
  hooks: notPlayed,
  payment_details: notPlayed,
  payment_method: text,
  payment_method_data: notPlayed,
  payment_method_options: hash({ card: hash({ request_three_d_secure: oneOf("automatic") }) }),
  receipt_email: text,
  setup_future_usage: oneOf("off_session", "on_session"),
  shipping: notPlayed,
};

const confirming = {
  confirmation_token: notPlayed,
  error_on_requires_action: notPlayed,
  mandate: notPlayed,
  mandate_data: notPlayed,
  off_session: either(flag, oneOf("one_off", "recurring")),
  radar_options: notPlayed,
  return_url: address,
  use_stripe_sdk: flag,
};

export const createRules: Rules<Stripe.PaymentIntentCreateParams> = {
  ...common,
  ...confirming,
  amount: required(integer(1)),
  currency: required(text),
  application_fee_amount: notPlayed,
  automatic_payment_methods: hash({ enabled: required(flag), allow_redirects: oneOf("always", "never") }),
  confirm: flag,
  confirmation_method: oneOf("automatic"),
  customer: text,
  customer_account: notPlayed,
  description: text,
  metadata,
  on_behalf_of: notPlayed,
  payment_method_configuration: notPlayed,
  statement_descriptor: text,
  statement_descriptor_suffix: text,
  transfer_data: notPlayed,
  transfer_group: text,
};

export const updateRules: Rules<Stripe.PaymentIntentUpdateParams> = {
  ...common,
  amount: integer(1),
  application_fee_amount: notPlayed,
  currency: text,
  customer: text,
  customer_account: notPlayed,
  description: text,
  metadata: unsettable(metadata),
  payment_method_configuration: notPlayed,
  statement_descriptor: text,
  statement_descriptor_suffix: text,
  transfer_data: notPlayed,
  transfer_group: text,
};

export const confirmRules: Rules<Stripe.PaymentIntentConfirmParams> = {
  ...common,
  ...confirming,
  amount_to_confirm: notPlayed,
};

export const cancelRules: Rules<Stripe.PaymentIntentCancelParams> = {
  cancellation_reason: oneOf("abandoned", "duplicate", "fraudulent", "requested_by_customer"),
  expand,
};

export const listRules: Rules<Stripe.PaymentIntentListParams> = {
  ...pagination,
  created: range,
  customer: text,
  customer_account: notPlayed,
};
