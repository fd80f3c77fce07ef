import type Stripe from "stripe";
import { SECOND } from "../lib/time.ts";
import type { Checkout, CheckoutRecord, CheckoutRequest, CheckoutState } from "./processor.ts";
import {
  accountOf,
  assertObject,
  idOf,
  isKeyTaken,
  isRejection,
  PAGE,
  PATIENT,
  wasStored,
} from "./stripe-wire.ts";

type Deps = {
  client: Stripe;
  databaseId: () => Promise<string>;
  asCustomer: <T>(accountId: string, work: (customer: string) => Promise<T>) => Promise<T>;
};

/** A top-up's page as a Stripe Checkout Session. */
export function stripeCheckout({ client, databaseId, asCustomer }: Deps): Checkout {
  const { sessions } = client.checkout;

  async function ours(session: Stripe.Checkout.Session): Promise<CheckoutRecord | undefined> {
    assertObject(session, "checkout.session");
    return session.metadata?.databaseId === (await databaseId()) ? toRecord(session) : undefined;
  }

  async function read(sessionId: string): Promise<CheckoutRecord | undefined> {
    try {
      return await ours(await sessions.retrieve(sessionId, {}, PATIENT));
    } catch (error) {
      if (isRejection(error)) return undefined;
      throw error;
    }
  }

  return {
    async open(request) {
      const ownId = await databaseId();
      try {
        const session = await asCustomer(request.accountId, (customer) =>
          sessions.create(compose(request, { databaseId: ownId, customer }), {
            idempotencyKey: `${request.key}:${ownId}`,
          }),
        );
        // A stored answer contains the state of its creation.
        const record = wasStored(session.lastResponse) ? await read(session.id) : await ours(session);
        return record === undefined ? { status: "key_taken" } : { status: "opened", record };
      } catch (error) {
        if (isKeyTaken(error)) return { status: "key_taken" };
        throw error;
      }
    },

    find: read,

    async end(sessionId) {
      try {
        return await ours(await sessions.expire(sessionId));
      } catch (error) {
        // It is no longer open; its state says why.
        if (isRejection(error)) return read(sessionId);
        throw error;
      }
    },

    async *list({ since, accountId }) {
      const created = { gte: Math.floor(since.getTime() / SECOND) };
      const of = accountId === undefined ? {} : { customer: await asCustomer(accountId, async (id) => id) };
      for await (const session of sessions.list({ ...of, created, limit: PAGE }, PATIENT)) {
        const record = await ours(session);
        if (record !== undefined) yield record;
      }
    },
  };
}

function compose(
  { accountId, topUpId, amountCents, currency, returnUrl }: CheckoutRequest,
  { databaseId, customer }: { databaseId: string; customer: string },
): Stripe.Checkout.SessionCreateParams {
  const metadata = { databaseId, accountId, topUpId };
  return {
    mode: "payment",
    customer,
    client_reference_id: topUpId,
    // Other kinds may answer days later. The card is not stored: only a signed statement charges a stored card.
    allowed_payment_method_types: ["card"],
    line_items: [
      {
        quantity: 1,
        price_data: { currency, unit_amount: amountCents, product_data: { name: "Credits" } },
      },
    ],
    payment_intent_data: { description: `Credits, top-up ${topUpId}`, metadata },
    metadata,
    success_url: returnUrl,
    cancel_url: returnUrl,
  };
}

function toRecord(session: Stripe.Checkout.Session): CheckoutRecord {
  return {
    id: session.id,
    accountId: accountOf(session.metadata),
    topUpId: session.metadata?.topUpId ?? null,
    amountCents: session.amount_total ?? 0,
    currency: session.currency ?? "",
    state: toState(session),
    createdAt: new Date(session.created * SECOND),
  };
}

/** @throws Error for states that our pages never have: the outcome is unknown */
function toState(session: Stripe.Checkout.Session): CheckoutState {
  switch (session.status) {
    case "open":
      if (session.url) return { status: "open", url: session.url };
      break;
    case "expired":
      return { status: "expired" };
    case "complete": {
      const intentId = idOf(session.payment_intent);
      if (session.payment_status !== "paid") return { status: "processing" };
      if (intentId !== undefined) return { status: "complete", intentId };
      break;
    }
  }
  throw new Error(`${session.id} is ${session.status}, and cannot be read`);
}
