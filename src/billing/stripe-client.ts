import Stripe from "stripe";
import type { StripeKeys } from "../config/config.ts";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { SECOND } from "../lib/time.ts";
import { refusalOf } from "./decline-rules.ts";
import type { IntentRecord, IntentState, Processor, Refusal, Reversal } from "./processor.ts";
import { stripeCards } from "./stripe-card-client.ts";
import { stripeCheckout } from "./stripe-checkout-client.ts";
import {
  composePayout,
  composeRefund,
  stripePayouts,
  stripeRefunds,
  transferGroup,
} from "./stripe-outgoing-client.ts";
import * as store from "./stripe-store.ts";
import {
  accountOf,
  assertObject,
  disputeToReversal,
  isKeyTaken,
  isRejection,
  PAGE,
  PATIENT,
  refundToReversal,
  toIntentState,
  toProcessorEvent,
  wasStored,
} from "./stripe-wire.ts";

const API_VERSION = "2026-10-28.endive";
/** Two calls fit into the lease of an attempt (40 s): prepare and confirm, or read and confirm. */
const TIMEOUT = 8 * SECOND;
const CONFIRM_TIMEOUT = 20 * SECOND;
const SIGNATURE_AGE_SECONDS = 300;
const KEYS_AT_MOST = 5;

/** A fake Stripe's address, for tests. */
export type StripeAddress = { host: string; port: number; protocol: "http" };

