import Stripe from "stripe";
import { isUuid } from "../lib/ids.ts";
import { refusalOf } from "./decline-rules.ts";
import type { IntentState, ProcessorCard, ProcessorEvent, Reversal } from "./processor.ts";

/** Objects a page, in lists. */
export const PAGE = 100;
/** Retries, for calls that hold no lease. */
export const PATIENT = { maxNetworkRetries: 2 };

/**
 * The state of a PaymentIntent, by its own status alone.
 * @throws Error for any other object, or a status that a card's intent cannot have: the outcome is unknown
 */
export function toIntentState(intent: Stripe.PaymentIntent): IntentState {
  assertObject(intent, "payment_intent");
  switch (intent.status) {
    case "requires_confirmation":
      return { status: "unconfirmed" };
    case "processing":
      return { status: "processing" };
    case "succeeded":
      return { status: "succeeded" };
    case "canceled":
      return refusalOf("canceled");
    case "requires_payment_method": {
      const error = intent.last_payment_error;
      return refusalOf(error?.decline_code ?? error?.code);
    }
    case "requires_action": {
      const actionUrl = intent.next_action?.redirect_to_url?.url;
      if (actionUrl) return { status: "action_required", actionUrl };
      throw new Error(`${intent.id} asks for ${intent.next_action?.type}, which no redirect can do`);
    }
    default:
      throw new Error(`${intent.id} is ${intent.status}, which an intent of ours never is`);
  }
}

/** A payment method as a card; `undefined`: it is not a card. */
export function toCard(method: Stripe.PaymentMethod): ProcessorCard | undefined {
  assertObject(method, "payment_method");
  const { id, card } = method;
  if (card === undefined || card === null) return undefined;
  if (typeof card.brand !== "string" || typeof card.last4 !== "string" || !isMonth(card))
    throw new UnreadableAnswer("Stripe answered with a card that cannot be read");
  return { id, brand: card.brand, last4: card.last4, expMonth: card.exp_month, expYear: card.exp_year };
}

/** A refund; `undefined`: not of an intent. Only a successful one has taken money. */
export function refundToReversal(refund: Stripe.Refund): Reversal | undefined {
  assertObject(refund, "refund");
  const intentId = idOf(refund.payment_intent);
  if (intentId === undefined) return undefined;
  const status = refund.status ?? "unknown";
  return {
    id: refund.id,
    kind: "refund",
    intentId,
    status,
    amountCents: refund.amount,
    currency: refund.currency,
    takenCents: status === "succeeded" ? refund.amount : 0,
    final: true,
    attemptId: refund.metadata?.attemptId ?? null,
  };
}

/**
 * A dispute; `undefined`: not of an intent. What it has taken is what Stripe's balance says: an inquiry takes
 * nothing, and a won dispute is returned.
 */
export function disputeToReversal(dispute: Stripe.Dispute): Reversal | undefined {
  assertObject(dispute, "dispute");
  const intentId = idOf(dispute.payment_intent);
  if (intentId === undefined) return undefined;
  const { status, amount, currency, balance_transactions: moves } = dispute;
  const moved = moves.reduce((sum, move) => sum + move.amount, 0);
  // A balance in another currency says whether money was taken, but not how much in ours.
  const whole = moves.some((move) => move.currency !== currency) && moved < 0;
  return {
    id: dispute.id,
    kind: "dispute",
    intentId,
    status,
    amountCents: amount,
    currency,
    takenCents: whole ? amount : Math.max(0, -moved),
    final: ["won", "lost", "warning_closed", "prevented"].includes(status),
    attemptId: null,
  };
}

function isMonth({ exp_month, exp_year }: Stripe.PaymentMethod.Card): boolean {
  return Number.isInteger(exp_month) && Number.isInteger(exp_year);
}

/** An answer of Stripe that is not the requested object. */
export class UnreadableAnswer extends Error {
  override name = "UnreadableAnswer";
}

/** Stripe's client returns an unreadable error as if it were the requested object. @throws UnreadableAnswer */
export function assertObject(
  answer: { object?: unknown; id?: unknown } | null | undefined,
  object: string,
): void {
  if (answer?.object !== object || typeof answer.id !== "string")
    throw new UnreadableAnswer(`Stripe answered with something that is no ${object}`);
}

/** The id of an expandable reference. */
export function idOf(reference: string | { id: string } | null | undefined): string | undefined {
  return typeof reference === "string" ? reference : reference?.id;
}

/** The account that an object belongs to. Dashboard users can edit metadata: ids that are not ours are ignored. */
export function accountOf(metadata: Stripe.Metadata | null | undefined): string | null {
  const accountId = metadata?.accountId ?? "";
  return isUuid(accountId) ? accountId : null;
}

/** The subject of an event; `undefined`: not an event that we handle. */
export function toProcessorEvent(event: Stripe.Event): ProcessorEvent | undefined {
  const { id, type, data } = event;
  if (event.object !== "event" || typeof id !== "string" || typeof type !== "string") return undefined;
  const subject = data.object as {
    object?: string;
    id?: string;
    payment_intent?: string | { id: string } | null;
    metadata?: Stripe.Metadata | null;
  };
  const own = (object: string) => (subject.object === object ? subject.id : undefined);
  return {
    id,
    type,
    intentId: own("payment_intent") ?? idOf(subject.payment_intent) ?? null,
    setupId: own("setup_intent") ?? null,
    sessionId: own("checkout.session") ?? null,
    sent: sentOf(own),
    accountId: accountOf(subject.metadata),
  };
}

function sentOf(own: (object: string) => string | undefined): ProcessorEvent["sent"] {
  const payout = own("transfer");
  if (payout !== undefined) return { kind: "payout", id: payout };
  const refund = own("refund");
  return refund === undefined ? null : { kind: "refund", id: refund };
}

/** Stripe repeats the first answer under a key for a day, failures too. */
export function wasStored({ headers }: { headers?: Record<string, string> }): boolean {
  return headers?.["idempotent-replayed"] === "true";
}

/** The key holds a failure, or another body. */
export function isKeyTaken(error: unknown): boolean {
  if (!(error instanceof Stripe.errors.StripeError)) return false;
  return (
    (error instanceof Stripe.errors.StripeIdempotencyError && error.statusCode === 400) || wasStored(error)
  );
}

/** Stripe did nothing, and would do nothing if the request were repeated. */
export function isRejection(error: unknown): error is Stripe.errors.StripeInvalidRequestError {
  return (
    error instanceof Stripe.errors.StripeInvalidRequestError &&
    (error.statusCode === 400 || error.statusCode === 404)
  );
}
