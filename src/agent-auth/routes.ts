import formBody from "@fastify/formbody";
import type { FastifyRequest } from "fastify";
import type { App } from "../http/app.ts";
import { acceptEmptyJson } from "../http/body.ts";
import { originOf } from "../http/origin.ts";
import { isVisible } from "../lib/names.ts";
import { refuseInOAuthShape } from "./oauth-errors.ts";
import { pollToken } from "./poll-service.ts";
import { Refusal } from "./refusals.ts";
import {
  ClaimBody,
  ClaimedToken,
  GRANT_TYPE,
  IDENTITY_TYPES,
  Identity,
  IdentityBody,
  Revoked,
  RevokeForm,
  StartedClaim,
  TokenForm,
} from "./schemas.ts";
import { type AgentAuthDeps, registerAgent, revokeAccessToken, startClaim } from "./service.ts";

const PUBLIC = { access: { by: "public" as const } };
const FORM = "application/x-www-form-urlencoded";
const USER_AGENT_AT_MOST = 300;
/** Control characters, line breaks and bidi controls. */
const UNFIT = /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u;

/** `/api/agent`: how an unknown agent gets an account and a token (docs/contract.md §6). */
export async function agentAuthRoutes(app: App, deps: AgentAuthDeps): Promise<void> {
  refuseInOAuthShape(app);
  await app.register(async (json: App) => identityRoutes(json, deps));
  await app.register(async (form: App) => oauthRoutes(form, deps));
}

function identityRoutes(app: App, deps: AgentAuthDeps): void {
  acceptEmptyJson(app);
  app.post(
    "/identity",
    {
      config: PUBLIC,
      schema: {
        operationId: "registerAgent",
        summary: "Register an agent, and get a token to begin with",
        description:
          "Creates an account and a token that reads and prepares for 24 hours. It funds nothing: a human claims the account " +
          "first, and the operator of this service adds its contracts. All fields are optional.",
        tags: ["Registration"],
        body: IdentityBody,
        response: { 200: Identity },
      },
      // All of it is optional.
      preValidation: async (request) => {
        request.body ??= {};
      },
    },
    async (request) => {
      const { identity_type = "anonymous", agent_name, organization_name } = request.body;
      if (!IDENTITY_TYPES.some((type) => type === identity_type))
        throw new Refusal("unsupported_identity_type");
      const agent = {
        agentName: nameIn("agent_name", agent_name),
        organizationName: nameIn("organization_name", organization_name),
      };
      return registerAgent(deps, agent, callerOf(request));
    },
  );

  app.post(
    "/identity/claim",
    {
      config: PUBLIC,
      schema: {
        operationId: "startClaim",
        summary: "Name the human who is to claim the account",
        description:
          "Mails them a link, which alone lets them claim. Tell them the `user_code`. A second call replaces the first.",
        tags: ["Registration"],
        body: ClaimBody,
        response: { 200: StartedClaim },
      },
    },
    async (request) => {
      const { claim_token: claimToken, email } = request.body;
      return startClaim(deps, { claimToken, email }, request.ip);
    },
  );
}

async function oauthRoutes(app: App, deps: AgentAuthDeps): Promise<void> {
  app.removeAllContentTypeParsers();
  await app.register(formBody);

  app.post(
    "/oauth/token",
    {
      config: PUBLIC,
      schema: {
        operationId: "pollToken",
        summary: "Take the token once the human has claimed the account",
        description:
          "Poll as often as `interval` says. The token is given once; every token from before the claim is revoked.",
        tags: ["Registration"],
        consumes: [FORM],
        body: TokenForm,
        response: { 200: ClaimedToken },
      },
    },
    async (request) => {
      const { grant_type, claim_token } = request.body;
      if (grant_type !== GRANT_TYPE) throw new Refusal("unsupported_grant_type");
      if (claim_token === undefined) throw new Refusal("invalid_request", "`claim_token` is required.");
      return pollToken(deps, claim_token, request.ip);
    },
  );

  app.post(
    "/oauth/revoke",
    {
      config: PUBLIC,
      schema: {
        operationId: "revokeAccessToken",
        summary: "Revoke a token",
        description:
          "Revokes a token and those that it minted (RFC 7009). The answer is the same for every token.",
        tags: ["Registration"],
        consumes: [FORM],
        body: RevokeForm,
        response: { 200: Revoked },
      },
    },
    async (request) => {
      await revokeAccessToken(deps, request.body.token, originOf(request));
      return {};
    },
  );
}

/** A name that an agent chose for itself or its account: one line. */
function nameIn(field: string, given: string | undefined): string | null {
  const name = given?.trim() ?? "";
  if (UNFIT.test(name)) throw new Refusal("invalid_request", `\`${field}\` must be one line of plain text.`);
  if (name === "") return null;
  if (!isVisible(name))
    throw new Refusal("invalid_request", `\`${field}\` must have a character that can be seen.`);
  return name;
}

function callerOf({ ip, headers }: FastifyRequest): { address: string; userAgent: string } {
  return { address: ip, userAgent: (headers["user-agent"] ?? "").slice(0, USER_AGENT_AT_MOST) };
}
