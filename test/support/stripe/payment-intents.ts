import type Stripe from "stripe";
import { bankPage } from "./bank-page.ts";
import {
  type Desk,
  type HeldIntent,
  type HeldMethod,
  look,
  mergeMetadata,
  newId,
  now,
  record,
} from "./books.ts";
import type { Decline } from "./cards.ts";
import { declineError, NEEDS_AUTHENTICATION, NOT_AUTHENTICATED } from "./declines.ts";
import { attach, behaviourOf, customerOf, resolveMethod, SPENT } from "./methods.ts";
import { makeCharge, openDispute } from "./money.ts";
import {
  address,
  either,
  expand,
  flag,
  hash,
  integer,
  listOf,
  metadata,
  NotPlayed,
  notPlayed,
  oneOf,
  pagination,
  type Rules,
  range,
  required,
  text,
  unsettable,
} from "./parameters.ts";
import { type ErrorBody, invalid, Refusal, refused, unexpectedState } from "./refusals.ts";

type Held = HeldIntent<Stripe.PaymentIntent>;

const CURRENCIES = ["usd", "eur", "gbp", "cad", "aud", "chf"];
const OPEN = ["requires_payment_method", "requires_confirmation", "requires_action"];
const CANCELABLE =
  "requires_payment_method, requires_capture, requires_confirmation, requires_action, processing";

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
  const held: Held = { intent, attempt: undefined };
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

/** The payment method, if this customer may pay with it. */
function usable(desk: Desk, id: string, customer: string | null): HeldMethod {
  const held = resolveMethod(desk, id, "payment_method");
  if (held.spent) throw refused(SPENT);
  const owner = held.method.customer as string | null;
  if (owner === null || owner === customer) return held;
  throw refused(
    customer === null
      ? `The PaymentMethod ${id} belongs to the Customer ${owner}. Please include the Customer in the \`customer\` parameter on the PaymentIntent.`
      : `The customer does not have a payment method with the ID ${id}. The payment method must be attached to the customer.`,
    { param: "payment_method" },
  );
}

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

export const confirmRules: Rules<Stripe.PaymentIntentConfirmParams> = {
  ...common,
  ...confirming,
  amount_to_confirm: notPlayed,
};

/** `POST /v1/payment_intents/{id}/confirm`: from here on money may move. */
export function confirmIntent(desk: Desk, fields: Stripe.PaymentIntentConfirmParams, id: string): object {
  const held = look(desk, "intents", id);
  confirmHeld(desk, held, fields);
  return held.intent;
}

type Confirming = Pick<
  Stripe.PaymentIntentConfirmParams,
  "off_session" | "payment_method" | "return_url" | "setup_future_usage" | "use_stripe_sdk"
>;

function confirmHeld(desk: Desk, held: Held, fields: Confirming): void {
  const { intent } = held;
  checkConfirmable(intent, fields);
  if (fields.use_stripe_sdk) throw new NotPlayed("this counterpart does not play use_stripe_sdk");
  const methods = intent.automatic_payment_methods;
  const mayRedirect =
    methods?.enabled && methods.allow_redirects !== "never" && intent.allowed_payment_method_types === null;
  if (mayRedirect && fields.return_url === undefined && !fields.off_session) {
    throw refused(
      "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of these payment methods might redirect your customer off of your page, you must provide a `return_url`. If you don't want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` to `true` and `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and Payment Intents.",
    );
  }
  const method = usable(
    desk,
    fields.payment_method ?? String(intent.payment_method),
    intent.customer as string | null,
  );
  intent.payment_method = method.method.id;
  if (fields.setup_future_usage) intent.setup_future_usage = fields.setup_future_usage as "off_session";
  intent.last_payment_error = null;
  intent.next_action = null;
  held.attempt = undefined;
  askBank(desk, held, method, fields);
}

function checkConfirmable(intent: Stripe.PaymentIntent, { payment_method }: Confirming): void {
  if (intent.status === "succeeded") {
    throw unexpectedState(
      "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed.",
      intent,
    );
  }
  if (intent.status === "requires_payment_method" && payment_method === undefined) {
    throw unexpectedState(
      "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a payment method or ConfirmationToken.",
      intent,
    );
  }
  if (!OPEN.includes(intent.status)) {
    throw unexpectedState(
      `You cannot confirm this PaymentIntent because it has a status of ${intent.status}. Only a PaymentIntent with one of the following statuses may be confirmed: requires_confirmation, requires_action.`,
      intent,
    );
  }
}

