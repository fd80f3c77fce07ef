import { type TProperties, type TSchema, Type } from "@sinclair/typebox";
import { Milestone } from "../contracts/schemas.ts";
import { type Details, type ProblemName, problemRow } from "../lib/problems.ts";
import type { Fault } from "./examples.ts";
import { headersOf } from "./headers.ts";
import { CONTRACT_ID, ORIGIN, pending } from "./story.ts";

/** What the examples of a call's refusals are made from. */
export type Call = {
  /** The last id in its address, such as `milestoneId`; undefined: it is about the operator's one webhook, or nothing. */
  idName: string | undefined;
  by: "token" | "operator";
  fault: Fault;
};

type DetailsOf = {
  properties: TProperties;
  /** What keys that are not named hold. */
  others?: TSchema;
  optional?: true;
  example: (call: Call) => Details;
};

const REQUEST_ID = "01a207bd-a8f2-7b1e-8c55-6e3f9cef9517";
const UNKNOWN_ID = "01a207bd-0000-7000-8000-000000000000";
/** Ids that lead to nothing, by their name in an address. */
const UNKNOWN: Record<string, { resource: string; id: string }> = {
  contractId: { resource: "contracts", id: "contract-8" },
  milestoneId: { resource: "milestones", id: "milestone-8-1" },
  approvalId: { resource: "approvals", id: UNKNOWN_ID },
  tokenId: { resource: "tokens", id: UNKNOWN_ID },
  webhookId: { resource: "webhooks", id: UNKNOWN_ID },
  topUpId: { resource: "credit-top-ups", id: UNKNOWN_ID },
  deliveryId: { resource: "deliveries", id: UNKNOWN_ID },
  accountId: { resource: "accounts", id: "acme" },
  memberId: { resource: "members", id: UNKNOWN_ID },
  paymentMethodId: { resource: "paymentMethods", id: "pm_unknown" },
};

const Text = Type.String();
const Count = Type.Integer();

/** What refusals say in their `details`, beside the `reason` where they have one. */
const DETAILS: Partial<Record<ProblemName, DetailsOf>> = {
  bad_request: {
    properties: {
      field: Type.Optional(Type.String({ description: "What to correct." })),
      expectedAmountUsd: Type.Optional(
        Type.Number({ description: "What `amountUsd` must be: the contract's rate times `volume`." }),
      ),
      unknownScopes: Type.Optional(Type.Array(Text)),
      supportedScopes: Type.Optional(Type.Array(Text)),
    },
    optional: true,
    example: ({ fault: { field } }) => (field === undefined ? {} : { field }),
  },
  cursor_ahead: {
    properties: { field: Type.Literal("cursor"), latestCursor: Text },
    example: () => ({ field: "cursor", latestCursor: "5" }),
  },
  cursor_expired: {
    properties: { field: Type.Literal("cursor"), oldestCursor: Text },
    example: () => ({ field: "cursor", oldestCursor: "2" }),
  },
  scope_missing: {
    properties: {
      requiredScopes: Type.Array(Text),
      grantedScopes: Type.Array(Text),
      tokensUrl: Type.Optional(
        Type.String({ description: "Where a human mints a token that has the scopes." }),
      ),
      reason: Type.Optional(
        Type.Literal("account_claim_required", { description: "It is the claim that brings the scope." }),
      ),
      action: Type.Optional(Text),
      claimUrl: Type.Optional(Text),
    },
    example: () => ({
      requiredScopes: ["payments:write"],
      grantedScopes: ["payments:read"],
      tokensUrl: `${ORIGIN}/settings/keys`,
    }),
  },
  feature_disabled: {
    properties: { featureKey: Text },
    example: () => ({ featureKey: "public_api_payments_write" }),
  },
  account_claim_required: {
    properties: {
      action: Type.String({ description: "What cannot be done before the claim, for people." }),
      claimUrl: Type.String({ description: "Where a human claims the account." }),
    },
    example: () => ({ action: "fund milestones", claimUrl: `${ORIGIN}/claim` }),
  },
  not_found: {
    properties: {
      resource: Type.Optional(
        Type.String({ description: "Beside it stands the id that was asked for, by its name." }),
      ),
    },
    others: Text,
    example: ({ idName, by }) => {
      if (idName === undefined) return { resource: "webhook" };
      const unknown = UNKNOWN[idName];
      if (unknown === undefined) throw new TypeError(`no example of an unknown ${idName}`);
      // The compatible API names no resource here.
      const resource = idName === "tokenId" && by === "token" ? {} : { resource: unknown.resource };
      return { ...resource, [idName]: unknown.id };
    },
  },
  contract_ended: {
    properties: { contractId: Text },
    example: () => ({ contractId: CONTRACT_ID }),
  },
  milestone_not_fundable: {
    properties: { status: Milestone.properties.status },
    example: () => ({ status: "ACTIVE_FUNDED" }),
  },
  milestone_not_funded: {
    properties: { status: Milestone.properties.status },
    example: () => ({ status: "NOT_FUNDED" }),
  },
  payment_disputed: {
    properties: {
      status: Type.String({ description: "Where the dispute or refund stands, in the processor's words." }),
    },
    example: () => ({ status: "needs_response" }),
  },
  payout_account_required: { properties: { contractId: Text }, example: () => ({ contractId: CONTRACT_ID }) },
  payment_in_progress: {
    properties: {},
    others: Text,
    example: ({ idName }) =>
      idName === "approvalId" ? { approvalId: pending.id } : { contractId: CONTRACT_ID },
  },
  already_decided: {
    properties: { status: Type.Optional(Text) },
    example: () => ({ status: "confirmed" }),
  },
  payment_method_required: {
    properties: { billingUrl: Type.String({ description: "Where a human adds a card." }) },
    example: () => ({ billingUrl: `${ORIGIN}/billing` }),
  },
  idempotency_key_reused: {
    properties: { field: Type.Literal("Idempotency-Key") },
    example: () => ({ field: "Idempotency-Key" }),
  },
  milestone_limit_reached: {
    properties: { limit: Count, limitBytes: Count },
    example: () => ({ limit: 1000, limitBytes: 1_048_576 }),
  },
  list_too_large: {
    properties: { narrowBy: Type.Array(Text, { description: "What this list can be narrowed by." }) },
    example: () => ({ narrowBy: ["jobId", "status"] }),
  },
  no_receipt: { properties: { approvalId: Text }, example: () => ({ approvalId: pending.id }) },
  token_limit_reached: { properties: { limit: Count }, example: () => ({ limit: 25 }) },
  webhook_limit_reached: { properties: { limit: Count }, example: () => ({ limit: 10 }) },
  too_many_pending: {
    properties: { limit: Count, retryAfterSeconds: Count },
    example: () => ({ limit: 100, retryAfterSeconds: 60 }),
  },
  rate_limited: { properties: { retryAfterSeconds: Count }, example: () => ({ retryAfterSeconds: 12 }) },
  payments_paused: { properties: { retryAfterSeconds: Count }, example: () => ({ retryAfterSeconds: 60 }) },
  unavailable: { properties: { retryAfterSeconds: Count }, example: () => ({ retryAfterSeconds: 2 }) },
};

