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
export type ChargeRequest = {
  accountId: string;
  cardId: string;
  amountCents: number;
  currency: string;
  /** From our immutable id of the attempt: the same attempt makes the same intent. */
  idempotencyKey: string;
  metadata: { approvalId: string; milestoneId: string };
};

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
  | { status: "refused"; code: string; message: string };

/**
 * What moves the money: Stripe, or the sandbox. Calls go over a network: never make one inside a
 * transaction (invariant 4).
 */
export type Processor = {
  /**
   * Attaches a payment method of the processor's to an account.
   * @param paymentMethod the processor's id for it, `pm_…`
   * @returns the card as it was attached; `undefined` when the processor does not know it
   */
  attachCard(accountId: string, paymentMethod: string): Promise<ProcessorCard | undefined>;
  /** Lets go of a card; one that it does not hold is no error. */
  detachCard(accountId: string, cardId: string): Promise<void>;
  /** Makes an intent that moves nothing yet. @returns its id */
  prepare(request: ChargeRequest): Promise<string>;
  /** Confirms the intent: from here on money may move. Confirming one again changes nothing. */
  execute(intentId: string, returnUrl: string): Promise<IntentState>;
  /** What the processor holds. Recovery goes by this alone. */
  read(intentId: string): Promise<IntentState>;
  /** Cancels an intent that has not succeeded. @returns where it stands then */
  cancel(intentId: string): Promise<IntentState>;
};
