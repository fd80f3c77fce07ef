import type { Refusal } from "./processor.ts";

const LATER = "The bank could not answer. Try again in a few minutes.";
const ASK_BANK = "The bank declined the card. It tells only you why: call the number on the card.";
const MISTYPED = "The card's details are not right. Add the card again, and check each of them.";
const UNSUITED = "This card cannot be used for this kind of payment. Use another card.";
const OVER_LIMIT =
  "The payment goes beyond a limit of the card. Ask the bank to raise it, or use another card.";

/**
 * What a person can do, by the processor's code. Omits the codes for lost, stolen and suspicious cards: the person
 * who holds the card must not learn the reason.
 */
const WORDS: Record<string, string> = {
  generic_decline: "The card was declined.",
  canceled: "The payment was cancelled before any money moved.",
  insufficient_funds: "The card has insufficient funds.",
  authentication_failed: "The bank could not confirm that it was you.",
  payment_intent_authentication_failure: "The bank could not confirm that it was you.",
  authentication_required: "Your bank needs to verify it’s you. Confirm again, and complete its check.",
  authentication_not_handled: "Your bank needs to verify it’s you. Confirm again, and complete its check.",
  expired_card: "The card has expired. Use another card.",
  incorrect_cvc: MISTYPED,
  invalid_cvc: MISTYPED,
  incorrect_number: MISTYPED,
  invalid_number: MISTYPED,
  invalid_expiry_month: MISTYPED,
  invalid_expiry_year: MISTYPED,
  incorrect_zip: MISTYPED,
  incorrect_address: MISTYPED,
  processing_error: LATER,
  issuer_not_available: LATER,
  reenter_transaction: LATER,
  try_again_later: LATER,
  approve_with_id: LATER,
  call_issuer: ASK_BANK,
  do_not_honor: ASK_BANK,
  do_not_try_again: ASK_BANK,
  no_action_taken: ASK_BANK,
  revocation_of_all_authorizations: ASK_BANK,
  revocation_of_authorization: ASK_BANK,
  security_violation: ASK_BANK,
  service_not_allowed: ASK_BANK,
  stop_payment_order: ASK_BANK,
  card_not_supported: UNSUITED,
  currency_not_supported: UNSUITED,
  invalid_account: UNSUITED,
  new_account_information_available: UNSUITED,
  not_permitted: UNSUITED,
  transaction_not_allowed: UNSUITED,
  testmode_decline: "A test card cannot pay here. Use a real one.",
  card_velocity_exceeded: OVER_LIMIT,
  withdrawal_count_limit_exceeded: OVER_LIMIT,
  invalid_amount: OVER_LIMIT,
  duplicate_transaction:
    "The bank took this for a payment that was made just now. Wait a little, then try again.",
  resource_missing: "The processor no longer has this card. Add it again, or use another card.",
};

/** A refusal with a message that a person can act on; for other codes, that the card was declined. */
export function refusalOf(code: string | null | undefined): Refusal {
  const known = code ?? "generic_decline";
  return { status: "refused", code: known, message: WORDS[known] ?? "The card was declined." };
}

/** Why a payout or refund was refused, by the processor's code, with what a person can do. */
const SENT_WORDS: Record<string, string> = {
  canceled: "It was cancelled before any money moved.",
  payment_disputed: "The payment that funded this is disputed. It can go on once the bank has decided.",
  account_closed: "The payee's account takes no money. Ask the operator of this service to name another.",
  account_invalid: "The payee's account takes no money. Ask the operator of this service to name another.",
  transfer_reversed: "The payout came back. Nothing was paid out.",
  charge_disputed: "The payment is disputed, so the bank takes no refund until that is decided.",
  charge_already_refunded: "This money has gone back already.",
  refund_exceeds_charge: "Part of this money has gone back already.",
};

/** Codes of refunds that no bank will ever accept: the money goes to the account's credits (docs/contract.md §1). */
const NO_LONGER_TAKEN: ReadonlySet<string> = new Set([
  "declined",
  "expired_or_canceled_card",
  "lost_or_stolen_card",
  "charge_not_refundable",
  "unknown",
]);

/** A refused payout or refund, with its message. */
export function sendRefusalOf(code: string | null | undefined): Refusal {
  const known = code ?? "unknown";
  return { status: "refused", code: known, message: SENT_WORDS[known] ?? "The processor refused it." };
}

/** Whether no bank will accept this refund. False for a refusal because of a dispute or an earlier refund. */
export function goesToCredits(code: string): boolean {
  return NO_LONGER_TAKEN.has(code);
}
