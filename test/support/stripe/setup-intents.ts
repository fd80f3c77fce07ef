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
import { customerOf } from "./customers.ts";
import { declineError, NOT_AUTHENTICATED } from "./declines.ts";
import { attach, behaviourOf, methodFromNumber, resolveMethod, SPENT } from "./methods.ts";
import {
  address,
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
} from "./parameters.ts";
import { type ErrorBody, Refusal, refused, unexpectedState } from "./refusals.ts";

type Held = HeldIntent<Stripe.SetupIntent>;

const OPEN = ["requires_payment_method", "requires_confirmation", "requires_action"];

const common = {
  allowed_payment_method_types: listOf(oneOf("card")),
  confirmation_token: notPlayed,
  expand,
  mandate_data: notPlayed,
  payment_method: text,
  payment_method_options: hash({ card: hash({ request_three_d_secure: oneOf("automatic") }) }),
  return_url: address,
  use_stripe_sdk: flag,
};

export const createRules: Rules<Stripe.SetupIntentCreateParams> = {
  ...common,
  attach_to_self: notPlayed,
  automatic_payment_methods: hash({ enabled: required(flag), allow_redirects: oneOf("always", "never") }),
  confirm: flag,
  customer: text,
  customer_account: notPlayed,
  description: text,
  excluded_payment_method_types: notPlayed,
  flow_directions: notPlayed,
  metadata,
  on_behalf_of: notPlayed,
  payment_method_configuration: notPlayed,
  payment_method_data: notPlayed,
  single_use: notPlayed,
  usage: oneOf("off_session", "on_session"),
};

/** `POST /v1/setup_intents` */
export function createSetup(desk: Desk, fields: Stripe.SetupIntentCreateParams): object {
  const customer = fields.customer === undefined ? null : customerOf(desk, fields.customer, "customer").id;
  const method =
    fields.payment_method === undefined
      ? undefined
      : resolveMethod(desk, fields.payment_method, "payment_method");
  const id = newId("seti");
  const intent: Stripe.SetupIntent = {
    id,
    object: "setup_intent",
    allowed_payment_method_types: fields.allowed_payment_method_types ?? null,
    application: null,
    automatic_payment_methods: {
      enabled: fields.automatic_payment_methods?.enabled ?? true,
      allow_redirects: (fields.automatic_payment_methods?.allow_redirects ?? "always") as "always",
    },
    cancellation_reason: null,
    client_secret: `${id}_${newId("secret", 30)}`,
    created: now(desk),
    customer,
    customer_account: null,
    description: fields.description ?? null,
    excluded_payment_method_types: null,
    flow_directions: null,
    last_setup_error: null,
    latest_attempt: null,
    livemode: false,
    managed_payments: { enabled: false },
    mandate: null,
    metadata: mergeMetadata({}, fields.metadata),
    next_action: null,
    on_behalf_of: null,
    payment_method: method?.method.id ?? null,
    payment_method_configuration_details: null,
    payment_method_options: {
      card: { mandate_options: null, network: null, request_three_d_secure: "automatic" },
    },
    payment_method_types: ["card"],
    single_use_mandate: null,
    status: method === undefined ? "requires_payment_method" : "requires_confirmation",
    usage: fields.usage ?? "off_session",
  };
  const held: Held = { intent, attempt: undefined };
  desk.books.setupIntents.set(id, held);
  record(desk, "setup_intent.created", intent);
  if (fields.confirm) confirmHeld(desk, held, fields, method);
  return intent;
}

/** With a secret key. */
export const confirmRules: Rules<Stripe.SetupIntentConfirmParams> = {
  ...common,
  payment_method_data: notPlayed,
};

/** What Stripe's script sends: the card as it was typed, and the proof that the page was given. */
export const confirmInBrowserRules = {
  ...confirmRules,
  client_secret: required(text),
  payment_method_data: hash({
    type: required(oneOf("card")),
    card: required(
      hash({ number: required(text), exp_month: integer(1, 12), exp_year: integer(0), cvc: text }),
    ),
  }),
};

export type ConfirmInBrowser = Stripe.SetupIntentConfirmParams & {
  client_secret?: string;
  payment_method_data?: { card?: { number: string } };
};

/** `POST /v1/setup_intents/{id}/confirm` */
export function confirmSetup(desk: Desk, fields: ConfirmInBrowser, id: string): object {
  const held = look(desk, "setupIntents", id);
  const number = fields.payment_method_data?.card?.number;
  const typed = number === undefined ? undefined : methodFromNumber(desk, number);
  confirmHeld(desk, held, fields, typed);
  return held.intent;
}

