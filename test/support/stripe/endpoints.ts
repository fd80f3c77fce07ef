import type Stripe from "stripe";
import * as balance from "./balance.ts";
import { type Desk, look } from "./books.ts";
import * as charges from "./charges.ts";
import * as sessions from "./checkout-sessions.ts";
import { confirmIntent } from "./confirmations.ts";
import * as customers from "./customers.ts";
import * as disputes from "./disputes.ts";
import type { Given } from "./form.ts";
import { toList } from "./lists.ts";
import * as methods from "./methods.ts";
import {
  expand,
  flag,
  listOf,
  pagination,
  type Rules,
  range,
  readFields,
  required,
  text,
} from "./parameters.ts";
import * as intentRules from "./payment-intent-rules.ts";
import * as paymentIntents from "./payment-intents.ts";
import * as refunds from "./refunds.ts";
import { refused } from "./refusals.ts";
import * as setupIntents from "./setup-intents.ts";
import * as transfers from "./transfers.ts";

export type Endpoint = {
  /** As in `POST /v1/payment_intents/:id/confirm`. */
  name: string;
  /** Checks the fields, and gives what executes the request. */
  read(given: Record<string, Given>): (desk: Desk, id: string) => object;
};

function endpoint<P extends object>(
  name: string,
  rules: Rules<P>,
  execute: (desk: Desk, fields: P, id: string) => object,
): Endpoint {
  return {
    name,
    read(given) {
      const fields = readFields(rules, given);
      return (desk, id) => execute(desk, fields, id);
    },
  };
}

const readable = { expand };
/** Stripe's script shows the secret that its page was given, in the place of a secret key. */
const readableByPage = { expand, client_secret: text };

