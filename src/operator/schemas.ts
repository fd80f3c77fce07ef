import { type Static, type TSchema, Type } from "@sinclair/typebox";
import type { FastifySchema } from "fastify";
import { ROLES } from "../accounts/roles.ts";
import { Scopes } from "../accounts/schemas.ts";
import { CONTRACT_STATUSES, Milestone, PAYMENT_TYPES } from "../contracts/schemas.ts";
import type { Billing, MemberRole } from "../database/schema.ts";
import { OPERATOR_EVENT_TYPES } from "../events/schemas.ts";
import { EXTERNAL_ID_PATTERN } from "../lib/ids.ts";
import type { ProblemName } from "../lib/problems.ts";
import { nullable, ref, Time } from "../lib/schema.ts";

const Id = Type.String({ pattern: EXTERNAL_ID_PATTERN, description: "1–64 of A-Z a-z 0-9 . _ -" });
const Line = Type.String({
  minLength: 1,
  maxLength: 200,
  description: "For people: with a character that can be seen.",
});
const strict = { additionalProperties: false };
const AmountUsd = Type.Number({ description: "Dollars, 0.50 to 999,999.99, at most two decimals." });

export const AccountBody = Type.Object(
  {
    name: Type.Optional(Line),
    claimed: Type.Optional(Type.Boolean({ description: "Only from false to true." })),
    features: Type.Optional(
      Type.Record(Type.String({ pattern: "^[a-z0-9_]{1,64}$" }), Type.Boolean(), {
        ...strict,
        maxProperties: 100,
      }),
    ),
    billing: Type.Optional(
      Type.Unsafe<Billing>(
        Type.String({
          enum: ["card", "credits_first"],
          description:
            "What a funding is drawn from: the card on file, or the credits where they cover the whole amount.",
        }),
      ),
    ),
    coSign: Type.Optional(Type.Union([Type.Literal("session"), Type.Literal("passkey")])),
    secondSignerFromUsd: Type.Optional(
      nullable(
        Type.Number({
          description:
            "A second person must sign once what the account pays within 24 hours reaches this: dollars, 0.50 to " +
            "999,999.99. It can be set and lowered here, and not raised or removed.",
        }),
      ),
    ),
    frozen: Type.Optional(
      Type.Boolean({
        description:
          "Nothing new is asked for, confirmed or added. What waits for a bank is cancelled; what moves already is settled.",
      }),
    ),
  },
  strict,
);
export type AccountBody = Static<typeof AccountBody>;

export const Account = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    claimed: Type.Boolean(),
    features: Type.Record(Type.String(), Type.Boolean()),
    billing: Type.String(),
    coSign: Type.String(),
    secondSignerFromUsd: nullable(
      Type.Number({ description: "The sum within 24 hours from which two people must sign; null: never." }),
    ),
    frozen: Type.Boolean(),
    createdAt: Time,
    updatedAt: Time,
  },
  { $id: "Account" },
);
export type Account = Static<typeof Account>;

export const AdjustmentBody = Type.Object(
  {
    amountCents: Type.Integer({
      minimum: -99_999_999,
      maximum: 99_999_999,
      description: "Signed, not 0: what is added to the available balance.",
    }),
    note: Type.String({ minLength: 1, maxLength: 500, description: "Why, for people and agents to read." }),
  },
  strict,
);

export const PauseBody = Type.Object({ paymentsPaused: Type.Boolean() }, strict);

export const PauseState = Type.Object({
  paymentsPaused: Type.Boolean(),
  changedAt: nullable(Time),
});
export type PauseState = Static<typeof PauseState>;

export const TokenBody = Type.Object({ name: Line, scopes: Scopes, expiresAt: Type.Optional(Time) }, strict);
export type TokenBody = Static<typeof TokenBody>;

export const MemberBody = Type.Object(
  {
    email: Type.String({ format: "email", maxLength: 254 }),
    name: Line,
    role: Type.Unsafe<MemberRole>({ type: "string", enum: ROLES.read }),
  },
  strict,
);
export type MemberBody = Static<typeof MemberBody>;

export const MemberChange = Type.Object(
  {
    name: Type.Optional(Line),
    role: Type.Optional(MemberBody.properties.role),
  },
  strict,
);
export type MemberChange = Static<typeof MemberChange>;

