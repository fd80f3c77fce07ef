import { type Static, Type } from "@sinclair/typebox";
import { nullable, ref, Time } from "../lib/schema.ts";
import { SCOPES } from "../lib/scopes.ts";

export const Scopes = Type.Array(Type.String({ enum: [...SCOPES] }), { uniqueItems: true });

export const Me = Type.Object(
  {
    actor: Type.Object(
      {
        userId: nullable(Type.String()),
        email: nullable(Type.String()),
        firstName: nullable(Type.String()),
        lastName: nullable(Type.String()),
        fullName: nullable(Type.String()),
        userType: Type.Literal("EMPLOYER"),
      },
      {
        description:
          "The human behind the account: its first owner. Null fields: the account has no owner yet.",
      },
    ),
    token: Type.Object({
      id: Type.String(),
      label: Type.String(),
      scopes: Type.Array(Type.String()),
      ownerOrganizationId: Type.String(),
    }),
    account: Type.Object({
      kind: Type.Literal("employer_organization"),
      organizationId: Type.String(),
      ownerUserId: nullable(Type.String()),
      memberRole: nullable(Type.String()),
      claimed: Type.Boolean(),
    }),
  },
  { $id: "Me" },
);
export type Me = Static<typeof Me>;

export const Capabilities = Type.Object(
  {
    capabilities: Type.Object({
      paymentsWrite: Type.Boolean(),
      credits: Type.Boolean(),
      webhooks: Type.Boolean(),
    }),
    features: Type.Record(Type.String(), Type.Boolean(), {
      description: "Every feature stored for the account.",
    }),
    scopes: Type.Array(Type.String()),
    claimed: Type.Boolean(),
  },
  { $id: "Capabilities" },
);
export type Capabilities = Static<typeof Capabilities>;

/** Families of the compatible API that this service has no calls for (docs/compatibility.md). */
export const ABSENT_CAPABILITIES = [
  "draftImport",
  "draftCreate",
  "draftUpdate",
  "draftUrlRead",
  "publish",
  "hiring",
  "messagingWrites",
  "team",
] as const;
type AbsentCapability = (typeof ABSENT_CAPABILITIES)[number];

const absent = Object.fromEntries(ABSENT_CAPABILITIES.map((name) => [name, Type.Boolean()])) as Record<
  AbsentCapability,
  ReturnType<typeof Type.Boolean>
>;

export const JobDraftCapabilities = Type.Object(
  {
    featureKey: Type.Literal("public_api_job_drafting"),
    namespace: Type.Literal("job-drafts"),
    rolloutMode: Type.String({
      enum: ["ALL", "ALLOWLIST"],
      description: "`ALLOWLIST`: the operator enables features account by account.",
    }),
    actorIsAdmin: Type.Boolean({ description: "Always false: no token acts for the operator." }),
    capabilities: Type.Object({ ...absent, ...Capabilities.properties.capabilities.properties }),
    draft: Type.Null({ description: "This service drafts no jobs." }),
    authBootstrap: Type.Literal("token"),
    enabled: Type.Literal(true),
  },
  { $id: "JobDraftCapabilities" },
);
export type JobDraftCapabilities = Static<typeof JobDraftCapabilities>;

export const TokenMetadata = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    preview: Type.String({ examples: ["ot_pat_c3f9********bd21"] }),
    scopes: Type.Array(Type.String()),
    status: Type.String({ enum: ["active", "expired", "revoked"] }),
    organizationId: Type.String(),
    createdAt: Time,
    lastUsedAt: nullable(Time),
    expiresAt: nullable(Time),
    revokedAt: nullable(Time),
  },
  { $id: "TokenMetadata" },
);
export type TokenMetadata = Static<typeof TokenMetadata>;

export const NewTokenAnswer = Type.Object({
  token: Type.String({ description: "The secret. It is shown this once." }),
  tokenType: Type.Literal("bearer"),
  metadata: Type.Unsafe<TokenMetadata>({ $ref: "TokenMetadata#" }),
});

/** What an agent requests of a new token. */
export const NewTokenBody = Type.Object(
  {
    name: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 120,
        description: "For people, who must be able to see it. `API token` if absent.",
      }),
    ),
    scopes: Type.Optional(
      Type.Array(Type.String({ enum: [...SCOPES] }), {
        uniqueItems: true,
        description: "Each must be covered by the calling token's. All of those if absent.",
      }),
    ),
    expiresAt: Type.Optional(
      Type.String({
        format: "date-time",
        description: "Not later than the calling token's. The same if absent.",
        examples: ["2026-12-31T00:00:00.000Z"],
      }),
    ),
  },
  { additionalProperties: false },
);

export const OneToken = Type.Object({ token: ref(TokenMetadata) });
export const TokenList = Type.Object({ tokens: Type.Array(ref(TokenMetadata)) });
