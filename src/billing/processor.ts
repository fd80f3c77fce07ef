import type { ProcessorName } from "../database/schema.ts";

export type { ProcessorName } from "../database/schema.ts";

/** A card as the processor keeps it. */
export type ProcessorCard = {
  id: string;
  brand: string;
  /** The last four digits, as text. */
  last4: string;
  expMonth: number;
  expYear: number;
};

/** What is to be paid, and how the processor is to remember it. */
export type Charge = {
  accountId: string;
  cardId: string;
  amountCents: number;
  currency: string;
  metadata: { approvalId: string; milestoneId: string };
  /** What the processor knows these books, and the account, by; null: it has not met the account. */
  databaseId: string;
  customerId: string | null;
};

/** What is sent to make an intent: kept with the attempt, and sent again as it was. */
export type ChargeRequest = {
  accountId: string;
  /** The same for the same attempt, whatever else is lost: the processor makes one intent under it, while it keeps it. */
  key: string;
  body: Record<string, unknown>;
};

/**
 * What became of asking for an intent. `key_taken`: under this key the processor has another request, a failure, or an intent
 * by which nothing can be paid any more; what there is must be looked for before another key is used.
 */
export type Prepared = { status: "prepared"; intentId: string } | { status: "key_taken" } | Refusal;

/** No money has moved, and by this intent none will. `message` is for people. */
export type Refusal = { status: "refused"; code: string; message: string };

/**
 * Where an intent stands, in the processor's own record. Only `refused` is a refusal: the processor says that
 * the card will not pay, or that the intent was cancelled. Everything else that goes wrong is thrown, and
 * means that the outcome is not known.
 */
export type IntentState =
  | { status: "unconfirmed" }
  | { status: "processing" }
  | { status: "action_required"; actionUrl: string }
  | { status: "succeeded" }
  | Refusal;

/** What is to be paid out to a payee, and how the processor is to remember it. */
export type Payout = {
  accountId: string;
  /** The payee's account at the processor, `acct_…`. */
  destination: string;
  amountCents: number;
  currency: string;
  /** The intent by which a card brought the money; null: credits did. */
  sourceIntentId: string | null;
  metadata: SentMetadata;
  databaseId: string;
};

/** What is to go back to the card that brought it. */
export type Refund = Omit<Payout, "destination" | "sourceIntentId"> & { sourceIntentId: string };

/** By this a payout or a refund is found again, whatever is lost here. */
export type SentMetadata = { attemptId: string; approvalId: string; milestoneId: string };

/** A request that moves money at once, by a body that was kept and a key that derives from the milestone. */
export type SendRequest = { accountId: string; key: string; body: Record<string, unknown> };

/**
 * Where something that was sent stands, in the processor's own record. `pending`: it may still come back. Refused: the
 * money has not moved, or has come back.
 */
export type SentState = { status: "pending" } | { status: "succeeded" } | Refusal;

/**
 * What became of sending. `key_taken`: as of `Prepared`. `waiting`: nothing was moved, as the balance does not hold
 * enough yet; another key sends it later.
 */
export type Sent =
  | { status: "sent"; record: SentRecord }
  | { status: "key_taken" }
  | { status: "waiting" }
  | Refusal;

/** A payout or a refund of ours as the processor's books have it. */
export type SentRecord = {
  id: string;
  attemptId: string | null;
  accountId: string | null;
  milestoneId: string | null;
  amountCents: number;
  currency: string;
  /** What has come back of it since. */
  returnedCents: number;
  state: SentState;
  createdAt: Date;
};

/** What of a processor's books to list: all that names a milestone, or all that was made since then. */
export type SentFilter =
  | { accountId: string; milestoneId: string; sourceIntentId: string | null }
  | { since: Date };

/** How the processor moves money out. It has no step that prepares: what was sent is found by what it names. */
export type Outgoing = {
  /** Moves the money, once under its key. */
  send(request: SendRequest): Promise<Sent>;
  find(id: string): Promise<SentRecord | undefined>;
  list(of: SentFilter): AsyncIterable<SentRecord>;
};

/** An intent of ours as the processor's books have it. */
export type IntentRecord = {
  id: string;
  /** Null: the processor does not say whose it is. */
  accountId: string | null;
  milestoneId: string | null;
  /** The top-up that it paid, if it did. */
  topUpId: string | null;
  amountCents: number;
  /** What of it was refunded, as far as was asked: lists do not say. */
  refundedCents: number;
  currency: string;
  state: IntentState;
  createdAt: Date;
};

/** Money that went back from the processor's side: a refund that somebody made there, or a bank's dispute. */
export type Reversal = {
  id: string;
  kind: "refund" | "dispute";
  intentId: string;
  /** In the processor's own words. */
  status: string;
  /** What it is about. */
  amountCents: number;
  currency: string;
  /** What it has taken so far, by the processor's record: less, or nothing, when it failed or was won. */
  takenCents: number;
  /** What was taken stays so, as far as anybody can say. */
  final: boolean;
  /** The attempt of ours that it names: a refund that this service made itself. */
  attemptId: string | null;
};

