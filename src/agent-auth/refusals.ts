/**
 * Every refusal of agent authentication, in one table, by the names that OAuth has for them (RFC 6749 §5.2,
 * RFC 8628 §3.5). Its answers have OAuth's shape and not the public API's (docs/contract.md §6).
 */
const catalogue = {
  invalid_request: [400, "The request is not valid."],
  unsupported_identity_type: [400, "The only identity_type is anonymous."],
  unsupported_grant_type: [400, "The only grant_type is urn:opentrain:agent-auth:grant-type:claim."],
  authorization_pending: [400, "The human has not finished yet. Poll again after the interval."],
  slow_down: [400, "Polled too soon. Wait five seconds longer between polls from now on."],
  expired_token: [400, "This claim has ended."],
  invalid_grant: [400, "This claim token is unknown, or its access token was given already."],
  rate_limit_exceeded: [429, "Too many requests. Wait as long as Retry-After says."],
  server_error: [500, "Something went wrong on our side. Quote the X-Request-Id when you report it."],
  temporarily_unavailable: [503, "The service cannot answer right now. Nothing was lost; try again shortly."],
} as const satisfies Record<string, readonly [number, string]>;

export type RefusalName = keyof typeof catalogue;

/** Every refusal, in the order of the table: what documents are made from. */
export const refusalRows = Object.entries(catalogue).map(([name, [status, message]]) => ({
  name: name as RefusalName,
  status,
  message,
}));

/** An error for the agent. */
export class Refusal extends Error {
  readonly refusal: RefusalName;
  readonly status: number;

  constructor(refusal: RefusalName, message: string = catalogue[refusal][1]) {
    super(message);
    this.name = "Refusal";
    this.refusal = refusal;
    this.status = catalogue[refusal][0];
  }
}
