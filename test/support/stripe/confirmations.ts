import type Stripe from "stripe";
import { bankPage } from "./bank-page.ts";
import { type Desk, type HeldIntent, type HeldMethod, look, newId, record } from "./books.ts";
import type { Decline } from "./cards.ts";
import { captureCharge, makeCharge } from "./charges.ts";
import { declineError, NEEDS_AUTHENTICATION, NOT_AUTHENTICATED } from "./declines.ts";
import { openDispute } from "./disputes.ts";
import { attach, behaviourOf, resolveMethod, SPENT } from "./methods.ts";
import { NotPlayed } from "./parameters.ts";
import { type ErrorBody, Refusal, refused, unexpectedState } from "./refusals.ts";

type Held = HeldIntent<Stripe.PaymentIntent>;

/** From where an intent can still go on. */
export const OPEN = ["requires_payment_method", "requires_confirmation", "requires_action"];

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

export function confirmHeld(desk: Desk, held: Held, fields: Confirming): void {
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
  captureCharge(desk, charge);
  if (behaviourOf(method).disputes) openDispute(desk, charge, "fraudulent");
}

/** The bank has said no. @returns the refusal to throw where a caller waits for the answer */
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

/** The payment method, if this customer may pay with it. */
export function usable(desk: Desk, id: string, customer: string | null): HeldMethod {
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
