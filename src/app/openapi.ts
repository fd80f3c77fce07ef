import swagger, { type SwaggerTransformObject } from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import { type TSchema, Type } from "@sinclair/typebox";
import type { FastifySchema, RouteOptions } from "fastify";
import type { Access } from "../http/access.ts";
import type { App } from "../http/app.ts";
import { NoBody } from "../http/body.ts";
import { type ProblemName, problemRow } from "../lib/problems.ts";

/** The body of every answer that is not a success (CONTRACT.md §0). */
export const ErrorEnvelope = Type.Object(
  {
    error: Type.String({ description: "For people: what is wrong, and what to do." }),
    code: Type.String({
      enum: [
        "BAD_REQUEST",
        "UNAUTHORIZED",
        "FORBIDDEN",
        "NOT_FOUND",
        "CONFLICT",
        "RATE_LIMITED",
        "INTERNAL_ERROR",
        "UNAVAILABLE",
      ],
    }),
    requestId: Type.String(),
    details: Type.Optional(
      Type.Unsafe<Record<string, unknown>>({ type: "object", additionalProperties: true }),
    ),
  },
  { $id: "Error" },
);

const EXAMPLE_ORIGIN = "https://pay.example.com";
const EXAMPLE_DETAILS: Partial<Record<ProblemName, Record<string, unknown>>> = {
  bad_request: { field: "limit" },
  cursor_ahead: { field: "cursor", latestCursor: "41" },
  cursor_expired: { field: "cursor", oldestCursor: "17" },
  scope_missing: {
    requiredScopes: ["payments:write"],
    grantedScopes: ["payments:read"],
    tokensUrl: `${EXAMPLE_ORIGIN}/settings/keys`,
  },
  feature_disabled: { featureKey: "public_api_payments_write" },
  account_claim_required: { action: "fund milestones", claimUrl: `${EXAMPLE_ORIGIN}/claim` },
  not_found: { resource: "milestones", milestoneId: "milestone-7-1" },
  contract_ended: { contractId: "contract-7" },
  idempotency_key_reused: { field: "Idempotency-Key" },
  token_limit_reached: { limit: 25 },
  milestone_limit_reached: { limit: 1000, limitBytes: 1048576 },
  list_too_large: { narrowBy: ["jobId", "status"] },
  milestone_not_fundable: { status: "ACTIVE_FUNDED" },
  payment_method_required: { billingUrl: `${EXAMPLE_ORIGIN}/billing` },
  webhook_limit_reached: { limit: 10 },
  too_many_pending: { limit: 100, retryAfterSeconds: 60 },
  rate_limited: { retryAfterSeconds: 12 },
  unavailable: { retryAfterSeconds: 2 },
};

/** The reference is drawn by its own script, so it may run that; nothing inline, nothing from elsewhere. */
const REFERENCE_CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const DESCRIPTION = `An agent asks for a milestone to be funded; a signed-in human co-signs the exact terms; only then
does money move, once. The agent never holds anything that could decide.

Send \`Authorization: Bearer ot_pat_…\` with every call. An agent without one registers by itself:
\`/.well-known/oauth-authorization-server\` says where and how. Every refusal has one shape, says what is missing, and hands
out a link that mends it where a human can.`;

/** Describes the public API in OpenAPI 3.1, from the schemas that the routes validate with. Register it first. */
export async function describeApi(app: App, options: { publicUrl: string; version: string }): Promise<void> {
  app.addSchema(ErrorEnvelope);
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Countersign API",
        version: options.version,
        description: DESCRIPTION,
        license: { name: "MIT", identifier: "MIT" },
      },
      servers: [{ url: options.publicUrl }],
      tags: [
        { name: "Approvals", description: "Asking, and learning what a human decided." },
        { name: "Updates", description: "The account's feed." },
        { name: "Webhooks", description: "The same events, brought to a URL." },
        { name: "Contracts", description: "What there is to fund." },
        { name: "Identity", description: "Who the token is, and what it may do." },
        { name: "Tokens", description: "Tokens for other programs, and their end." },
      ],
      components: {
        securitySchemes: { bearer: { type: "http", scheme: "bearer", bearerFormat: "ot_pat_…" } },
      },
    },
    refResolver: {
      buildLocalReference: (json, _base, _fragment, i) =>
        typeof json.$id === "string" ? json.$id : `def-${i}`,
    },
    transform: ({ schema, url, route }) => ({ schema: describeRoute(schema, route), url }),
    transformObject: withoutUnusedSchemas,
  });
}

