import { randomBytes } from "node:crypto";
import Stripe from "stripe";
import { missing } from "./refusals.ts";

export type HeldMethod = {
  method: Stripe.PaymentMethod;
  /** By which of the test methods it behaves. */
  behaves: string;
  /** Was set up for later: the bank has seen the person. */
  setUp: boolean;
  /** Was detached, or used without a customer: cannot be used again. */
  spent: boolean;
};

/** A confirmation that is under way: where the person goes back to, and which attempt the bank's page is for. */
export type Attempt = { id: string; returnUrl: string; method: string };

export type HeldIntent<T> = { intent: T; attempt: Attempt | undefined };

export type HeldSession = {
  session: Stripe.Checkout.Session;
  paymentIntentData: Stripe.Checkout.SessionCreateParams.PaymentIntentData;
};

export type HeldEvent = { event: Stripe.Event; type: string };

/** An answer that is kept under an idempotency key; none while the first request is still being executed. */
export type KeptAnswer = {
  endpoint: string;
  parameters: string;
  requestId: string;
  keptAt: number;
  answer: { status: number; body: string } | undefined;
};

/** All that this Stripe remembers. Plain data, so that a copy of it is the same Stripe at that moment. */
export type Books = {
  /** How far its clock has been put forward, in milliseconds. */
  ahead: number;
  customers: Map<string, Stripe.Customer | Stripe.DeletedCustomer>;
  methods: Map<string, HeldMethod>;
  setupIntents: Map<string, HeldIntent<Stripe.SetupIntent>>;
  intents: Map<string, HeldIntent<Stripe.PaymentIntent>>;
  sessions: Map<string, HeldSession>;
  charges: Map<string, Stripe.Charge>;
  refunds: Map<string, Stripe.Refund>;
  transfers: Map<string, Stripe.Transfer>;
  disputes: Map<string, Stripe.Dispute>;
  transactions: Map<string, Stripe.BalanceTransaction>;
  events: Map<string, HeldEvent>;
  keys: Map<string, KeptAnswer>;
};

export function emptyBooks(): Books {
  return {
    ahead: 0,
    customers: new Map(),
    methods: new Map(),
    setupIntents: new Map(),
    intents: new Map(),
    sessions: new Map(),
    charges: new Map(),
    refunds: new Map(),
    transfers: new Map(),
    disputes: new Map(),
    transactions: new Map(),
    events: new Map(),
    keys: new Map(),
  };
}

/** What the endpoints work at. */
export type Desk = {
  books: Books;
  /** The address of the page that stands in for a bank's. */
  bankOrigin: () => string;
  /** Whether the bank lets one wait now: an intent that would succeed is left `processing`. */
  bankIsSlow: boolean;
  /** Told of each event once it is in the books. */
  onEvent: (event: Stripe.Event) => void;
};

/** By the clock that tests drive, in whole seconds as Stripe tells time. */
export function now({ books }: Desk): number {
  return Math.floor((Date.now() + books.ahead) / 1_000);
}

export function newId(prefix: string, length = 24): string {
  const digits = randomBytes(length * 2)
    .toString("base64")
    .replaceAll(/[^A-Za-z0-9]/g, "");
  return `${prefix}_${digits.slice(0, length)}`;
}

/** Writes down what has happened, as it is then, and tells of it. */
export function record(desk: Desk, type: string, object: object): void {
  const event = {
    id: newId("evt"),
    object: "event",
    api_version: Stripe.API_VERSION,
    created: now(desk),
    data: { object: structuredClone(object) },
    livemode: false,
    pending_webhooks: 0,
    request: { id: null, idempotency_key: null },
    type,
  } as unknown as Stripe.Event;
  desk.books.events.set(event.id, { event, type });
  desk.onEvent(event);
}

type Kept = { [Shelf in keyof Books]: Books[Shelf] extends Map<string, infer T> ? T : never };

/**
 * What stands under an id that a request names.
 * @param param the field that names it; `undefined` when it stands in the address
 */
export function look<Shelf extends keyof Kept>(
  { books }: Desk,
  shelf: Shelf,
  id: string,
  param?: string,
): Kept[Shelf] {
  const found = (books[shelf] as Map<string, Kept[Shelf]>).get(id);
  if (found === undefined) {
    const { kind, field } = NAMES[shelf] ?? { kind: shelf, field: "id" };
    throw missing(kind, id, param ?? field, param === undefined);
  }
  return found;
}

const NAMES: Partial<Record<keyof Kept, { kind: string; field: string }>> = {
  customers: { kind: "customer", field: "id" },
  methods: { kind: "PaymentMethod", field: "payment_method" },
  setupIntents: { kind: "setupintent", field: "intent" },
  intents: { kind: "payment_intent", field: "intent" },
  sessions: { kind: "checkout.session", field: "session" },
  charges: { kind: "charge", field: "id" },
  refunds: { kind: "refund", field: "id" },
  transfers: { kind: "transfer", field: "id" },
  disputes: { kind: "dispute", field: "id" },
  transactions: { kind: "balance_transaction", field: "id" },
  events: { kind: "event", field: "id" },
};

export type Metadata = Record<string, string>;

/** What is there, with what is given put over it: an empty value takes a key away, an empty whole all of them. */
export function mergeMetadata(
  held: Metadata,
  given: Stripe.Emptyable<Stripe.MetadataParam> | undefined,
): Metadata {
  if (given === undefined) return held;
  if (given === "") return {};
  const merged = { ...held, ...(given as Metadata) };
  return Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== "" && value !== null));
}
