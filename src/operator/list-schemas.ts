import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Approval } from "../approvals/schemas.ts";
import { nullable, ref, Time } from "../lib/schema.ts";
import { Webhook } from "../webhooks/schemas.ts";

export const APPROVAL_STATUSES = ["pending", "confirmed", "declined", "expired"] as const;
export const PAYMENT_STATUSES = [
  "created",
  "submitted",
  "action_required",
  "unknown",
  "succeeded",
  "refused",
] as const;

export const ListedApproval = Type.Composite(
  [
    Approval,
    Type.Object({
      accountId: Type.String(),
      amountCents: Type.Integer({ description: "Of a contract's end: what its refunds sum up to." }),
      currency: Type.String(),
      askedBy: Type.String({ description: "The token's name, as it was then." }),
      executingSince: nullable(
        Type.String({ format: "date-time", description: "Since when its payment is under way." }),
      ),
    }),
  ],
  { $id: "ListedApproval" },
);
export type ListedApproval = Static<typeof ListedApproval>;

export const ListedPayment = Type.Object(
  {
    id: Type.String(),
    accountId: Type.String(),
    kind: Type.String({ enum: ["charge", "payout", "refund"] }),
    status: Type.String({ enum: [...PAYMENT_STATUSES] }),
    inDoubtSince: nullable(
      Type.String({
        format: "date-time",
        description: "Since when its outcome is in doubt; null: it is not.",
      }),
    ),
    approvalId: Type.String(),
    milestoneId: Type.String(),
    amountCents: Type.Integer(),
    currency: Type.String(),
    attempt: Type.Integer({ description: "The number of its key at the processor." }),
    processorId: nullable(Type.String({ description: "The processor's id of it, once it is known." })),
    refusalCode: nullable(Type.String()),
    createdAt: Time,
    resolvedAt: nullable(Time),
  },
  { $id: "ListedPayment" },
);
export type ListedPayment = Static<typeof ListedPayment>;

export const ListedWebhook = Type.Composite(
  [
    Webhook,
    Type.Object({
      failures: Type.Integer({ description: "Deliveries that failed since the last success." }),
      nextAttemptAt: nullable(Time),
      slowSince: nullable(Time),
    }),
  ],
  { $id: "ListedWebhook" },
);
export type ListedWebhook = Static<typeof ListedWebhook>;

const page = {
  cursor: Type.Optional(
    Type.String({ maxLength: 100, description: "The last `nextCursor`; omit it for the newest." }),
  ),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 50 })),
};

export const PageQuery = Type.Object(page);
const AccountId = Type.Optional(Type.String({ description: "Only this account's." }));
export const ApprovalsQuery = Type.Object({
  ...page,
  accountId: AccountId,
  status: Type.Optional(Type.Union(APPROVAL_STATUSES.map((status) => Type.Literal(status)))),
  since: Type.Optional(Type.String({ format: "date-time", description: "Only those asked for since then." })),
});
export type ApprovalsQuery = Static<typeof ApprovalsQuery>;
export const PaymentsQuery = Type.Object({
  ...page,
  accountId: AccountId,
  status: Type.Optional(
    Type.Union(
      [...PAYMENT_STATUSES, "in_doubt" as const].map((status) => Type.Literal(status)),
      { description: "`in_doubt`: those whose outcome is in doubt, whatever their status." },
    ),
  ),
});
export type PaymentsQuery = Static<typeof PaymentsQuery>;

/** A page of one kind of thing. */
export const pageOf = <K extends string, T extends TSchema>(key: K, schema: T) =>
  Type.Object({ [key]: Type.Array(ref(schema)), nextCursor: nullable(Type.String()) } as Record<
    K,
    ReturnType<typeof Type.Array<ReturnType<typeof ref<T>>>>
  > & { nextCursor: ReturnType<typeof nullable<ReturnType<typeof Type.String>>> });
