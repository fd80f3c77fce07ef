import type Stripe from "stripe";
import { type Desk, look, mergeMetadata, newId, now, record } from "./books.ts";
import { expand, integer, metadata, notPlayed, type Rules, text, unsettable } from "./parameters.ts";
import { refused } from "./refusals.ts";

export function customerOf(desk: Desk, id: string, param?: string): Stripe.Customer {
  const customer = look(desk, "customers", id, param);
  // One that was deleted can still be retrieved, and takes part in nothing.
  if (customer.deleted)
    throw refused(`No such customer: '${id}'; a deleted one`, {
      code: "resource_missing",
      param: param ?? "id",
    });
  return customer as Stripe.Customer;
}

export const createCustomerRules: Rules<Stripe.CustomerCreateParams> = {
  address: notPlayed,
  balance: notPlayed,
  business_name: notPlayed,
  cash_balance: notPlayed,
  description: text,
  email: text,
  expand,
  individual_name: notPlayed,
  invoice_prefix: notPlayed,
  invoice_settings: notPlayed,
  metadata: unsettable(metadata),
  name: text,
  next_invoice_sequence: integer(1),
  payment_method: notPlayed,
  phone: text,
  preferred_locales: notPlayed,
  shipping: notPlayed,
  source: notPlayed,
  tax: notPlayed,
  tax_exempt: notPlayed,
  tax_id_data: notPlayed,
  test_clock: notPlayed,
  validate: notPlayed,
};

/** `POST /v1/customers` */
export function createCustomer(desk: Desk, fields: Stripe.CustomerCreateParams): object {
  const customer: Stripe.Customer = {
    id: newId("cus", 14),
    object: "customer",
    address: null,
    balance: 0,
    created: now(desk),
    currency: null,
    customer_account: null,
    default_source: null,
    delinquent: false,
    description: fields.description ?? null,
    discount: null,
    email: fields.email ?? null,
    invoice_prefix: newId("x", 8).slice(2).toUpperCase(),
    invoice_settings: {
      custom_fields: null,
      default_payment_method: null,
      footer: null,
      rendering_options: null,
    },
    livemode: false,
    metadata: mergeMetadata({}, fields.metadata),
    name: fields.name ?? null,
    next_invoice_sequence: fields.next_invoice_sequence ?? 1,
    phone: fields.phone ?? null,
    preferred_locales: [],
    shipping: null,
    tax_exempt: "none",
    test_clock: null,
  };
  desk.books.customers.set(customer.id, customer);
  record(desk, "customer.created", customer);
  return customer;
}

export const updateCustomerRules: Rules<Stripe.CustomerUpdateParams> = {
  address: notPlayed,
  balance: notPlayed,
  business_name: notPlayed,
  cash_balance: notPlayed,
  default_source: notPlayed,
  description: text,
  email: text,
  expand,
  individual_name: notPlayed,
  invoice_prefix: notPlayed,
  invoice_settings: notPlayed,
  metadata: unsettable(metadata),
  name: text,
  next_invoice_sequence: notPlayed,
  phone: text,
  preferred_locales: notPlayed,
  shipping: notPlayed,
  source: notPlayed,
  tax: notPlayed,
  tax_exempt: notPlayed,
  validate: notPlayed,
};

/** `POST /v1/customers/{id}` */
export function updateCustomer(desk: Desk, fields: Stripe.CustomerUpdateParams, id: string): object {
  const customer = customerOf(desk, id);
  const { description, email, name, phone } = fields;
  Object.assign(customer, {
    ...(description && { description }),
    ...(email && { email }),
    ...(name && { name }),
    ...(phone && { phone }),
    metadata: mergeMetadata(customer.metadata, fields.metadata),
  });
  record(desk, "customer.updated", customer);
  return customer;
}

/** `DELETE /v1/customers/{id}`: its payment methods are detached with it. */
export function deleteCustomer(desk: Desk, _fields: object, id: string): object {
  const customer = customerOf(desk, id);
  for (const held of desk.books.methods.values()) {
    if (held.method.customer === id) Object.assign(held, { spent: true }).method.customer = null;
  }
  const deleted: Stripe.DeletedCustomer = { id, object: "customer", deleted: true };
  desk.books.customers.set(id, deleted);
  record(desk, "customer.deleted", customer);
  return deleted;
}