/** What a refusal's schema is called, in a generated client too: `payment_method_required` is `PaymentMethodRequired`. */
export function refusalSchemaName(name: string): string {
  return name.replaceAll(/(?:^|_)([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}

/**
 * The envelope of docs/contract.md §0 as one problem fills it in. `code` and `details.reason` are constants, so that a
 * compiler can narrow the type of `details` by them.
 */
export function refusalSchema(name: ProblemName): TSchema {
  const { code, message, hasReason } = problemRow(name);
  const { properties, others, optional } = DETAILS[name] ?? {};
  const details = Type.Object(
    { ...(hasReason ? { reason: Type.Literal(name) } : {}), ...properties },
    others === undefined ? {} : { additionalProperties: others },
  );
  const said = hasReason || properties !== undefined;
  return Type.Object(
    {
      error: Type.String({ description: "For people: what is wrong, and what to do." }),
      code: Type.Literal(code),
      requestId: Type.String(),
      ...(said ? { details: optional ? Type.Optional(details) : details } : {}),
    },
    { description: message },
  );
}

/** What a call answers when it is refused like that. */
export function refusalExample(name: ProblemName, call: Call): { value: object } {
  const { code, message, hasReason } = problemRow(name);
  const details = { ...(hasReason ? { reason: name } : {}), ...DETAILS[name]?.example(call) };
  const value = {
    error: name === "bad_request" ? call.fault.error : message,
    code,
    requestId: REQUEST_ID,
    ...(Object.keys(details).length === 0 ? {} : { details }),
  };
  return { value };
}

/** Requests that the server cannot read: these answers come before any route, and close the connection. */
export const UNREADABLE = {
  RequestTimeout: describeUnreadable("The request did not arrive whole in time."),
  HeadersTooLarge: describeUnreadable("The request's headers are too large."),
};

function describeUnreadable(error: string) {
  const value = { error, code: "BAD_REQUEST", requestId: REQUEST_ID };
  const schema = { $ref: `#/components/schemas/${refusalSchemaName("bad_request")}` };
  return {
    description: error,
    headers: headersOf({ status: 408, by: "public", keyed: false }),
    content: { "application/json": { schema, examples: { bad_request: { value } } } },
  };
}
