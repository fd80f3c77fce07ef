import type { ProcessorName } from "../database/schema.ts";

export type { ProcessorName } from "../database/schema.ts";

/** A card at the processor. */
export type ProcessorCard = {
  id: string;
  brand: string;
  /** The last four digits, as text. */
  last4: string;
  expMonth: number;
  expYear: number;
};

/** What to charge, and the metadata that identifies it. */
export type Charge = {
  accountId: string;
  cardId: string;
  amountCents: number;
  currency: string;
  metadata: { approvalId: string; milestoneId: string };
  /**
   * The names under which the processor knows this database and the account; null: it does not know the account yet.
   */
  databaseId: string;
  customerId: string | null;
};

/** The request that creates an intent. Stored with the attempt, and repeated unchanged. */
export type ChargeRequest = {
  accountId: string;
  /**
   * The same for every try of the attempt, even if all else is lost: the processor creates one intent under it, for
   * as long as it keeps keys.
   */
  key: string;
  body: Record<string, unknown>;
};

/**
 * The answer to a request for an intent. `key_taken`: under this key the processor has another request, a failure, or
 * an intent that can no longer pay. Search for existing intents before you use another key.
 */
export type Prepared = { status: "prepared"; intentId: string } | { status: "key_taken" } | Refusal;

/** No money has moved, and this intent will move none. `message` is for people. */
export type Refusal = { status: "refused"; code: string; message: string };

/**
 * The state of an intent in the processor's record. `refused` means that the processor says that the card will not
 * pay, or that the intent was cancelled. Every other error is thrown, and means that the outcome is unknown.
 */
export type IntentState =
  | { status: "unconfirmed" }
  | { status: "processing" }
  | { status: "action_required"; actionUrl: string }
  | { status: "succeeded" }
  | Refusal;

/** What to pay out to a payee, and the metadata that identifies it. */
export type Payout = {
  accountId: string;
  /** The payee's account at the processor, `acct_…`. */
  destination: string;
  amountCents: number;
  currency: string;
  /** The intent of the charge that brought the money; null: credits did. */
  sourceIntentId: string | null;
  metadata: SentMetadata;
  databaseId: string;
};

/** What to refund to the card that paid. */
export type Refund = Omit<Payout, "destination" | "sourceIntentId"> & { sourceIntentId: string };

/** Identifies a payout or refund in the processor's record, whatever is lost here. */
export type SentMetadata = { attemptId: string; approvalId: string; milestoneId: string };

/** A request that moves money at once. Its body is stored and its key derives from the milestone. */
export type SendRequest = { accountId: string; key: string; body: Record<string, unknown> };

/**
 * The state of a payout or refund in the processor's record. `pending`: it may still be returned. `refused`: the
 * money has not moved, or was returned.
 */
export type SentState = { status: "pending" } | { status: "succeeded" } | Refusal;

/**
 * The answer to sending. `key_taken`: as in `Prepared`. `waiting`: nothing moved because the balance is too low; send
 * it later under another key.
 */
export type Sent =
  | { status: "sent"; record: SentRecord }
  | { status: "key_taken" }
  | { status: "waiting" }
  | Refusal;

/** A payout or refund of ours in the processor's record. */
export type SentRecord = {
  id: string;
  attemptId: string | null;
  accountId: string | null;
  milestoneId: string | null;
  amountCents: number;
  currency: string;
  /** The amount returned since. */
  returnedCents: number;
  state: SentState;
  createdAt: Date;
};

/** Which of the processor's records to list: those that name a milestone, or those created since a time. */
export type SentFilter =
  | { accountId: string; milestoneId: string; sourceIntentId: string | null }
  | { since: Date };

/** How the processor moves money out. There is no prepare step: a sent request is found by its metadata. */
export type Outgoing = {
  /** Moves the money, once a key. */
  send(request: SendRequest): Promise<Sent>;
  find(id: string): Promise<SentRecord | undefined>;
  list(of: SentFilter): AsyncIterable<SentRecord>;
};

/** An intent of ours in the processor's record. */
export type IntentRecord = {
  id: string;
  /** Null: the processor does not say. */
  accountId: string | null;
  milestoneId: string | null;
  /** The top-up that it paid; null: none. */
  topUpId: string | null;
  amountCents: number;
  /** The refunded amount, if it was read: lists omit it. */
  refundedCents: number;
  currency: string;
  state: IntentState;
  createdAt: Date;
};

/** Money that was taken back at the processor: a refund made there, or a bank's dispute. */
export type Reversal = {
  id: string;
  kind: "refund" | "dispute";
  intentId: string;
  /** The processor's own word. */
  status: string;
  /** The amount it is about. */
  amountCents: number;
  currency: string;
  /** What it has taken so far, by the processor's record: less, or nothing, once it failed or was won. */
  takenCents: number;
  /** Whether what was taken stays taken, as far as can be known. */
  final: boolean;
  /** The attempt that it names: a refund made by this service. */
  attemptId: string | null;
};

