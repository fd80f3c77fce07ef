/** A card as the processor keeps it. */
export type ProcessorCard = {
  id: string;
  brand: string;
  /** The last four digits, as text. */
  last4: string;
  expMonth: number;
  expYear: number;
};

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
};
