import Stripe from "stripe";
import { isUuid } from "../lib/ids.ts";
import { refusalOf } from "./decline-rules.ts";
import type { IntentState, ProcessorCard, ProcessorEvent, Reversal } from "./processor.ts";

/** Objects a page, for lists. */
export const PAGE = 100;
/** For what holds no lease, and is worth waiting for. */
export const PATIENT = { maxNetworkRetries: 2 };

/**
 * Where a PaymentIntent stands. Its own status decides, and nothing else.
 * @throws Error for what is none, or stands where a card's intent cannot: the outcome is then not known
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

/** A payment method as a card; `undefined` when it is none. */
export function toCard(method: Stripe.PaymentMethod): ProcessorCard | undefined {
  assertObject(method, "payment_method");
  const { id, card } = method;
  if (card === undefined || card === null) return undefined;
  if (typeof card.brand !== "string" || typeof card.last4 !== "string" || !isMonth(card))
    throw new UnreadableAnswer("Stripe answered with a card that cannot be read");
  return { id, brand: card.brand, last4: card.last4, expMonth: card.exp_month, expYear: card.exp_year };
}

/** A refund; `undefined` when it is not of an intent. Only one that succeeded has taken anything. */
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
 * A dispute; `undefined` when it is not of an intent. What it has taken is what Stripe's balance says: inquiries
 * take nothing, and what is won comes back.
 */
export function disputeToReversal(dispute: Stripe.Dispute): Reversal | undefined {
  assertObject(dispute, "dispute");
  const intentId = idOf(dispute.payment_intent);
  if (intentId === undefined) return undefined;
  const { status, amount, currency, balance_transactions: moves } = dispute;
  const moved = moves.reduce((sum, move) => sum + move.amount, 0);
  // A balance that is kept in another currency says whether it was taken, and not how much of ours.
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

/** An answer of Stripe's that is not what was asked for. */
export class UnreadableAnswer extends Error {
  override name = "UnreadableAnswer";
}

/**
 * Stripe's client gives a refusal that it cannot read as if it were what was asked for.
 * @throws UnreadableAnswer
 */
export function assertObject(
  answer: { object?: unknown; id?: unknown } | null | undefined,
  object: string,
): void {
  if (answer?.object !== object || typeof answer.id !== "string")
    throw new UnreadableAnswer(`Stripe answered with something that is no ${object}`);
}

/** The id of what may be expanded. */
export function idOf(reference: string | { id: string } | null | undefined): string | undefined {
  return typeof reference === "string" ? reference : reference?.id;
}

/** Whose an object is. Anybody with the dashboard can edit metadata: what is no account of ours is nobody's. */
export function accountOf(metadata: Stripe.Metadata | null | undefined): string | null {
  const accountId = metadata?.accountId ?? "";
  return isUuid(accountId) ? accountId : null;
}

/** What an event tells of; `undefined` when it is none. */
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

/** A key answers what its first call was answered, a failure too, for a day. */
export function wasStored({ headers }: { headers?: Record<string, string> }): boolean {
  return headers?.["idempotent-replayed"] === "true";
}

/** Under this key there is a failure, or another body. */
export function isKeyTaken(error: unknown): boolean {
  if (!(error instanceof Stripe.errors.StripeError)) return false;
  return (
    (error instanceof Stripe.errors.StripeIdempotencyError && error.statusCode === 400) || wasStored(error)
  );
}

/** Stripe did nothing, and would do nothing however often it were asked the same. */
export function isRejection(error: unknown): error is Stripe.errors.StripeInvalidRequestError {
  return (
    error instanceof Stripe.errors.StripeInvalidRequestError &&
    (error.statusCode === 400 || error.statusCode === 404)
  );
}