/** A processor's own form for a card, so that no number ever reaches us. */
export type CardForm = {
  /** What the browser shows itself to the processor with. */
  publishableKey: string;
  /** Begins to take a card that a person gives for an account. @returns the setup's id */
  begin(accountId: string, userId: string): Promise<string>;
  /** Where a setup stands; `undefined` when it is none of ours. */
  find(setupId: string): Promise<CardSetup | undefined>;
};

export type CardSetup = {
  id: string;
  accountId: string;
  /** Who began it. */
  userId: string;
  /** With this the browser fills the setup in. */
  clientSecret: string;
  /** Once it is done: the card, which is attached to the account. */
  card: ProcessorCard | undefined;
};

/** A page of the processor's own, on which a person pays for a top-up by whatever card they give there. */
export type CheckoutRequest = {
  accountId: string;
  topUpId: string;
  /** As of `ChargeRequest`: one page is made under it. */
  key: string;
  amountCents: number;
  currency: string;
  /** Where the browser comes back to, paid or not. */
  returnUrl: string;
};

/** Where such a page stands. `complete`: it was paid, by that intent. `processing`: the bank has not answered. */
export type CheckoutState =
  | { status: "open"; url: string }
  | { status: "processing" }
  | { status: "complete"; intentId: string }
  | { status: "expired" };

/** One of ours as the processor's books have it. */
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
  /** Opens a page, once under its key. `key_taken`: as of `Prepared`. */
  open(
    request: CheckoutRequest,
  ): Promise<{ status: "opened"; record: CheckoutRecord } | { status: "key_taken" }>;
  /** `undefined`: it is none of ours. */
  find(sessionId: string): Promise<CheckoutRecord | undefined>;
  /** Ends a page that is open: from then on nobody pays there. @returns where it stands then */
  end(sessionId: string): Promise<CheckoutRecord | undefined>;
  list(of: { since: Date; accountId?: string }): AsyncIterable<CheckoutRecord>;
};

/** What a processor tells of its own accord: that something happened to a subject, which is then read. */
export type ProcessorEvent = {
  id: string;
  type: string;
  intentId: string | null;
  setupId: string | null;
  /** A top-up's page. */
  sessionId: string | null;
  /** A payout or a refund of ours, which is then read. */
  sent: { kind: "payout" | "refund"; id: string } | null;
  /** Where to look for it first, if the event says so. */
  accountId: string | null;
};

/**
 * What moves the money: Stripe, or the sandbox. Calls go over a network: never make one inside a
 * transaction (invariant 4).
 */
export type Processor = {
  name: ProcessorName;
  /**
   * Attaches a payment method of the processor's to an account.
   * @param paymentMethod the processor's id for it, `pm_…`
   * @returns the card as it was attached; `undefined` when the processor does not know or take it
   */
  attachCard(accountId: string, paymentMethod: string): Promise<ProcessorCard | undefined>;
  /** Lets go of a card; one that it does not hold is no error. */
  detachCard(accountId: string, cardId: string): Promise<void>;
  /** The body of the request that makes an intent. Asks nobody. */
  composeCharge(charge: Charge): ChargeRequest["body"];
  /** Makes an intent that moves nothing yet. A refusal: it cannot be made, as it is. */
  prepare(request: ChargeRequest): Promise<Prepared>;
  /** Confirms the intent: from here on money may move. Confirming one again changes nothing. */
  execute(intentId: string, returnUrl: string): Promise<IntentState>;
  /** What the processor holds. Recovery goes by this alone. */
  read(intentId: string): Promise<IntentState>;
  /** Cancels an intent that has not succeeded. @returns where it stands then */
  cancel(intentId: string): Promise<IntentState>;

  /** The bodies of the requests that pay out, and that pay back. Ask nobody. */
  composePayout(payout: Payout): SendRequest["body"];
  composeRefund(refund: Refund): SendRequest["body"];
  payouts: Outgoing;
  refunds: Outgoing;

  /** Its books, for whoever compares them with ours; `undefined` for what is none of ours. */
  findIntent(intentId: string): Promise<IntentRecord | undefined>;
  listIntents(of: { since: Date; accountId?: string }): AsyncIterable<IntentRecord>;
  listReversals(of: { intentId: string } | { since: Date }): AsyncIterable<Reversal>;

  checkout: Checkout;
  /** Absent where a card is added by the number of a test card. */
  cardForm?: CardForm;
  /** Reads a message that it sent. `undefined`: it did not, or too long ago. Absent where it sends none. */
  readEvent?(body: string, signature: string | undefined): ProcessorEvent | undefined;
};
