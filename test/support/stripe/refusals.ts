/** What Stripe says of a request that it does not do; the fields of its error object. */
export type ErrorBody = {
  type: "api_error" | "card_error" | "idempotency_error" | "invalid_request_error";
  message: string;
  code?: string;
  param?: string;
  decline_code?: string;
  charge?: string;
  payment_intent?: object;
  payment_method?: object;
  setup_intent?: object;
};

/** A request that is refused, with Stripe's status and error object. */
export class Refusal extends Error {
  override name = "Refusal";
  readonly status: number;
  readonly body: ErrorBody;
  readonly headers: Record<string, string>;

  constructor(status: number, body: ErrorBody, headers: Record<string, string> = {}) {
    super(body.message);
    this.status = status;
    this.body = body;
    this.headers = headers;
  }
}

/** A request whose fields are wrong: nothing is executed, and nothing is kept under its idempotency key. */
export class Invalid extends Refusal {
  override name = "Invalid";
}

export function invalid(message: string, param: string, code?: string): Invalid {
  return new Invalid(400, { type: "invalid_request_error", message, param, ...(code && { code }) });
}

/** @param inPath whether the id stands in the address: 404, else 400 */
export function missing(kind: string, id: string, param: string, inPath: boolean): Refusal {
  return new Refusal(inPath ? 404 : 400, {
    type: "invalid_request_error",
    code: "resource_missing",
    message: `No such ${kind}: '${id}'`,
    param,
  });
}

export function refused(message: string, more: Partial<ErrorBody> = {}): Refusal {
  return new Refusal(400, { type: "invalid_request_error", message, ...more });
}

/** An intent that is not where the request needs it. */
export function unexpectedState(
  message: string,
  intent: { object: "payment_intent" | "setup_intent" },
): Refusal {
  const code = `${intent.object}_unexpected_state`;
  return refused(message, { code, [intent.object]: intent });
}

/** Where Stripe explains an error code. */
export function docUrl(code: string): string {
  return `https://stripe.com/docs/error-codes/${code.replaceAll("_", "-")}`;
}
