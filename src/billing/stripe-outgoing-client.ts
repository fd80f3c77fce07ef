import type Stripe from "stripe";
import { SECOND } from "../lib/time.ts";
import { sendRefusalOf } from "./decline-rules.ts";
import type { Outgoing, Payout, Refund, SendRequest, Sent, SentRecord, SentState } from "./processor.ts";
import { accountOf, assertObject, idOf, isKeyTaken, isRejection, PAGE, PATIENT } from "./stripe-wire.ts";

export type StripeBooks = { client: Stripe; databaseId: () => Promise<string> };

/** Groups a milestone's charge and its payouts. */
export function transferGroup(accountId: string, milestoneId: string): string {
  return `milestone:${accountId}:${milestoneId}`;
}

type Kind<T> = {
  object: string;
  create(body: SendRequest["body"], options: Stripe.RequestOptions): Promise<Stripe.Response<T>>;
  retrieve(id: string): Promise<T>;
  list(query: object): AsyncIterable<T>;
  /** The filter for Stripe's list that contains a milestone's records. */
  filterOf(of: { accountId: string; milestoneId: string; sourceIntentId: string | null }): object;
  stateOf(one: T): SentState;
  returnedOf(one: T): number;
  /** The code of an error by which nothing moved and nothing ever will; `undefined`: the outcome is unknown. */
  refusedBy(error: Stripe.errors.StripeInvalidRequestError): string | undefined;
};

type Common = {
  id: string;
  amount: number;
  currency: string;
  created: number;
  metadata: Stripe.Metadata | null;
};

function outgoing<T extends Common & { object: string }>(
  { databaseId }: StripeBooks,
  kind: Kind<T>,
): Outgoing {
  const isOurs = async ({ metadata }: T) => metadata?.databaseId === (await databaseId());

  function toRecord(one: T): SentRecord {
    assertObject(one, kind.object);
    return {
      id: one.id,
      attemptId: one.metadata?.attemptId ?? null,
      accountId: accountOf(one.metadata),
      milestoneId: one.metadata?.milestoneId ?? null,
      amountCents: one.amount,
      currency: one.currency,
      returnedCents: kind.returnedOf(one),
      state: kind.stateOf(one),
      createdAt: new Date(one.created * SECOND),
    };
  }

  return {
    async send({ key, body }): Promise<Sent> {
      try {
        const sent = await kind.create(body, { idempotencyKey: `${key}:${await databaseId()}` });
        return { status: "sent", record: toRecord(sent) };
      } catch (error) {
        if (isKeyTaken(error)) return { status: "key_taken" };
        if (!isRejection(error)) throw error;
        if (error.code === "balance_insufficient") return { status: "waiting" };
        const code = kind.refusedBy(error);
        if (code === undefined) throw error;
        return sendRefusalOf(code);
      }
    },

    async find(id) {
      try {
        const one = await kind.retrieve(id);
        assertObject(one, kind.object);
        return (await isOurs(one)) ? toRecord(one) : undefined;
      } catch (error) {
        if (isRejection(error) && error.code === "resource_missing") return undefined;
        throw error;
      }
    },

    async *list(of) {
      const filter =
        "since" in of ? { created: { gte: Math.floor(of.since.getTime() / SECOND) } } : kind.filterOf(of);
      for await (const one of kind.list({ ...filter, limit: PAGE }))
        if (await isOurs(one)) yield toRecord(one);
    },
  };
}

/** The body of a payout. When it is sent, `source_intent` becomes the intent's charge, which never changes. */
export function composePayout(payout: Payout): SendRequest["body"] {
  const { accountId, amountCents, currency, destination, sourceIntentId, metadata, databaseId } = payout;
  return {
    amount: amountCents,
    currency,
    destination,
    description: `Milestone ${metadata.milestoneId}`,
    transfer_group: transferGroup(accountId, metadata.milestoneId),
    metadata: { ...metadata, accountId, databaseId },
    ...(sourceIntentId !== null && { source_intent: sourceIntentId }),
  };
}

