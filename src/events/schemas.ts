import { type Static, Type } from "@sinclair/typebox";
import { nullable, ref, Time } from "../lib/schema.ts";
import type { Scope } from "../lib/scopes.ts";

/** The scope that reading a type of event needs (docs/contract.md §2). */
export const EVENT_SCOPES = {
  "approval.confirmed": "payments:read",
  "milestone.status_changed": "payments:read",
  "payment.pending": "payments:read",
  "contract.created": "payments:read",
  "contract.budget_state_changed": "payments:read",
  "proposal.received": "proposals:read",
  "proposal.status_changed": "proposals:read",
  "message.received": "messages:read",
} as const satisfies Record<string, Scope>;

/** The types that the operator's feed alone shows (docs/contract.md §6): no scope reads them. */
export const UNSCOPED_TYPES = [
  "account.claimed",
  "account.registered",
  "approval.requested",
  "member.joined",
  "payment.in_doubt",
  "payment.refused",
  "payment.reversed",
] as const;

/** The types that tokens, members and webhooks of an account may read. */
export type AccountEventType = keyof typeof EVENT_SCOPES;
export type EventType = AccountEventType | (typeof UNSCOPED_TYPES)[number];

/** The types that the operator posts (docs/contract.md §8). */
export const OPERATOR_EVENT_TYPES = [
  "proposal.received",
  "proposal.status_changed",
  "message.received",
  "contract.budget_state_changed",
] as const satisfies EventType[];

export const Event = Type.Object(
  {
    id: Type.String({
      description:
        "Digits; goes up with each event of the account: by one, or by far more after a fail-over.",
    }),
    type: Type.String({ enum: Object.keys(EVENT_SCOPES) }),
    apiVersion: Type.Literal("v1"),
    createdAt: Time,
    resourceId: Type.String(),
    jobId: nullable(Type.String()),
    data: Type.Unsafe<Record<string, unknown>>({ type: "object", additionalProperties: true }),
  },
  { $id: "Event" },
);
export type Event = Static<typeof Event>;

/** The name of the operator's feed on the change bus; accounts use their `account_id`. */
export const OPERATOR_FEED = "operator";
/** The name on the change bus that wakes the sender of deliveries. */
export const DELIVERIES = "deliveries";

/** An event in the operator's feed: numbered in it, and with the operator's id for its account. */
export const OperatorEvent = Type.Object(
  {
    ...Event.properties,
    type: Type.String({ enum: [...Object.keys(EVENT_SCOPES), ...UNSCOPED_TYPES] }),
    accountId: Type.String(),
  },
  { $id: "OperatorEvent" },
);
export type OperatorEvent = Static<typeof OperatorEvent>;

/** How a feed is read page by page. */
export const PageQuery = Type.Object({
  cursor: Type.Optional(
    Type.String({
      pattern: "^[0-9]+$",
      description: "The last `nextCursor`; omit it to begin with the oldest event.",
    }),
  ),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 50 })),
});
export type PageQuery = Static<typeof PageQuery>;

export const UpdatesQuery = Type.Object({
  ...PageQuery.properties,
  wait: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 30,
      default: 0,
      description: "Seconds to hold the request while there is no event to give.",
    }),
  ),
});

export const Updates = Type.Object(
  {
    events: Type.Array(ref(Event)),
    nextCursor: Type.String({
      description:
        "Pass it as `cursor` next time, after an empty page too: it goes past what the token may not read.",
    }),
    hasMore: Type.Boolean(),
  },
  { $id: "Updates" },
);
export type Updates = Static<typeof Updates>;

export const OperatorUpdates = Type.Object(
  { ...Updates.properties, events: Type.Array(ref(OperatorEvent)) },
  { $id: "OperatorUpdates" },
);
export type OperatorUpdates = Static<typeof OperatorUpdates>;