function askBank(desk: Desk, held: Held, method: HeldMethod, fields: Confirming): void {
  const { intent } = held;
  const { declines, declinesCharges, authenticates } = behaviourOf(method);
  const decline = declines ?? declinesCharges;
  if (decline !== undefined) throw declineHeld(desk, held, method, decline);
  const wantsToSee = authenticates === "always" || (authenticates === "until_set_up" && !method.setUp);
  if (!wantsToSee) {
    succeed(desk, held, method);
    return;
  }
  if (fields.off_session) throw declineHeld(desk, held, method, NEEDS_AUTHENTICATION);
  const returnUrl = fields.return_url ?? null;
  intent.status = "requires_action";
  if (returnUrl === null) {
    intent.next_action = { type: "use_stripe_sdk", use_stripe_sdk: {} };
  } else {
    held.attempt = { id: newId("payatt"), returnUrl, method: method.method.id };
    const url = bankPage(desk, intent, held.attempt);
    intent.next_action = { type: "redirect_to_url", redirect_to_url: { return_url: returnUrl, url } };
  }
  record(desk, "payment_intent.requires_action", intent);
}

function succeed(desk: Desk, held: Held, method: HeldMethod): void {
  const { intent } = held;
  if (desk.bankIsSlow) {
    intent.status = "processing";
    intent.processing = { type: "card", card: {} };
    record(desk, "payment_intent.processing", intent);
    return;
  }
  const charge = makeCharge(desk, intent, method, undefined);
  Object.assign(intent, {
    status: "succeeded",
    amount_received: intent.amount,
    latest_charge: charge.id,
    next_action: null,
    processing: null,
  });
  held.attempt = undefined;
  if (intent.setup_future_usage !== null && intent.customer !== null && method.method.customer === null) {
    attach(desk, method, intent.customer as string);
  } else if (method.method.customer === null) {
    method.spent = true;
  }
  record(desk, "payment_intent.succeeded", intent);
  if (behaviourOf(method).disputes) openDispute(desk, charge, "fraudulent");
}

/** The bank has said no. @returns the refusal to throw where somebody waits for the answer */
function declineHeld(desk: Desk, held: Held, method: HeldMethod, decline: Decline): Refusal {
  const charge = makeCharge(desk, held.intent, method, decline);
  held.intent.latest_charge = charge.id;
  const error = { ...declineError(decline), charge: charge.id };
  fail(desk, held, method, error);
  const { payment_method, ...said } = held.intent.last_payment_error ?? {};
  return new Refusal(402, {
    ...(said as ErrorBody),
    payment_intent: held.intent,
    ...(payment_method && { payment_method }),
  });
}

/** Back to the start: another payment method is needed. */
function fail(desk: Desk, held: Held, { method }: HeldMethod, error: ErrorBody): void {
  const { intent } = held;
  Object.assign(intent, {
    status: "requires_payment_method",
    last_payment_error: { ...error, payment_method: structuredClone(method) },
    next_action: null,
    payment_method: null,
    processing: null,
  });
  held.attempt = undefined;
  record(desk, "payment_intent.payment_failed", intent);
}

/** What the bank's page does when the person has answered, or when it has waited for too long. */
export function answerIntent(desk: Desk, held: Held, passed: boolean): void {
  const method = look(desk, "methods", held.attempt?.method ?? "");
  const { declinesAfterwards } = behaviourOf(method);
  if (!passed) fail(desk, held, method, NOT_AUTHENTICATED.payment_intent);
  else if (declinesAfterwards !== undefined) declineHeld(desk, held, method, declinesAfterwards);
  else succeed(desk, held, method);
}

/** What becomes of an intent that was left `processing`. */
export function settleProcessing(desk: Desk, id: string, decline?: Decline): void {
  const held = look(desk, "intents", id);
  if (held.intent.status !== "processing") throw new TypeError(`${id} is not processing`);
  const method = look(desk, "methods", String(held.intent.payment_method));
  if (decline === undefined) succeed(desk, held, method);
  else declineHeld(desk, held, method, decline);
}

export const cancelRules: Rules<Stripe.PaymentIntentCancelParams> = {
  cancellation_reason: oneOf("abandoned", "duplicate", "fraudulent", "requested_by_customer"),
  expand,
};

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

export const listRules: Rules<Stripe.PaymentIntentListParams> = {
  ...pagination,
  created: range,
  customer: text,
  customer_account: notPlayed,
};
