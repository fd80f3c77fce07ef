import { type Static, Type } from "@sinclair/typebox";
import { nullable, ref, Time } from "../lib/schema.ts";

export const PAYMENT_TYPES = ["FIXED_PRICE", "PAY_PER_HOUR", "PAY_PER_LABEL"] as const;
export const CONTRACT_STATUSES = ["active", "ended"] as const;

export const Milestone = Type.Object(
  {
    id: Type.String(),
    name: nullable(Type.String()),
    description: Type.String(),
    status: Type.String({ enum: ["NOT_FUNDED", "ACTIVE_FUNDED", "PAID", "REFUNDED", "CANCELLED"] }),
    amountUsd: Type.Number(),
    volume: nullable(Type.Number()),
    milestoneNumber: Type.Integer(),
    dueDate: nullable(Time),
    pendingApproval: Type.Boolean({ description: "Whether a human's co-signature is pending on it." }),
    needsReview: Type.Boolean(),
    invoiceId: nullable(Type.String()),
    createdAt: Time,
  },
  { $id: "Milestone" },
);
export type Milestone = Static<typeof Milestone>;

const contractFields = {
  id: Type.String(),
  status: Type.String({ enum: [...CONTRACT_STATUSES] }),
  title: Type.String(),
  jobId: Type.String(),
  proposalId: nullable(Type.String()),
  paymentType: Type.String({ enum: [...PAYMENT_TYPES] }),
  rateUsd: nullable(Type.Number()),
  estimatedTotalUsd: nullable(Type.Number()),
  estimatedVolume: nullable(Type.Number()),
  hasActiveMilestone: Type.Boolean(),
  startDate: nullable(Time),
  endDate: nullable(Time),
  createdAt: Time,
  updatedAt: Time,
  freelancer: Type.Object({
    userId: Type.String(),
    displayName: Type.String(),
    country: nullable(Type.String()),
    profilePath: nullable(Type.String()),
  }),
  milestones: Type.Array(ref(Milestone), {
    description: "By number. Cancelled and refunded milestones are left out.",
  }),
};

export const Contract = Type.Object(contractFields, { $id: "Contract" });
export type Contract = Static<typeof Contract>;

export const Budget = Type.Object(
  {
    contractId: Type.String(),
    paymentType: Type.String({ enum: [...PAYMENT_TYPES] }),
    state: Type.String({ enum: ["OK", "LOW", "DEPLETED"] }),
    fundedVolume: Type.Number(),
    fundedAmountUsd: Type.Number(),
    consumed: Type.Object({
      seconds: Type.Number(),
      hours: Type.Number(),
      labels: Type.Number(),
      tasks: Type.Number(),
    }),
    consumedVolume: Type.Number(),
    remainingVolume: Type.Number(),
    consumedFraction: Type.Number(),
    activeMilestone: Type.Union([
      Type.Object({
        id: Type.String(),
        name: nullable(Type.String()),
        amountUsd: Type.Number(),
        volume: nullable(Type.Number()),
        status: Type.String(),
      }),
      Type.Null(),
    ]),
    lastUsageAt: nullable(Time),
  },
  {
    $id: "Budget",
    description: "What is funded. The operator meters its use and reports changes in the feed.",
  },
);
export type Budget = Static<typeof Budget>;

const conversation = {
  jobDmConversationId: Type.Null({ description: "This service has no conversations." }),
};

export const ContractWithBudget = Type.Object(
  { ...contractFields, ...conversation, budget: ref(Budget) },
  { $id: "ContractWithBudget" },
);
export type ContractWithBudget = Static<typeof ContractWithBudget>;

const payee = contractFields.freelancer;
const operatorFields = {
  freelancer: Type.Composite([payee, Type.Object({ payoutAccount: nullable(Type.String()) })]),
};

/** A contract as the operator reads it, with the payee's payout account. */
export const OperatorContract = Type.Object(
  { ...contractFields, ...operatorFields },
  { $id: "OperatorContract" },
);
export type OperatorContract = Static<typeof OperatorContract>;

export const OperatorContractWithBudget = Type.Object(
  { ...contractFields, ...operatorFields, ...conversation, budget: ref(Budget) },
  { $id: "OperatorContractWithBudget" },
);
export type OperatorContractWithBudget = Static<typeof OperatorContractWithBudget>;

export const ContractsQuery = Type.Object({
  jobId: Type.Optional(Type.String({ description: "Only contracts of this job." })),
  status: Type.Optional(Type.String({ enum: [...CONTRACT_STATUSES] })),
});
export type ContractsQuery = Static<typeof ContractsQuery>;

/** What an agent sends to create a milestone. */
export const NewMilestone = Type.Object(
  {
    description: Type.String({
      minLength: 1,
      maxLength: 5000,
      description:
        "What is to be delivered. Lines of plain text without control characters, as a human signs them.",
    }),
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
    amountUsd: Type.Optional(
      Type.Number({
        description:
          "Dollars, 0.50 to 999,999.99, at most two decimals. Required in a fixed-price contract. Otherwise leave it out, " +
          "or send the contract's rate times `volume`, to the nearest cent.",
      }),
    ),
    volume: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: 1_000_000_000,
        description: "Hours or labels. Required in a contract paid by the hour or the label.",
      }),
    ),
    dueDate: Type.Optional(
      Type.Union([Type.String({ format: "date" }), Type.String({ format: "date-time" })], {
        description: "A date, or a time in UTC.",
        examples: ["2026-12-15"],
      }),
    ),
  },
  { additionalProperties: false },
);
export type NewMilestone = Static<typeof NewMilestone>;