/** Every request that is played. Of each the documentation's fields are known, and no others taken. */
export const ENDPOINTS: readonly Endpoint[] = [
  endpoint<Stripe.CustomerCreateParams>(
    "POST /v1/customers",
    customers.createCustomerRules,
    customers.createCustomer,
  ),
  endpoint<Stripe.CustomerListParams>(
    "GET /v1/customers",
    { ...pagination, created: range, email: text, test_clock: text },
    (desk, fields) => {
      const all = [...desk.books.customers.values()].filter((one) => !one.deleted) as Stripe.Customer[];
      return toList(
        "/v1/customers",
        all.filter(({ email }) => fields.email === undefined || fields.email === email),
        fields as object,
      );
    },
  ),
  endpoint<Stripe.CustomerRetrieveParams>("GET /v1/customers/:id", readable, (desk, _, id) =>
    look(desk, "customers", id),
  ),
  endpoint<Stripe.CustomerUpdateParams>(
    "POST /v1/customers/:id",
    customers.updateCustomerRules,
    customers.updateCustomer,
  ),
  endpoint<Stripe.CustomerDeleteParams>("DELETE /v1/customers/:id", {}, customers.deleteCustomer),
  endpoint<Stripe.CustomerListPaymentMethodsParams>(
    "GET /v1/customers/:id/payment_methods",
    methods.listCustomersMethodsRules,
    (desk, fields, id) => {
      const { id: customer } = customers.customerOf(desk, id);
      return toList(`/v1/customers/${id}/payment_methods`, methods.listMethods(desk, customer), fields);
    },
  ),

  endpoint<Stripe.PaymentMethodListParams>(
    "GET /v1/payment_methods",
    methods.listMethodsRules,
    (desk, fields) => {
      if (fields.customer !== undefined) customers.customerOf(desk, fields.customer, "customer");
      return toList("/v1/payment_methods", methods.listMethods(desk, fields.customer), fields);
    },
  ),
  endpoint<Stripe.PaymentMethodRetrieveParams>(
    "GET /v1/payment_methods/:id",
    readable,
    (desk, _, id) => methods.resolveMethod(desk, id).method,
  ),
  endpoint("POST /v1/payment_methods/:id/attach", methods.attachRules, methods.attachMethod),
  endpoint("POST /v1/payment_methods/:id/detach", methods.detachRules, methods.detachMethod),

  endpoint("POST /v1/setup_intents", setupIntents.createRules, setupIntents.createSetup),
  endpoint("GET /v1/setup_intents", setupIntents.listRules, (desk, fields) => {
    const all = [...desk.books.setupIntents.values()].map(({ intent }) => intent);
    const { customer, payment_method } = fields;
    return toList("/v1/setup_intents", having(all, { customer, payment_method }), fields as object);
  }),
  endpoint<Stripe.SetupIntentRetrieveParams>(
    "GET /v1/setup_intents/:id",
    readableByPage,
    (desk, _, id) => look(desk, "setupIntents", id).intent,
  ),
  endpoint("POST /v1/setup_intents/:id/confirm", setupIntents.confirmRules, setupIntents.confirmSetup),
  endpoint("POST /v1/setup_intents/:id/cancel", setupIntents.cancelRules, setupIntents.cancelSetup),

  endpoint("POST /v1/payment_intents", intentRules.createRules, paymentIntents.createIntent),
  endpoint("GET /v1/payment_intents", intentRules.listRules, (desk, fields) => {
    const all = [...desk.books.intents.values()].map(({ intent }) => intent);
    return toList("/v1/payment_intents", having(all, { customer: fields.customer }), fields as object);
  }),
  endpoint<Stripe.PaymentIntentRetrieveParams>(
    "GET /v1/payment_intents/:id",
    readableByPage,
    (desk, _, id) => look(desk, "intents", id).intent,
  ),
  endpoint("POST /v1/payment_intents/:id", intentRules.updateRules, paymentIntents.updateIntent),
  endpoint("POST /v1/payment_intents/:id/confirm", intentRules.confirmRules, confirmIntent),
  endpoint("POST /v1/payment_intents/:id/cancel", intentRules.cancelRules, paymentIntents.cancelIntent),

  endpoint("POST /v1/checkout/sessions", sessions.createRules, sessions.createSession),
  endpoint("GET /v1/checkout/sessions", sessions.listRules, (desk, fields) => {
    const all = [...desk.books.sessions.keys()].map((id) => sessions.readSession(desk, id));
    const { customer, payment_intent, status } = fields;
    return toList(
      "/v1/checkout/sessions",
      having(all, { customer, payment_intent, status }),
      fields as object,
    );
  }),
  endpoint<Stripe.Checkout.SessionRetrieveParams>("GET /v1/checkout/sessions/:id", readable, (desk, _, id) =>
    sessions.readSession(desk, id),
  ),
  endpoint("POST /v1/checkout/sessions/:id/expire", sessions.expireRules, sessions.expireSession),

  endpoint("GET /v1/charges", charges.listChargesRules, (desk, fields) => {
    const { customer, payment_intent, transfer_group } = fields;
    const all = having([...desk.books.charges.values()], { customer, payment_intent, transfer_group });
    return toList("/v1/charges", all, fields as object);
  }),
  endpoint<Stripe.ChargeRetrieveParams>("GET /v1/charges/:id", readable, (desk, _, id) =>
    look(desk, "charges", id),
  ),
  endpoint("POST /v1/refunds", refunds.createRefundRules, refunds.createRefund),
  endpoint("GET /v1/refunds", refunds.listRefundsRules, (desk, fields) => {
    const { charge, payment_intent } = fields;
    return toList(
      "/v1/refunds",
      having([...desk.books.refunds.values()], { charge, payment_intent }),
      fields as object,
    );
  }),
  endpoint<Stripe.RefundRetrieveParams>("GET /v1/refunds/:id", readable, (desk, _, id) =>
    look(desk, "refunds", id),
  ),
  endpoint("POST /v1/transfers", transfers.createTransferRules, transfers.createTransfer),
  endpoint("GET /v1/transfers", transfers.listTransfersRules, (desk, fields) => {
    const { destination, transfer_group } = fields;
    const all = having([...desk.books.transfers.values()], { destination, transfer_group });
    return toList("/v1/transfers", all, fields as object);
  }),
  endpoint<Stripe.TransferRetrieveParams>("GET /v1/transfers/:id", readable, (desk, _, id) =>
    look(desk, "transfers", id),
  ),
  endpoint("GET /v1/disputes", disputes.listDisputesRules, (desk, fields) => {
    const { charge, payment_intent } = fields;
    return toList(
      "/v1/disputes",
      having([...desk.books.disputes.values()], { charge, payment_intent }),
      fields as object,
    );
  }),
  endpoint<Stripe.DisputeRetrieveParams>("GET /v1/disputes/:id", readable, (desk, _, id) =>
    look(desk, "disputes", id),
  ),
  endpoint<Stripe.DisputeCloseParams>("POST /v1/disputes/:id/close", readable, disputes.acceptDispute),
  endpoint<Stripe.BalanceRetrieveParams>("GET /v1/balance", readable, balance.readBalance),
  endpoint("GET /v1/balance_transactions", balance.listTransactionsRules, (desk, fields) => {
    const { currency, source, type } = fields;
    const all = having([...desk.books.transactions.values()], { currency, source, type });
    return toList("/v1/balance_transactions", all, fields as object);
  }),
  endpoint<Stripe.BalanceTransactionRetrieveParams>(
    "GET /v1/balance_transactions/:id",
    readable,
    (desk, _, id) => look(desk, "transactions", id),
  ),

  endpoint<Stripe.EventListParams>(
    "GET /v1/events",
    { ...pagination, created: range, delivery_success: flag, type: text, types: listOf(text) },
    (desk, fields) => {
      const wanted = fields.types ?? (fields.type === undefined ? undefined : [fields.type]);
      const matches = (type: string) =>
        wanted?.some((one) => (one.endsWith("*") ? type.startsWith(one.slice(0, -1)) : one === type)) ?? true;
      const all = [...desk.books.events.values()]
        .filter(({ type }) => matches(type))
        .map(({ event }) => event);
      const { delivery_success } = fields;
      const delivered = all.filter(
        ({ pending_webhooks }) => (pending_webhooks === 0) === (delivery_success ?? true),
      );
      return toList("/v1/events", delivery_success === undefined ? all : delivered, fields as object);
    },
  ),
  endpoint<Stripe.EventRetrieveParams>(
    "GET /v1/events/:id",
    readable,
    (desk, _, id) => look(desk, "events", id).event,
  ),
];