export function composeRefund(refund: Refund): SendRequest["body"] {
  const { accountId, amountCents, sourceIntentId, metadata, databaseId } = refund;
  return {
    payment_intent: sourceIntentId,
    amount: amountCents,
    reason: "requested_by_customer",
    metadata: { ...metadata, accountId, databaseId },
  };
}

/** Codes by which the payee's account accepts no transfer. */
const PAYEE_REFUSES: ReadonlySet<string> = new Set([
  "account_invalid",
  "account_closed",
  "transfers_not_allowed",
]);

/** Payouts: Transfers to connected accounts. */
export function stripePayouts(books: StripeBooks): Outgoing {
  const { client } = books;
  return outgoing<Stripe.Transfer>(books, {
    object: "transfer",
    async create({ source_intent: intentId, ...params }, options) {
      // Only for a card's money: it may be paid out before it has settled, so the balance need not hold it yet.
      const source = typeof intentId === "string" ? await chargeOf(client, intentId) : undefined;
      const transfer = { ...params, ...(source !== undefined && { source_transaction: source }) };
      return client.transfers.create(transfer as unknown as Stripe.TransferCreateParams, options);
    },
    retrieve: (id) => client.transfers.retrieve(id, {}, PATIENT),
    list: (query) => client.transfers.list(query, PATIENT),
    filterOf: ({ accountId, milestoneId }) => ({ transfer_group: transferGroup(accountId, milestoneId) }),
    // A transfer exists at once, or not at all. It may be reversed later, in full or in part.
    stateOf: ({ reversed }) => (reversed ? sendRefusalOf("transfer_reversed") : { status: "succeeded" }),
    returnedOf: ({ amount_reversed }) => amount_reversed,
    refusedBy: ({ code, param }) => {
      if (param === "destination") return "account_invalid";
      return code !== undefined && PAYEE_REFUSES.has(code) ? code : undefined;
    },
  });
}

async function chargeOf(client: Stripe, intentId: string): Promise<string> {
  const charge = idOf((await client.paymentIntents.retrieve(intentId)).latest_charge);
  if (charge === undefined) throw new Error(`${intentId} has no charge to pay out of`);
  return charge;
}

const REFUND_REFUSALS: Record<string, string> = {
  charge_disputed: "charge_disputed",
  refund_disputed_payment: "charge_disputed",
  charge_already_refunded: "charge_already_refunded",
  charge_not_refundable: "charge_not_refundable",
};

/** Refunds to the card that paid. */
export function stripeRefunds(books: StripeBooks): Outgoing {
  const { client } = books;
  return outgoing<Stripe.Refund>(books, {
    object: "refund",
    create: (body, options) => client.refunds.create(body as unknown as Stripe.RefundCreateParams, options),
    retrieve: (id) => client.refunds.retrieve(id, {}, PATIENT),
    list: (query) => client.refunds.list(query, PATIENT),
    filterOf: ({ sourceIntentId }) => ({ payment_intent: sourceIntentId ?? "" }),
    stateOf: ({ id, status, failure_reason: reason }) => {
      switch (status) {
        case "succeeded":
          return { status: "succeeded" };
        case "pending":
        case "requires_action":
          return { status: "pending" };
        case "canceled":
          return sendRefusalOf("canceled");
        case "failed":
          return sendRefusalOf(reason === "charge_for_pending_refund_disputed" ? "charge_disputed" : reason);
        default:
          throw new Error(`${id} is ${status}, which a refund of ours never is`);
      }
    },
    returnedOf: ({ amount, status }) => (status === "failed" || status === "canceled" ? amount : 0),
    refusedBy: ({ code, param }) =>
      param === "amount" ? "refund_exceeds_charge" : REFUND_REFUSALS[code ?? ""],
  });
}