/** Stripe behind the processor's interface. Every call is made once: its outcome is read, not retried. */
export function createStripe(db: Db, keys: StripeKeys, address?: StripeAddress): Processor {
  const client = new Stripe(keys.secretKey, {
    apiVersion: API_VERSION,
    timeout: TIMEOUT,
    // The attempt's next step reads the outcome of a lost call.
    maxNetworkRetries: 0,
    telemetry: false,
    appInfo: { name: "Countersign" },
    ...address,
  });
  const databaseId = once(() => store.readDatabaseId(db));

  /** The key makes concurrent calls create one customer. If it holds a failure, the next key is used. */
  async function createCustomer(metadata: Stripe.MetadataParam, key: string): Promise<Stripe.Customer> {
    for (let number = 0; ; number++) {
      try {
        return await client.customers.create({ metadata }, { idempotencyKey: `${key}:${number}` });
      } catch (error) {
        if (!isKeyTaken(error) || number === KEYS_AT_MOST) throw error;
      }
    }
  }

  async function customerOf(accountId: string): Promise<string> {
    const known = await store.findCustomer(db, accountId);
    if (known !== undefined) return known;
    const metadata = { databaseId: await databaseId(), accountId };
    const customer = await createCustomer(metadata, `customer:${metadata.databaseId}:${accountId}`);
    assertObject(customer, "customer");
    return store.keepCustomer(db, accountId, customer.id, await readClock(db));
  }

  /**
   * Runs a call that needs the account's customer. If Stripe no longer knows the customer, creates one and tries
   * again.
   */
  async function asCustomer<T>(accountId: string, work: (customer: string) => Promise<T>): Promise<T> {
    const customer = await customerOf(accountId);
    try {
      return await work(customer);
    } catch (error) {
      if (!isRejection(error) || error.code !== "resource_missing" || error.param !== "customer") throw error;
      await store.forgetCustomer(db, accountId, customer);
      return work(await customerOf(accountId));
    }
  }

  async function read(intentId: string): Promise<IntentState> {
    return toIntentState(await client.paymentIntents.retrieve(intentId));
  }

  async function cancel(intentId: string): Promise<IntentState> {
    try {
      return toIntentState(await client.paymentIntents.cancel(intentId));
    } catch (error) {
      // It can no longer be cancelled; its state says why.
      if (isRejection(error)) return read(intentId);
      throw error;
    }
  }

  async function isOurs({ metadata }: { metadata: Stripe.Metadata | null }): Promise<boolean> {
    return metadata?.databaseId === (await databaseId());
  }

  function toRecord(intent: Stripe.PaymentIntent): IntentRecord {
    const charge = intent.latest_charge;
    return {
      id: intent.id,
      accountId: accountOf(intent.metadata),
      milestoneId: intent.metadata.milestoneId ?? null,
      topUpId: intent.metadata.topUpId ?? null,
      amountCents: intent.amount,
      refundedCents: typeof charge === "object" && charge !== null ? charge.amount_refunded : 0,
      currency: intent.currency,
      state: knownState(intent),
      createdAt: new Date(intent.created * SECOND),
    };
  }

  return {
    name: `stripe_${keys.mode}`,

    composeCharge: ({ accountId, cardId, amountCents, currency, metadata, databaseId, customerId }) => ({
      amount: amountCents,
      currency,
      ...(customerId === null ? {} : { customer: customerId }),
      payment_method: cardId,
      // Other kinds may answer days later and need forms that we do not have.
      allowed_payment_method_types: ["card"],
      // Payouts of this payment join its group.
      transfer_group: transferGroup(accountId, metadata.milestoneId),
      description: `Milestone ${metadata.milestoneId}`,
      metadata: { ...metadata, accountId, databaseId },
    }),

    async prepare({ key, body }) {
      try {
        const intent = await client.paymentIntents.create(
          body as unknown as Stripe.PaymentIntentCreateParams,
          {
            idempotencyKey: `${key}:${await databaseId()}`,
          },
        );
        assertObject(intent, "payment_intent");
        // A stored answer contains the state of its creation.
        const over = wasStored(intent.lastResponse) && (await read(intent.id)).status === "refused";
        return over ? { status: "key_taken" } : { status: "prepared", intentId: intent.id };
      } catch (error) {
        if (isKeyTaken(error)) return { status: "key_taken" };
        if (isRejection(error) || error instanceof Stripe.errors.StripeCardError) return refusalFrom(error);
        throw error;
      }
    },

    async execute(intentId, returnUrl) {
      try {
        // With a return address and without Stripe's script, verification is a redirect.
        const params = { return_url: returnUrl };
        return toIntentState(
          await client.paymentIntents.confirm(intentId, params, { timeout: CONFIRM_TIMEOUT }),
        );
      } catch (error) {
        if (error instanceof Stripe.errors.StripeCardError) return read(intentId);
        if (!isRejection(error)) throw error;
        // Its state is another already, or it can never be confirmed: then it is cancelled for good.
        const state = await read(intentId);
        if (state.status !== "unconfirmed") return state;
        const cancelled = await cancel(intentId);
        return cancelled.status === "refused" ? refusalFrom(error) : cancelled;
      }
    },

    read,
    cancel,

    composePayout,
    composeRefund,
    payouts: stripePayouts({ client, databaseId }),
    refunds: stripeRefunds({ client, databaseId }),

    async findIntent(intentId) {
      try {
        const expand = ["latest_charge"];
        const intent = await client.paymentIntents.retrieve(intentId, { expand }, PATIENT);
        assertObject(intent, "payment_intent");
        return (await isOurs(intent)) ? toRecord(intent) : undefined;
      } catch (error) {
        if (isRejection(error) && error.code === "resource_missing") return undefined;
        throw error;
      }
    },

    async *listIntents({ since, accountId }) {
      const created = { gte: Math.floor(since.getTime() / SECOND) };
      const of = accountId === undefined ? {} : { customer: await customerOf(accountId) };
      for await (const intent of client.paymentIntents.list({ ...of, created, limit: PAGE }, PATIENT))
        if (await isOurs(intent)) yield toRecord(intent);
    },

    async *listReversals(of) {
      const filter =
        "intentId" in of
          ? { payment_intent: of.intentId }
          : { created: { gte: Math.floor(of.since.getTime() / SECOND) } };
      yield* mapped(client.refunds.list({ ...filter, limit: PAGE }, PATIENT), refundToReversal);
      yield* mapped(client.disputes.list({ ...filter, limit: PAGE }, PATIENT), disputeToReversal);
    },

    checkout: stripeCheckout({ client, databaseId, asCustomer }),
    ...stripeCards({ client, databaseId, asCustomer, isOurs }, keys),

    readEvent(body, signature) {
      try {
        const { webhookSecret } = keys;
        return toProcessorEvent(
          client.webhooks.constructEvent(body, signature ?? "", webhookSecret, SIGNATURE_AGE_SECONDS),
        );
      } catch {
        // Not signed, or not an event that we handle.
        return undefined;
      }
    },
  };
}

function refusalFrom(error: Stripe.errors.StripeError): Refusal {
  return refusalOf(error.decline_code ?? error.code);
}

/** For lists: one intent in an unexpected state must not end the list. */
function knownState(intent: Stripe.PaymentIntent): IntentState {
  try {
    return toIntentState(intent);
  } catch {
    return { status: "processing" };
  }
}

async function* mapped<T>(
  all: AsyncIterable<T>,
  toReversal: (one: T) => Reversal | undefined,
): AsyncIterable<Reversal> {
  for await (const one of all) {
    const reversal = toReversal(one);
    if (reversal !== undefined) yield reversal;
  }
}

/** Calls `ask` until it succeeds once, and remembers the answer. */
function once<T>(ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined;
  return () => {
    answer ??= ask().catch((error: unknown) => {
      answer = undefined;
      throw error;
    });
    return answer;
  };
}
