import { type TProperties, type TSchema, Type } from "@sinclair/typebox";
import { Approval } from "../approvals/schemas.ts";
import {
  type AccountEventType,
  EVENT_SCOPES,
  Event,
  type EventType,
  OperatorEvent,
  UNSCOPED_TYPES,
} from "../events/schemas.ts";
import { nullable } from "../lib/schema.ts";

const Id = Type.String();
const Status = (...values: string[]) => Type.String({ enum: values });
const Cents = Type.Integer({ description: "In cents of `currency`." });
/** What the operator writes, passed on as it is. */
const Anything = Type.Unsafe<Record<string, unknown>>({ type: "object", additionalProperties: true });
const member = { memberId: Id, email: Type.String(), name: Type.String() };
const payment = { paymentId: Id, milestoneId: nullable(Id), amountCents: Cents, currency: Type.String() };

/** What the `data` of each type of event holds (docs/contract.md §2, §8). */
const DATA: Record<EventType, TSchema> = {
  "approval.confirmed": Type.Object({
    approvalId: Id,
    status: Type.String({
      enum: ["confirmed", "declined", "expired"],
      description: "The type is sent for each end of an approval: only `confirmed` means that money moved.",
    }),
  }),
  "milestone.status_changed": Type.Object({
    milestoneId: Id,
    contractId: Id,
    status: Status("NOT_FUNDED", "ACTIVE_FUNDED", "PAID", "REFUNDED", "CANCELLED"),
  }),
  "payment.pending": Type.Object({ invoiceId: Id, milestoneId: Id, contractId: Id }),
  "contract.created": Type.Object({ contractId: Id, jobId: Id, proposalId: nullable(Id) }),
  "contract.budget_state_changed": Anything,
  "proposal.received": Anything,
  "proposal.status_changed": Anything,
  "message.received": Anything,
  "account.claimed": Type.Object(member),
  "account.registered": Type.Object({
    agentName: nullable(Type.String()),
    organizationName: nullable(Type.String()),
  }),
  "approval.requested": Type.Object({
    approvalId: Id,
    approvalType: Approval.properties.type,
    contractId: Id,
    milestoneId: nullable(Id),
    amountCents: Cents,
    currency: Type.String(),
    payee: nullable(Anything),
    approvalUrl: Type.String(),
  }),
  "member.joined": Type.Object({ ...member, role: Status("owner", "approver", "viewer") }),
  "payment.in_doubt": Type.Object({ ...payment, approvalId: nullable(Id) }),
  "payment.refused": Type.Object({
    ...payment,
    approvalId: nullable(Id),
    kind: Type.String(),
    code: nullable(Type.String()),
  }),
  "payment.reversed": Type.Object({ ...payment, kind: Type.String() }),
};

const ACCOUNT_TYPES = Object.keys(EVENT_SCOPES) as AccountEventType[];
const ALL_TYPES: readonly EventType[] = [...ACCOUNT_TYPES, ...UNSCOPED_TYPES];

/** The schema `Event`, as one schema for each type, told apart by `type`. */
export const accountEventSchemas = () => eventSchemas("Event", Event.properties, ACCOUNT_TYPES);
/** The same of `OperatorEvent`. */
export const operatorEventSchemas = () => eventSchemas("OperatorEvent", OperatorEvent.properties, ALL_TYPES);

function eventSchemas(
  base: string,
  properties: TProperties,
  types: readonly EventType[],
): Record<string, object> {
  const mapping = Object.fromEntries(
    types.map((type) => [type, `#/components/schemas/${nameOf(type)}${base}`]),
  );
  const each = types.map((type) => [
    `${nameOf(type)}${base}`,
    Type.Object({ ...properties, type: Type.String({ enum: [type] }), data: DATA[type] }),
  ]);
  return {
    ...Object.fromEntries(each),
    [base]: {
      oneOf: Object.values(mapping).map(($ref) => ({ $ref })),
      discriminator: { propertyName: "type", mapping },
    },
  };
}

/** `milestone.status_changed` is `MilestoneStatusChanged`. */
function nameOf(type: string): string {
  return type.replaceAll(/(?:^|[._])([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}

const SIGNED_HEADERS: Record<string, string> = {
  "X-OpenTrain-Event": "The event's type.",
  "X-OpenTrain-Delivery": "The delivery's id, the same on every attempt.",
  "X-OpenTrain-Signature":
    "`t=<unix seconds>,v1=<hex HMAC-SHA256>` of `<t>.<raw body>`, keyed by the whole secret. For a day after a rotation " +
    "there are two `v1`.",
  "webhook-id": "The delivery's id (Standard Webhooks).",
  "webhook-timestamp": "Unix seconds (Standard Webhooks).",
  "webhook-signature": "`v1,<base64>`, keyed by the decoded secret (Standard Webhooks).",
};

/** The headers of a delivery, as components. */
export const DELIVERY_HEADERS = Object.fromEntries(
  Object.entries(SIGNED_HEADERS).map(([name, description]) => [
    name,
    { name, in: "header", required: true, description, schema: { type: "string" } },
  ]),
);

/** What the service sends to webhooks, as OpenAPI's `webhooks`: one for each type of event. */
export function accountWebhooks(): Record<string, object> {
  return Object.fromEntries(
    ACCOUNT_TYPES.map((type) => [type, describeDelivery(type, `${nameOf(type)}Event`)]),
  );
}

/** What the service sends to the operator's webhook. */
export function operatorWebhook(): Record<string, object> {
  return { event: describeDelivery("event", "OperatorEvent") };
}

function describeDelivery(name: string, schema: string) {
  return {
    post: {
      operationId: `receive${nameOf(name)}`,
      summary: `Delivery of ${name}`,
      description:
        "A POST to your URL. Check a signature over the raw bytes before you read the body, and answer within 10 seconds. " +
        "Deliveries come at least once and in any order: deduplicate by `webhook-id`.",
      tags: ["Webhooks"],
      security: [],
      parameters: Object.keys(DELIVERY_HEADERS).map((name) => ({
        $ref: `#/components/parameters/${name}`,
      })),
      requestBody: {
        required: true,
        content: { "application/json": { schema: { $ref: `#/components/schemas/${schema}` } } },
      },
      responses: {
        "2XX": { description: "Delivered. The body is not read." },
        "410": { description: "Disables the webhook at once." },
        default: { description: "Not delivered: it is sent again, up to nine times in about three days." },
      },
    },
  };
}