/** What a page may ask that has a publishable key, and the secret of the very intent. */
export const ENDPOINTS_FOR_PAGES: readonly Endpoint[] = [
  endpoint<setupIntents.ConfirmInBrowser>(
    "POST /v1/setup_intents/:id/confirm",
    setupIntents.confirmInBrowserRules as Rules<setupIntents.ConfirmInBrowser>,
    (desk, fields, id) => {
      assertSecret(look(desk, "setupIntents", id).intent, fields);
      return setupIntents.confirmSetup(desk, fields, id);
    },
  ),
  endpoint<Stripe.SetupIntentRetrieveParams>(
    "GET /v1/setup_intents/:id",
    { expand, client_secret: required(text) },
    (desk, fields, id) => assertSecret(look(desk, "setupIntents", id).intent, fields),
  ),
  endpoint<Stripe.PaymentIntentRetrieveParams>(
    "GET /v1/payment_intents/:id",
    { expand, client_secret: required(text) },
    (desk, fields, id) => assertSecret(look(desk, "intents", id).intent, fields),
  ),
];

function assertSecret<T extends Stripe.PaymentIntent | Stripe.SetupIntent>(
  intent: T,
  { client_secret }: { client_secret?: string },
): T {
  if (client_secret === intent.client_secret) return intent;
  const name = intent.object === "payment_intent" ? "PaymentIntent" : "SetupIntent";
  throw refused(`The client_secret provided does not match any associated ${name} on this account.`, {
    code: `${intent.object}_invalid_parameter`,
    param: "client_secret",
  });
}

/** Those that have what the query names. */
function having<T extends object>(items: readonly T[], wanted: Partial<Record<keyof T, unknown>>): T[] {
  const fields = Object.entries(wanted).filter(([, value]) => value !== undefined);
  return items.filter((item) => fields.every(([field, value]) => item[field as keyof T] === value));
}