/** Serves the description, and a browsable reference made from it. */
export async function serveApiReference(app: App): Promise<void> {
  // Public, and 4 ms to write: it is the same for as long as the process runs.
  let written: string | undefined;
  const write = (): string => {
    written ??= JSON.stringify(app.swagger());
    return written;
  };
  app.get(
    "/api/public/v1/openapi.json",
    { config: { access: { by: "public" } }, schema: { hide: true } },
    async (_request, reply) => reply.type("application/json; charset=utf-8").send(write()),
  );
  await app.register(async (scope) => {
    scope.addHook("onRoute", (route) => {
      route.config = { ...route.config, access: { by: "public" } };
    });
    scope.addHook("onSend", async (_request, reply) => void reply.header("cache-control", "no-store"));
    await scope.register(swaggerUi, {
      routePrefix: "/docs",
      staticCSP: REFERENCE_CSP,
      uiConfig: {
        layout: "BaseLayout",
        docExpansion: "list",
        defaultModelsExpandDepth: 0,
        tryItOutEnabled: false,
      },
      theme: { title: "Countersign API reference" },
    });
  });
}

/** Leaves out the shared schemas that only routes outside the public API refer to. */
const withoutUnusedSchemas: SwaggerTransformObject = (document) => {
  if (!("openapiObject" in document)) throw new TypeError("this service is described in OpenAPI");
  const description = document.openapiObject;
  const schemas: Record<string, unknown> = description.components?.schemas ?? {};
  const used = new Set<string>();
  const visit = (part: unknown): void => {
    for (const [, name = ""] of JSON.stringify(part).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (used.has(name)) continue;
      used.add(name);
      visit(schemas[name] ?? null);
    }
  };
  visit(description.paths ?? {});
  for (const name of Object.keys(schemas)) if (!used.has(name)) delete schemas[name];
  return description;
};

function describeRoute(schema: FastifySchema | undefined, route: RouteOptions): FastifySchema {
  const { access, problems = [] } = route.config ?? {};
  if (schema === undefined || schema.hide === true || access?.by !== "token")
    return { ...schema, hide: true };
  const names = [...new Set([...commonProblems(access, schema), ...problems])];
  const byStatus = Map.groupBy(names.map(problemRow), (row) => row.status);
  const refusals = Object.fromEntries([...byStatus].map(([status, rows]) => [status, describeRefusal(rows)]));
  const successes = Object.fromEntries(
    Object.entries((schema.response ?? {}) as Record<string, TSchema>).map(([status, body]) => [
      status,
      { description: schema.summary, content: { "application/json": { schema: body } } },
    ]),
  );
  // A call that takes no body has none in the description: OpenAPI would make it a required one.
  const { body, ...rest } = schema;
  const described = body === undefined || body === NoBody ? rest : schema;
  return {
    ...described,
    security: [{ bearer: [...(access.scopes ?? [])] }],
    response: { ...successes, ...refusals },
  };
}

function commonProblems(access: Access & { by: "token" }, schema: FastifySchema): ProblemName[] {
  return [
    "bad_request",
    "unauthorized",
    ...(access.scopes === undefined ? [] : (["scope_missing"] as const)),
    ...(access.feature === undefined ? [] : (["feature_disabled"] as const)),
    ...(access.claim === undefined ? [] : (["account_claim_required"] as const)),
    ...(schema.body === undefined ? [] : (["body_too_large"] as const)),
    ...(schema.body === undefined || schema.body === NoBody ? [] : (["unsupported_media_type"] as const)),
    "rate_limited",
    "internal_error",
    "unavailable",
  ];
}

function describeRefusal(rows: ReturnType<typeof problemRow>[]) {
  const examples = rows.map(({ name, message, code, hasReason }) => {
    const details = { ...(hasReason ? { reason: name } : {}), ...EXAMPLE_DETAILS[name] };
    const value = {
      error: message,
      code,
      requestId: "019a3f5c-7d10-7c3e-9b1a-2f6d0c4be8a1",
      ...(Object.keys(details).length === 0 ? {} : { details }),
    };
    return [name, { summary: message, value }];
  });
  return {
    description: rows.map((row) => row.message).join(" / "),
    content: { "application/json": { schema: { $ref: "Error#" }, examples: Object.fromEntries(examples) } },
  };
}