function confirmHeld(
  desk: Desk,
  held: Held,
  fields: Pick<Stripe.SetupIntentConfirmParams, "payment_method" | "return_url" | "use_stripe_sdk">,
  given: HeldMethod | undefined,
): void {
  const { intent } = held;
  if (fields.use_stripe_sdk) throw new NotPlayed("this counterpart does not play use_stripe_sdk");
  const id = fields.payment_method ?? (intent.payment_method as string | null);
  if (!OPEN.includes(intent.status)) {
    throw unexpectedState(
      `You cannot confirm this SetupIntent because it has a status of ${intent.status}. Only a SetupIntent with one of the following statuses may be confirmed: requires_confirmation, requires_action.`,
      intent,
    );
  }
  const method = given ?? (id === null ? undefined : resolveMethod(desk, id, "payment_method"));
  if (method === undefined) {
    throw unexpectedState(
      "You cannot confirm this SetupIntent because it's missing a payment method. Update the SetupIntent with a payment method and then confirm it again.",
      intent,
    );
  }
  if (method.spent) throw refused(SPENT);
  const methods = intent.automatic_payment_methods;
  const mayRedirect =
    methods?.enabled && methods.allow_redirects !== "never" && intent.allowed_payment_method_types === null;
  if (mayRedirect && fields.return_url === undefined) {
    throw refused(
      "This SetupIntent is configured to accept payment methods enabled in your Dashboard. Because some of these payment methods might redirect your customer off of your page, you must provide a `return_url`. If you don't want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` to `true` and `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and Payment Intents.",
    );
  }
  intent.payment_method = method.method.id;
  intent.last_setup_error = null;
  intent.next_action = null;
  held.attempt = undefined;
  const { declines, authenticates } = behaviourOf(method);
  if (declines !== undefined) {
    fail(desk, held, method, declineError(declines));
    const { payment_method, ...said } = intent.last_setup_error ?? ({} as ErrorBody);
    throw new Refusal(402, {
      ...(said as ErrorBody),
      setup_intent: intent,
      ...(payment_method && { payment_method }),
    });
  }
  if (authenticates === undefined) {
    succeed(desk, held, method);
    return;
  }
  const returnUrl = fields.return_url ?? null;
  intent.status = "requires_action";
  if (returnUrl === null) {
    intent.next_action = { type: "use_stripe_sdk", use_stripe_sdk: {} };
  } else {
    held.attempt = { id: newId("setatt"), returnUrl, method: method.method.id };
    const url = bankPage(desk, intent, held.attempt);
    intent.next_action = { type: "redirect_to_url", redirect_to_url: { return_url: returnUrl, url } };
  }
  record(desk, "setup_intent.requires_action", intent);
}

function succeed(desk: Desk, held: Held, method: HeldMethod): void {
  const { intent } = held;
  Object.assign(intent, { status: "succeeded", next_action: null });
  held.attempt = undefined;
  method.setUp = true;
  if (intent.customer === null) method.spent = true;
  else if (method.method.customer === null) attach(desk, method, intent.customer as string);
  record(desk, "setup_intent.succeeded", intent);
}

function fail(desk: Desk, held: Held, { method }: HeldMethod, error: ErrorBody): void {
  Object.assign(held.intent, {
    status: "requires_payment_method",
    last_setup_error: { ...error, payment_method: structuredClone(method) },
    next_action: null,
    payment_method: null,
  });
  held.attempt = undefined;
  record(desk, "setup_intent.setup_failed", held.intent);
}

/** What the bank's page does when the person has answered. */
export function answerSetup(desk: Desk, held: Held, passed: boolean): void {
  const method = look(desk, "methods", held.attempt?.method ?? "");
  if (passed) succeed(desk, held, method);
  else fail(desk, held, method, NOT_AUTHENTICATED.setup_intent);
}

export const cancelRules: Rules<Stripe.SetupIntentCancelParams> = {
  cancellation_reason: oneOf("abandoned", "duplicate", "requested_by_customer"),
  expand,
};

/** `POST /v1/setup_intents/{id}/cancel` */
export function cancelSetup(desk: Desk, fields: Stripe.SetupIntentCancelParams, id: string): object {
  const held = look(desk, "setupIntents", id);
  const { intent } = held;
  if (!OPEN.includes(intent.status)) {
    throw unexpectedState(
      `You cannot cancel this SetupIntent because it has a status of ${intent.status}. Only a SetupIntent with one of the following statuses may be canceled: ${OPEN.join(", ")}.`,
      intent,
    );
  }
  const reason = fields.cancellation_reason ?? null;
  Object.assign(intent, { status: "canceled", cancellation_reason: reason, next_action: null });
  held.attempt = undefined;
  record(desk, "setup_intent.canceled", intent);
  return intent;
}

export const listRules: Rules<Stripe.SetupIntentListParams> = {
  ...pagination,
  attach_to_self: notPlayed,
  created: range,
  customer: text,
  customer_account: notPlayed,
  payment_method: text,
};
