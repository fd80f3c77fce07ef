/** Why a bank says no: Stripe's code, the decline code behind it, and what Stripe then says. */
export type Decline = { code: string; declineCode?: string; message: string };

const declined = (declineCode: string, message = "Your card was declined."): Decline => ({
  code: "card_declined",
  declineCode,
  message,
});
const GENERIC = declined("generic_decline");
const INSUFFICIENT = declined("insufficient_funds", "Your card has insufficient funds.");

/** How a card behaves. */
export type Behaviour = {
  number: string;
  brand: string;
  /** Refuses each charge; such a card cannot be attached to a customer either. */
  declines?: Decline;
  /** Can be attached, and refuses each charge. */
  declinesCharges?: Decline;
  /** When the bank wants to see the person: always, or for as long as the card was not set up for later. */
  authenticates?: "always" | "until_set_up";
  /** What the bank says when it has seen the person. */
  declinesAfterwards?: Decline;
  disputes?: true;
  /** Its refunds are left pending, or the bank gives them back at once. */
  refunds?: "pending" | "failed";
};

/** The test payment methods that Stripe publishes, by their names in test code. */
export const TEST_METHODS: Readonly<Record<string, Behaviour>> = {
  pm_card_visa: { number: "4242424242424242", brand: "visa" },
  pm_card_mastercard: { number: "5555555555554444", brand: "mastercard" },
  pm_card_amex: { number: "378282246310005", brand: "amex" },
  pm_card_bypassPending: { number: "4000000000000077", brand: "visa" },
  pm_card_pendingRefund: { number: "4000000000007726", brand: "visa", refunds: "pending" },
  pm_card_refundFail: { number: "4000000000005126", brand: "visa", refunds: "failed" },
  pm_card_createDispute: { number: "4000000000000259", brand: "visa", disputes: true },
  pm_card_chargeDeclined: { number: "4000000000000002", brand: "visa", declines: GENERIC },
  pm_card_visa_chargeDeclined: { number: "4000000000000002", brand: "visa", declines: GENERIC },
  pm_card_chargeDeclinedInsufficientFunds: {
    number: "4000000000009995",
    brand: "visa",
    declines: INSUFFICIENT,
  },
  pm_card_visa_chargeDeclinedInsufficientFunds: {
    number: "4000000000009995",
    brand: "visa",
    declines: INSUFFICIENT,
  },
  pm_card_visa_chargeDeclinedLostCard: {
    number: "4000000000009987",
    brand: "visa",
    declines: declined("lost_card"),
  },
  pm_card_visa_chargeDeclinedStolenCard: {
    number: "4000000000009979",
    brand: "visa",
    declines: declined("stolen_card"),
  },
  pm_card_chargeDeclinedExpiredCard: {
    number: "4000000000000069",
    brand: "visa",
    declines: { code: "expired_card", message: "Your card has expired." },
  },
  pm_card_chargeDeclinedIncorrectCvc: {
    number: "4000000000000127",
    brand: "visa",
    declines: { code: "incorrect_cvc", message: "Your card's security code is incorrect." },
  },
  pm_card_chargeDeclinedProcessingError: {
    number: "4000000000000119",
    brand: "visa",
    declines: {
      code: "processing_error",
      message: "An error occurred while processing your card. Try again in a little bit.",
    },
  },
  pm_card_chargeCustomerFail: { number: "4000000000000341", brand: "visa", declinesCharges: GENERIC },
  pm_card_authenticationRequiredOnSetup: {
    number: "4000002500003155",
    brand: "visa",
    authenticates: "until_set_up",
  },
  pm_card_authenticationRequired: { number: "4000002760003184", brand: "visa", authenticates: "always" },
  pm_card_authenticationRequiredChargeDeclinedInsufficientFunds: {
    number: "4000008260003178",
    brand: "visa",
    authenticates: "always",
    declinesAfterwards: INSUFFICIENT,
  },
  pm_card_threeDSecure2Required: { number: "4000000000003220", brand: "visa", authenticates: "always" },
  pm_card_threeDSecureRequiredChargeDeclined: {
    number: "4000008400001629",
    brand: "visa",
    authenticates: "always",
    declinesAfterwards: GENERIC,
  },
};

/** The name in test code of a card's number, which people type into Stripe's form. */
export function methodOfNumber(number: string): string | undefined {
  return Object.entries(TEST_METHODS).find(([, behaviour]) => behaviour.number === number)?.[0];
}
