import type { Decline } from "./cards.ts";
import type { ErrorBody } from "./refusals.ts";

export const NEEDS_AUTHENTICATION: Decline = {
  code: "authentication_required",
  declineCode: "authentication_required",
  message: "Your card was declined. This transaction requires authentication.",
};

/** What the bank's page leaves behind when the person could not be seen. */
export const NOT_AUTHENTICATED = {
  payment_intent: {
    type: "invalid_request_error",
    code: "payment_intent_authentication_failure",
    message:
      "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
  },
  setup_intent: {
    type: "invalid_request_error",
    code: "setup_intent_authentication_failure",
    message:
      "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
  },
} as const satisfies Record<string, ErrorBody>;

/** A bank's no as Stripe's error object. */
export function declineError({ code, declineCode, message }: Decline): ErrorBody {
  return { type: "card_error", code, message, ...(declineCode && { decline_code: declineCode }) };
}