export const Member = Type.Object(
  {
    id: Type.String(),
    email: Type.String(),
    name: Type.String(),
    role: Type.String({ enum: ROLES.read }),
    status: Type.String({ enum: ["invited", "active"] }),
    pendingUpgrade: nullable(
      Type.Object(
        {
          role: Type.String({ enum: ROLES.decide }),
          askedAt: Time,
          effectiveAt: nullable(Time),
        },
        { description: "A role that was asked for. It takes effect then, or else once an owner consents." },
      ),
    ),
    createdAt: Time,
  },
  { $id: "Member" },
);
export type Member = Static<typeof Member>;

export const PaymentMethodBody = Type.Object(
  { paymentMethod: Type.String({ pattern: "^pm_[A-Za-z0-9_]{1,250}$", examples: ["pm_card_visa"] }) },
  strict,
);

const PayoutAccount = Type.String({
  pattern: "^acct_[A-Za-z0-9_]{1,250}$",
  description: "The processor's id of the payee's account.",
  examples: ["acct_1A2b3C"],
});
const Freelancer = Type.Object(
  {
    userId: Type.String({ minLength: 1, maxLength: 128 }),
    displayName: Line,
    country: Type.Optional(nullable(Type.String({ minLength: 1, maxLength: 100 }))),
    profilePath: Type.Optional(nullable(Type.String({ minLength: 1, maxLength: 500 }))),
    payoutAccount: Type.Optional(nullable(PayoutAccount)),
  },
  {
    ...strict,
    description: "Set whole: what is left out is none. A payee named without a payout account has none.",
  },
);

export const ContractBody = Type.Object(
  {
    title: Type.Optional(Line),
    jobId: Type.Optional(Id),
    proposalId: Type.Optional(nullable(Id)),
    paymentType: Type.Optional(Type.String({ enum: [...PAYMENT_TYPES] })),
    rateUsd: Type.Optional(nullable(Type.Number())),
    status: Type.Optional(Type.String({ enum: [...CONTRACT_STATUSES] })),
    freelancer: Type.Optional(Freelancer),
  },
  strict,
);
export type ContractBody = Static<typeof ContractBody>;

export const MilestoneBody = Type.Object(
  {
    contractId: Type.Optional(Id),
    name: Type.Optional(nullable(Line)),
    description: Type.Optional(Type.String({ minLength: 1, maxLength: 5000 })),
    amountUsd: Type.Optional(AmountUsd),
    volume: Type.Optional(nullable(Type.Number({ exclusiveMinimum: 0, maximum: 1_000_000_000 }))),
    dueDate: Type.Optional(
      Type.Unsafe<string | null>(
        Type.Union([Type.String({ format: "date" }), Type.String({ format: "date-time" }), Type.Null()]),
      ),
    ),
  },
  strict,
);
export type MilestoneBody = Static<typeof MilestoneBody>;

export const OperatorMilestone = Type.Composite([Milestone, Type.Object({ contractId: Type.String() })], {
  $id: "OperatorMilestone",
});

export const EventBody = Type.Object(
  {
    type: Type.String({ enum: [...OPERATOR_EVENT_TYPES] }),
    resourceId: Type.String({ minLength: 1, maxLength: 128 }),
    jobId: Type.Optional(nullable(Id)),
    data: Type.Optional(
      Type.Unsafe<Record<string, unknown>>({
        type: "object",
        additionalProperties: true,
        description: "Passed on as it is; numbers stay as they are written.",
      }),
    ),
  },
  strict,
);
export type EventBody = Static<typeof EventBody>;

export const AccountParams = Type.Object({ accountId: Type.String() });

export const Deleted = Type.Object({ deleted: Type.Literal(true) });

/** An answer that holds one thing, or many, by name. */
export const one = <K extends string, T extends TSchema>(key: K, schema: T) =>
  Type.Object({ [key]: ref(schema) } as Record<K, ReturnType<typeof ref<T>>>);
export const many = <K extends string, T extends TSchema>(key: K, schema: T) =>
  Type.Object({ [key]: Type.Array(ref(schema)) } as Record<
    K,
    ReturnType<typeof Type.Array<ReturnType<typeof ref<T>>>>
  >);

/** What every route of the operator says of itself; one with ids in its address can be `not_found`. */
export function describe<Schema extends FastifySchema>(
  operationId: string,
  summary: string,
  schema: Schema,
  problems: readonly ProblemName[] = [],
) {
  const unknownId = schema.params === undefined ? [] : ["not_found" as const];
  return {
    config: { access: { by: "operator" as const }, problems: [...unknownId, ...problems] },
    schema: { operationId, summary, tags: ["Operator"], ...schema },
  };
}
