import Stripe from "stripe";
import type { StripeKeys } from "../config/config.ts";
import { Problem } from "../lib/problems.ts";
import type { Processor } from "./processor.ts";
import { assertObject, idOf, isRejection, toCard, UnreadableAnswer } from "./stripe-wire.ts";

const RETRY_AFTER_SECONDS = 5;

type Deps = {
  client: Stripe;
  databaseId: () => Promise<string>;
  asCustomer: <T>(accountId: string, work: (customer: string) => Promise<T>) => Promise<T>;
  isOurs: (setup: Stripe.SetupIntent) => Promise<boolean>;
};

/** Cards of accounts, and Stripe's own form on which a person gives one. */
export function stripeCards(
  { client, databaseId, asCustomer, isOurs }: Deps,
  { publishableKey }: Pick<StripeKeys, "publishableKey">,
): Required<Pick<Processor, "attachCard" | "detachCard" | "cardForm">> {
  async function attach(paymentMethod: string, customer: string): Promise<Stripe.PaymentMethod> {
    try {
      return await client.paymentMethods.attach(paymentMethod, { customer });
    } catch (error) {
      if (!isRejection(error) || error.param === "customer") throw error;
      // It may be attached already, to this customer.
      const method = await client.paymentMethods.retrieve(paymentMethod);
      assertObject(method, "payment_method");
      if (idOf(method.customer) === customer) return method;
      throw error;
    }
  }

  return {
    attachCard: (accountId, paymentMethod) =>
      orUnavailable(async () => {
        try {
          const method = await asCustomer(accountId, (customer) => attach(paymentMethod, customer));
          const card = toCard(method);
          if (card === undefined) await client.paymentMethods.detach(method.id);
          return card;
        } catch (error) {
          if (isRejection(error) || error instanceof Stripe.errors.StripeCardError) return undefined;
          throw error;
        }
      }),

    detachCard: (_accountId, cardId) =>
      orUnavailable(async () => {
        try {
          await client.paymentMethods.detach(cardId);
        } catch (error) {
          if (!isRejection(error)) throw error;
        }
      }),

    cardForm: {
      publishableKey,

      begin: (accountId, userId) =>
        orUnavailable(async () => {
          const metadata = { databaseId: await databaseId(), accountId, userId };
          const setup = await asCustomer(accountId, (customer) =>
            client.setupIntents.create({
              customer,
              allowed_payment_method_types: ["card"],
              // It is charged only while the person confirms a payment.
              usage: "on_session",
              metadata,
            }),
          );
          assertObject(setup, "setup_intent");
          return setup.id;
        }),

      find: (setupId) =>
        orUnavailable(async () => {
          try {
            const setup = await client.setupIntents.retrieve(setupId, { expand: ["payment_method"] });
            assertObject(setup, "setup_intent");
            const { accountId, userId } = setup.metadata ?? {};
            if (!(await isOurs(setup)) || accountId === undefined || userId === undefined) return undefined;
            if (setup.client_secret === null) return undefined;
            const method = setup.status === "succeeded" ? setup.payment_method : null;
            const card = method === null || typeof method === "string" ? undefined : toCard(method);
            return { id: setup.id, accountId, userId, clientSecret: setup.client_secret, card };
          } catch (error) {
            if (isRejection(error)) return undefined;
            throw error;
          }
        }),
    },
  };
}

/**
 * For calls that a person waits for and can repeat.
 * @throws Problem unavailable {retryAfterSeconds} if Stripe is unreachable, fails, or sends an unreadable answer
 */
async function orUnavailable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isUnanswered(error)) throw error;
    const details = { retryAfterSeconds: RETRY_AFTER_SECONDS };
    const problem = new Problem(
      "unavailable",
      details,
      "Stripe cannot be reached right now. Try again shortly.",
    );
    problem.cause = error;
    throw problem;
  }
}

/** Stripe's client throws a TypeError for JSON that is not an object. */
function isUnanswered(error: unknown): boolean {
  const { StripeError } = Stripe.errors;
  return [StripeError, UnreadableAnswer, TypeError].some((kind) => error instanceof kind);
}
