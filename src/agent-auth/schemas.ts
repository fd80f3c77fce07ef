import { type Static, Type } from "@sinclair/typebox";
import { Time } from "../lib/schema.ts";
import { SCOPES, type Scope } from "../lib/scopes.ts";

/** How an agent asks for the token that a claim brings (docs/contract.md §6). */
export const GRANT_TYPE = "urn:opentrain:agent-auth:grant-type:claim";
export const IDENTITY_TYPES = ["anonymous"] as const;
/** Seconds between two polls, until they come too fast. */
export const POLL_INTERVAL = 5;

const BEFORE: readonly Scope[] = [
  "jobs:read",
  "jobs:write",
  "proposals:read",
  "messages:read",
  "payments:read",
  "team:read",
];
const ADDED: readonly Scope[] = ["proposals:write", "messages:write", "team:write"];

/** What the human ticks: not ticked means no. */
export type Permissions = { paymentsWrite: boolean; webhooksManage: boolean };

/** What an agent may do before a human has claimed its account. */
export const PRE_CLAIM_SCOPES = inOrder(BEFORE);

/** What it may do from then on. */
export function claimedScopes({ paymentsWrite, webhooksManage }: Permissions): Scope[] {
  return inOrder([
    ...BEFORE,
    ...ADDED,
    ...(paymentsWrite ? (["payments:write"] as const) : []),
    ...(webhooksManage ? (["webhooks:manage"] as const) : []),
  ]);
}

function inOrder(scopes: readonly Scope[]): Scope[] {
  return SCOPES.filter((scope) => scopes.includes(scope));
}

const NAME_AT_MOST = 100;

/** Unknown keys are ignored, as OAuth requires (RFC 6749 §3.2). */
export const IdentityBody = Type.Object({
  identity_type: Type.Optional(Type.String()),
  agent_name: Type.Optional(Type.String({ maxLength: NAME_AT_MOST })),
  organization_name: Type.Optional(Type.String({ maxLength: NAME_AT_MOST })),
});

export const Identity = Type.Object({
  identity_type: Type.String(),
  registration_id: Type.String(),
  access_token: Type.String(),
  token_type: Type.Literal("bearer"),
  scopes: Type.Array(Type.String()),
  claim_token: Type.String(),
  claim_token_expires_at: Time,
  claim_endpoint: Type.String(),
  token_endpoint: Type.String(),
  grant_type: Type.Literal(GRANT_TYPE),
});
export type Identity = Static<typeof Identity>;

export const ClaimBody = Type.Object({
  claim_token: Type.String({ maxLength: 200 }),
  email: Type.String({ format: "email", maxLength: 254 }),
});

export const StartedClaim = Type.Object({
  user_code: Type.String(),
  verification_uri: Type.String(),
  expires_in: Type.Integer(),
  interval: Type.Integer(),
  email_sent: Type.Boolean(),
});
export type StartedClaim = Static<typeof StartedClaim>;

export const TokenForm = Type.Object({
  grant_type: Type.String(),
  claim_token: Type.Optional(Type.String({ maxLength: 200 })),
});

export const ClaimedToken = Type.Object({
  access_token: Type.String(),
  token_type: Type.Literal("bearer"),
  scopes: Type.Array(Type.String()),
});
export type ClaimedToken = Static<typeof ClaimedToken>;

export const Revoked = Type.Object({});
export const RevokeForm = Type.Object({ token: Type.String() });