/** The processor's own form for a card, so that card numbers never reach us. */
export type CardForm = {
  /** The key with which the browser calls the processor. */
  publishableKey: string;
  /** Begins to set up a card for an account. @returns the setup's id */
  begin(accountId: string, userId: string): Promise<string>;
  /** The state of a setup; `undefined`: none of ours. */
  find(setupId: string): Promise<CardSetup | undefined>;
};

export type CardSetup = {
  id: string;
  accountId: string;
  /** The person who began it. */
  userId: string;
  /** With this the browser completes the setup. */
  clientSecret: string;
  /** The card, attached to the account, once the setup is complete. */
  card: ProcessorCard | undefined;
};

/** The processor's own page on which a person pays for a top-up, with any card. */
export type CheckoutRequest = {
  accountId: string;
  topUpId: string;
  /** As in `ChargeRequest`: one page is created under it. */
  key: string;
  amountCents: number;
  currency: string;
  /** Where the browser returns to, paid or not. */
  returnUrl: string;
};

/** The state of such a page. `complete`: that intent paid it. `processing`: the bank has not answered. */
export type CheckoutState =
  | { status: "open"; url: string }
  | { status: "processing" }
  | { status: "complete"; intentId: string }
  | { status: "expired" };

/** A page of ours in the processor's record. */
export type CheckoutRecord = {
  id: string;
  accountId: string | null;
  topUpId: string | null;
  amountCents: number;
  currency: string;
  state: CheckoutState;
  createdAt: Date;
};

export type Checkout = {
  /** Opens a page, once a key. `key_taken`: as in `Prepared`. */
  open(
    request: CheckoutRequest,
  ): Promise<{ status: "opened"; record: CheckoutRecord } | { status: "key_taken" }>;
  /** `undefined`: none of ours. */
  find(sessionId: string): Promise<CheckoutRecord | undefined>;
  /** Ends an open page, so that it can no longer be paid. @returns its state then */
  end(sessionId: string): Promise<CheckoutRecord | undefined>;
  list(of: { since: Date; accountId?: string }): AsyncIterable<CheckoutRecord>;
};

/** An event that the processor sends: something happened to a subject, which is then read. */
export type ProcessorEvent = {
  id: string;
  type: string;
  intentId: string | null;
  setupId: string | null;
  /** The page of a top-up. */
  sessionId: string | null;
  /** A payout or refund of ours. */
  sent: { kind: "payout" | "refund"; id: string } | null;
  /** The account in which to look first, if the event names it. */
  accountId: string | null;
};

/**
 * The service that moves the money: Stripe or the sandbox. Its calls go over a network: never make one inside a
 * transaction (invariant 4).
 */
export type Processor = {
  name: ProcessorName;
  /**
   * Attaches a payment method to an account.
   * @param paymentMethod the processor's id, `pm_…`
   * @returns the attached card; `undefined`: the processor does not know or accept it
   */
  attachCard(accountId: string, paymentMethod: string): Promise<ProcessorCard | undefined>;
  /** Detaches a card. An unknown card is not an error. */
  detachCard(accountId: string, cardId: string): Promise<void>;
  /** The body of the request that creates an intent. No call. */
  composeCharge(charge: Charge): ChargeRequest["body"];
  /** Creates an intent, which moves no money yet. Refused: it cannot be created like this. */
  prepare(request: ChargeRequest): Promise<Prepared>;
  /** Confirms the intent: money may move from here on. Repeating it changes nothing. */
  execute(intentId: string, returnUrl: string): Promise<IntentState>;
  /** The state of an intent. Recovery uses nothing else. */
  read(intentId: string): Promise<IntentState>;
  /** Cancels an intent that has not succeeded. @returns its state then */
  cancel(intentId: string): Promise<IntentState>;

  /** The bodies of the requests that pay out and refund. No call. */
  composePayout(payout: Payout): SendRequest["body"];
  composeRefund(refund: Refund): SendRequest["body"];
  payouts: Outgoing;
  refunds: Outgoing;

  /** The processor's record, for reconciliation; `undefined`: none of ours. */
  findIntent(intentId: string): Promise<IntentRecord | undefined>;
  listIntents(of: { since: Date; accountId?: string }): AsyncIterable<IntentRecord>;
  listReversals(of: { intentId: string } | { since: Date }): AsyncIterable<Reversal>;

  checkout: Checkout;
  /** Absent if cards are added by test card number. */
  cardForm?: CardForm;
  /** Reads a message of the processor. `undefined`: it is not signed, or too old. Absent if it sends none. */
  readEvent?(body: string, signature: string | undefined): ProcessorEvent | undefined;
};
