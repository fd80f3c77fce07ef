import { type Static, Type } from "@sinclair/typebox";
import { type AccountEventType, EVENT_SCOPES } from "../events/schemas.ts";
import { nullable, ref, Time } from "../lib/schema.ts";

export const WEBHOOKS_AT_MOST = 10;
const URL_LENGTH = 2048;
const TYPES = Object.keys(EVENT_SCOPES) as AccountEventType[];

export const Webhook = Type.Object(
  {
    id: Type.String(),
    url: Type.String(),
    eventTypes: Type.Array(Type.String({ enum: TYPES })),
    status: Type.String({ enum: ["ACTIVE", "DISABLED"] }),
    createdAt: Time,
    disabledAt: nullable(Time),
    disabledReason: nullable(Type.String({ description: "For people: why nothing is sent any more." })),
  },
  { $id: "Webhook" },
);
export type Webhook = Static<typeof Webhook>;

export const WebhookBody = Type.Object(
  {
    url: Type.String({
      minLength: 1,
      maxLength: URL_LENGTH,
      description: "Where to send the events: https, and a public address.",
      examples: ["https://example.com/webhooks"],
    }),
    eventTypes: Type.Array(Type.Unsafe<AccountEventType>({ type: "string", enum: TYPES }), {
      minItems: 1,
      maxItems: 100,
      description: "The token needs the read scope of each. A type that is named twice is taken once.",
    }),
  },
  { additionalProperties: false },
);
export type WebhookBody = Static<typeof WebhookBody>;

export const Secret = Type.String({
  description: "What deliveries are signed with. It is shown this once.",
  examples: ["whsec_…"],
});
export const WebhookCreated = Type.Object({ webhook: ref(Webhook), secret: Secret, message: Type.String() });
/** The `message` of a 201 to a new webhook. */
export const WEBHOOK_CREATED =
  "Keep the secret: it is not shown again, and every delivery is signed with it. Events from now on are sent to the URL.";
export const WebhookRotated = Type.Object({ webhook: ref(Webhook), secret: Secret });
export const WebhookDeleted = Type.Object({ webhook: ref(Webhook), deleted: Type.Literal(true) });
export const OneWebhook = Type.Object({ webhook: ref(Webhook) });
export const WebhookList = Type.Object({ webhooks: Type.Array(ref(Webhook)) });

export const OperatorWebhookBody = Type.Object(
  { url: Type.String({ minLength: 1, maxLength: URL_LENGTH, examples: ["https://example.com/webhooks"] }) },
  { additionalProperties: false },
);

export const OperatorWebhook = Type.Object(
  {
    url: Type.String(),
    createdAt: Time,
    cursor: Type.String({ description: "The last event of the operator's feed that has arrived." }),
    waiting: Type.Integer({ description: "How many events come after it." }),
    attempts: Type.Integer({ description: "How often the next one was tried." }),
    lastAttemptAt: nullable(Time),
    lastStatus: nullable(Type.Integer()),
    lastError: nullable(Type.String()),
    nextAttemptAt: nullable(Time),
  },
  { $id: "OperatorWebhook" },
);
export type OperatorWebhook = Static<typeof OperatorWebhook>;

export const Delivery = Type.Object(
  {
    id: Type.String({ description: "As in `X-OpenTrain-Delivery` and `webhook-id`, on every attempt." }),
    eventId: Type.String({ description: "The event's `id` in `GET /updates`." }),
    eventType: Type.String({ enum: TYPES }),
    status: Type.String({
      enum: ["PENDING", "DELIVERED", "FAILED", "CANCELLED"],
      description: "`CANCELLED`: the webhook was disabled before it arrived.",
    }),
    attempts: Type.Integer(),
    createdAt: Time,
    lastAttemptAt: nullable(Time),
    lastStatus: nullable(Type.Integer({ description: "What the receiver answered last." })),
    lastError: nullable(Type.String({ description: "For people: why the last attempt did not succeed." })),
    nextAttemptAt: nullable(Time),
    resolvedAt: nullable(Time),
  },
  { $id: "Delivery" },
);
export type Delivery = Static<typeof Delivery>;

export const DeliveriesQuery = Type.Object({
  cursor: Type.Optional(
    Type.String({
      pattern: "^[0-9]{1,15}$",
      description: "The last `nextCursor`; omit it to begin with the newest.",
    }),
  ),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 50 })),
});
export type DeliveriesQuery = Static<typeof DeliveriesQuery>;

export const Deliveries = Type.Object({
  deliveries: Type.Array(ref(Delivery)),
  nextCursor: nullable(Type.String({ description: "Pass it as `cursor` for older ones; null: none." })),
});
export type Deliveries = Static<typeof Deliveries>;
export const OneDelivery = Type.Object({ delivery: ref(Delivery) });
