import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { TSchema } from "@sinclair/typebox";
import type { FastifySchema, RouteOptions } from "fastify";
import type { App } from "../http/app.ts";
import { NoBody } from "../http/body.ts";
import { servePublicDocument } from "../http/public-document.ts";
import { VERSION } from "../lib/version.ts";
import type { Audience, DescribedRoute } from "./document.ts";

const JSON_TYPE = "application/json";
const DOCUMENT_TYPE = "application/json; charset=utf-8";

/** The reference is drawn by its own script, so it may run that; nothing inline, nothing from elsewhere. */
export const REFERENCE_CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PUBLIC_INFO = {
  info: {
    title: "Countersign API",
    version: VERSION,
    description: `An agent asks for a milestone to be funded; a signed-in human co-signs the exact terms; only then
does money move, once. The agent never holds anything that could decide.

Send \`Authorization: Bearer ot_pat_…\` with every call. An agent without one registers by itself: see Registration. Every
refusal has one shape, says what is missing, and hands out a link that mends it where a human can. Registration alone
answers refusals in OAuth's shape. After 429 and 503, wait as long as \`Retry-After\` says and send the same call again;
give an \`Idempotency-Key\` where the call takes one, so that a lost answer does not make two.

Names that end in \`Usd\` are dollars, those in \`Cents\` whole cents. New fields, refusals and types of events can come
without a new version: ignore what you do not know.`,
    license: { name: "MIT", identifier: "MIT" },
  },
  tags: [
    { name: "Approvals", description: "Asking, and learning what a human decided." },
    { name: "Updates", description: "The account's feed." },
    { name: "Webhooks", description: "The same events, brought to a URL." },
    { name: "Contracts", description: "What there is to fund." },
    { name: "Payments", description: "What was confirmed and is pending." },
    { name: "Credits", description: "Money that is paid in ahead, and topping it up." },
    { name: "Identity", description: "Who the token is, and what it may do." },
    { name: "Tokens", description: "Tokens for other programs, and their end." },
    {
      name: "Registration",
      description:
        "How an agent without a token gets one, and a human claims its account. Errors have OAuth's shape.",
    },
  ],
  components: {
    securitySchemes: {
      bearer: {
        type: "http" as const,
        scheme: "bearer",
        bearerFormat: "ot_pat_…",
        description: "A token. The scopes named with a call are alternatives: any one is enough.",
      },
    },
  },
};

const OPERATOR_INFO = {
  info: {
    title: "Countersign operator API",
    version: VERSION,
    description: `The way data gets in: accounts, contracts, milestones, members and keys. The operator sees everything and
decides nothing. Every call is recorded in the account's audit trail.`,
    license: { name: "MIT", identifier: "MIT" },
  },
  tags: [
    { name: "Operator", description: "Calls with the operator's key." },
    { name: "Webhooks", description: "What is sent to the operator's webhook." },
  ],
  components: {
    securitySchemes: {
      operatorKey: { type: "http" as const, scheme: "bearer", description: "`OPERATOR_API_KEY`" },
    },
  },
};

declare module "fastify" {
  interface FastifyInstance {
    operatorSwagger: () => object;
  }
}

/**
 * Describes the public API and the operator's in OpenAPI 3.1, each in a document of its own, from the schemas that the
 * routes validate with. Register it first.
 */
export async function describeApi(app: App, { publicUrl }: { publicUrl: string }): Promise<void> {
  const contact = { name: "The operator of this service", url: publicUrl };
  for (const [audience, { info, ...parts }] of [
    ["public", PUBLIC_INFO],
    ["operator", OPERATOR_INFO],
  ] as const)
    await registerDocument(app, audience, {
      ...parts,
      info: { ...info, contact },
      servers: [{ url: publicUrl }],
    });
}

async function registerDocument(
  app: App,
  audience: Audience,
  openapi: Omit<typeof PUBLIC_INFO | typeof OPERATOR_INFO, "info"> & {
    info: typeof PUBLIC_INFO.info & { contact: { name: string; url: string } };
    servers: { url: string }[];
  },
): Promise<void> {
  const routes = new Map<string, DescribedRoute>();
  await app.register(swagger, {
    decorator: audience === "public" ? "swagger" : "operatorSwagger",
    openapi: { openapi: "3.1.0", ...openapi },
    // An old generator names a type for each enum by its property, and stumbles over one letter (`v`).
    convertConstToEnum: false,
    refResolver: {
      buildLocalReference: (json, _base, _fragment, i) =>
        typeof json.$id === "string" ? json.$id : `def-${i}`,
    },
    transform: ({ schema, url, route }) => ({ schema: describeRoute(schema, route, audience, routes), url }),
    transformObject: (given) => {
      if (!("openapiObject" in given)) throw new TypeError("this service is described in OpenAPI");
      return completer().completeDocument(given.openapiObject, audience, routes);
    },
  });
}

let loaded: typeof import("./document.ts") | undefined;

/** Loads what completes the documents, many words that only they need; `app.swagger()` throws before that. */
export async function loadDescription(): Promise<void> {
  loaded ??= await import("./document.ts");
}

function completer(): typeof import("./document.ts") {
  if (loaded === undefined) throw new TypeError("loadDescription was not called");
  return loaded;
}

/** Serves the description, and a browsable reference generated from it. */
export async function serveApiReference(app: App): Promise<void> {
  servePublicDocument(app, "/api/public/v1/openapi.json", {
    type: DOCUMENT_TYPE,
    write: async () => {
      await loadDescription();
      return JSON.stringify(app.swagger());
    },
  });
  await app.register(async (scope) => {
    scope.addHook("onRoute", (route) => {
      route.config = { ...route.config, access: { by: "public" } };
    });
    scope.addHook("onRequest", loadDescription);
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

/** `GET /openapi.json` of the operator's API. Registered behind the operator's gate. */
export function operatorDescriptionRoute(api: App): void {
  api.get(
    "/openapi.json",
    { config: { access: { by: "operator" } }, schema: { hide: true } },
    async (_request, reply) => {
      await loadDescription();
      return reply.type(DOCUMENT_TYPE).send(JSON.stringify(api.operatorSwagger()));
    },
  );
}

/** A route's schema as the document takes it, with its successes; noted in `routes`, from which the rest is added. */
function describeRoute(
  schema: FastifySchema | undefined,
  { url, config }: RouteOptions,
  audience: Audience,
  routes: Map<string, DescribedRoute>,
): FastifySchema {
  const access = config?.access;
  const hidden = { ...schema, hide: true };
  if (schema?.operationId === undefined || schema.hide === true || access === undefined) return hidden;
  if (access.by === "session" || access.by === "processor") return hidden;
  if ((access.by === "operator") !== (audience === "operator")) return hidden;
  const { body, ...rest } = schema;
  routes.set(schema.operationId, {
    url,
    access,
    problems: config?.problems ?? [],
    body: body === undefined ? "none" : body === NoBody ? "empty" : "some",
  });
  const successes = Object.entries((schema.response ?? {}) as Record<string, TSchema>).map(
    ([status, answer]) => [
      status,
      { description: schema.summary, content: { [JSON_TYPE]: { schema: answer } } },
    ],
  );
  return {
    // A call that takes no body has none in the description: OpenAPI would make it a required one.
    ...(body === undefined || body === NoBody ? rest : schema),
    response: Object.fromEntries(successes),
  };
}
