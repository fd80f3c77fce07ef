import { type Static, Type } from "@sinclair/typebox";
import { nullable, ref, Time } from "../lib/schema.ts";

/** A credit entry on the wire (docs/contract.md §5). */
export const CreditEntry = Type.Object(
  {
    id: Type.String(),
    type: Type.String({ enum: ["TOP_UP", "HOLD", "HOLD_RELEASE", "CAPTURE", "REFUND", "ADJUSTMENT"] }),
    amountCents: Type.Integer({ description: "Signed, on the available balance; 0 for `CAPTURE`." }),
    createdAt: Time,
    holdEntryId: nullable(
      Type.String({ description: "Of `CAPTURE` and `HOLD_RELEASE`: the hold that ended." }),
    ),
    jobofferId: nullable(Type.String()),
    contractId: nullable(Type.String()),
    milestoneId: nullable(Type.String()),
    topUpId: nullable(Type.String()),
    note: nullable(Type.String()),
  },
  { $id: "CreditEntry" },
);
export type CreditEntry = Static<typeof CreditEntry>;

export const Credits = Type.Object(
  {
    availableCents: Type.Integer({ description: "Below zero only after a correction or a chargeback." }),
    reservedCents: Type.Integer({ description: "Held for funded milestones." }),
    currency: Type.Literal("usd"),
    recentEntries: Type.Array(ref(CreditEntry), { maxItems: 10, description: "The newest first." }),
  },
  { $id: "Credits" },
);
export type Credits = Static<typeof Credits>;

export const CreditLedger = Type.Object(
  {
    entries: Type.Array(ref(CreditEntry), { description: "The newest first." }),
    nextCursor: nullable(
      Type.String({ description: "Pass it as `cursor`; null: there are no older entries." }),
    ),
  },
  { $id: "CreditLedger" },
);
export type CreditLedger = Static<typeof CreditLedger>;

export const CreditLedgerQuery = Type.Object({
  cursor: Type.Optional(
    Type.String({ maxLength: 64, description: "The last `nextCursor`; omit it for the newest entries." }),
  ),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 50 })),
});
export type CreditLedgerQuery = Static<typeof CreditLedgerQuery>;

export const TopUp = Type.Object(
  {
    id: Type.String(),
    status: Type.String({ enum: ["PENDING", "COMPLETED", "EXPIRED"] }),
    amountCents: Type.Integer(),
    createdAt: Time,
    completedAt: nullable(Time),
    expiresAt: Time,
  },
  { $id: "TopUp" },
);
export type TopUp = Static<typeof TopUp>;

/** The body of a new top-up (docs/contract.md §5). */
export const NewTopUp = Type.Object(
  {
    amountUsd: Type.Optional(
      Type.Number({
        minimum: 10,
        maximum: 10_000,
        description: "Dollars, with at most two decimals.",
        examples: [250],
      }),
    ),
    amount: Type.Optional(Type.Number({ description: "Another name for `amountUsd`." })),
  },
  { additionalProperties: false },
);
export type NewTopUp = Static<typeof NewTopUp>;

export const TopUpAsked = Type.Object(
  {
    topUpId: Type.String(),
    checkoutUrl: Type.String({ description: "The page on which a signed-in owner or approver pays for it." }),
    expiresAt: Time,
    topUp: ref(TopUp),
    message: Type.String({ description: "What to do next, for an agent to read." }),
  },
  { $id: "TopUpAsked" },
);
export type TopUpAsked = Static<typeof TopUpAsked>;

export const OneTopUp = Type.Object({ topUp: ref(TopUp) });
