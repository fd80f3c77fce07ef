import type Stripe from "stripe";
import { type Desk, type HeldMethod, look, newId, now, record } from "./books.ts";
import { type Behaviour, methodOfNumber, TEST_METHODS } from "./cards.ts";
import { customerOf } from "./customers.ts";
import { declineError } from "./declines.ts";
import { expand, notPlayed, oneOf, pagination, type Rules, required, text } from "./parameters.ts";
import { Refusal, refused } from "./refusals.ts";

export const SPENT =
  "This PaymentMethod was previously used without being attached to a Customer or was detached from a Customer, and may not be used again.";

export function behaviourOf({ behaves }: HeldMethod): Behaviour {
  const behaviour = TEST_METHODS[behaves];
  if (behaviour === undefined) throw new TypeError(`no test method ${behaves}`);
  return behaviour;
}

/** A payment method of its own for a name in test code: each use of `pm_card_visa` makes another. */
export function makeMethod(desk: Desk, behaves: string): HeldMethod {
  const { number, brand } = TEST_METHODS[behaves] ?? {};
  if (number === undefined || brand === undefined) throw new TypeError(`no test method ${behaves}`);
  const method: Stripe.PaymentMethod = {
    id: newId("pm"),
    object: "payment_method",
    allow_redisplay: "unspecified",
    billing_details: {
      address: { city: null, country: null, line1: null, line2: null, postal_code: null, state: null },
      email: null,
      name: null,
      phone: null,
      tax_id: null,
    },
    card: {
      brand,
      checks: { address_line1_check: null, address_postal_code_check: null, cvc_check: null },
      country: "US",
      display_brand: brand,
      exp_month: 12,
      exp_year: new Date().getUTCFullYear() + 4,
      fingerprint: newId("fp", 16).slice(3),
      funding: "credit",
      generated_from: null,
      last4: number.slice(-4),
      networks: { available: [brand], preferred: null },
      regulated_status: "unregulated",
      three_d_secure_usage: { supported: true },
      wallet: null,
    },
    created: now(desk),
    customer: null,
    customer_account: null,
    livemode: false,
    metadata: {},
    type: "card",
  };
  const held = { method, behaves, setUp: false, spent: false };
  desk.books.methods.set(method.id, held);
  return held;
}

/** The payment method that a field names: one that is here, or a new one for a name in test code. */
export function resolveMethod(desk: Desk, id: string, param?: string): HeldMethod {
  return TEST_METHODS[id] === undefined ? look(desk, "methods", id, param) : makeMethod(desk, id);
}

/** A payment method for the number that a person typed into Stripe's own form. */
export function methodFromNumber(desk: Desk, number: string): HeldMethod {
  const behaves = methodOfNumber(number.replaceAll(/\s/g, ""));
  if (behaves === undefined) {
    const message = "Your card number is incorrect.";
    throw new Refusal(402, { type: "card_error", code: "incorrect_number", message, param: "number" });
  }
  return makeMethod(desk, behaves);
}

export function attach(desk: Desk, held: HeldMethod, customer: string): void {
  held.method.customer = customer;
  record(desk, "payment_method.attached", held.method);
}

export const attachRules: Rules<Stripe.PaymentMethodAttachParams> = {
  customer: required(text),
  customer_account: notPlayed,
  expand,
};

/** `POST /v1/payment_methods/{id}/attach`: the bank is asked whether the card is good, and may decline. */
export function attachMethod(desk: Desk, { customer }: Stripe.PaymentMethodAttachParams, id: string): object {
  const { id: to } = customerOf(desk, customer ?? "", "customer");
  const held = resolveMethod(desk, id);
  if (held.spent) throw refused(SPENT);
  if (held.method.customer !== null) {
    throw refused("The payment method you provided has already been attached to a customer.");
  }
  const { declines } = behaviourOf(held);
  if (declines !== undefined) throw new Refusal(402, declineError(declines));
  attach(desk, held, to);
  return held.method;
}

export const detachRules: Rules<Stripe.PaymentMethodDetachParams> = { expand };

/** `POST /v1/payment_methods/{id}/detach`: for good. */
export function detachMethod(desk: Desk, _fields: object, id: string): object {
  const held = look(desk, "methods", id);
  if (held.method.customer === null) {
    throw refused(
      "The payment method you provided is not attached to a customer so detachment is impossible.",
      { param: "payment_method" },
    );
  }
  held.method.customer = null;
  held.spent = true;
  record(desk, "payment_method.detached", held.method);
  return held.method;
}

export const listMethodsRules: Rules<Stripe.PaymentMethodListParams> = {
  ...pagination,
  customer: text,
  customer_account: notPlayed,
  allow_redisplay: notPlayed,
  type: oneOf("card"),
};

export const listCustomersMethodsRules: Rules<Stripe.CustomerListPaymentMethodsParams> = {
  ...pagination,
  allow_redisplay: notPlayed,
  type: oneOf("card"),
};

export function listMethods(desk: Desk, customer: string | undefined): Stripe.PaymentMethod[] {
  return [...desk.books.methods.values()]
    .map(({ method }) => method)
    .filter((method) => customer !== undefined && method.customer === customer);
}
