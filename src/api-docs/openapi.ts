import swagger, { type SwaggerTransformObject } from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { TSchema } from "@sinclair/typebox";
import type { FastifySchema, RouteOptions } from "fastify";
import type { Access } from "../http/access.ts";
import type { App } from "../http/app.ts";
import { NoBody } from "../http/body.ts";
import { type ProblemName, type ProblemRow, problemRow, problemRows } from "../lib/problems.ts";
import type { CallExamples, Examples } from "./examples.ts";
import type { Call } from "./problem-examples.ts";

const JSON_TYPE = "application/json";

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
        { name: "Credits", description: "Money that is paid in ahead, and topping it up." },
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
    transformObject: completeDocument,
  });
}

/** The examples and the schemas of problems: many words that only the description needs. */
async function loadTexts() {
  const { CALL_EXAMPLES, PARAMETER_EXAMPLES } = await import("./examples.ts");
  const { refusalExample, refusalSchema, refusalSchemaName } = await import("./problem-examples.ts");
  return { CALL_EXAMPLES, PARAMETER_EXAMPLES, refusalExample, refusalSchema, refusalSchemaName };
}

let loaded: Awaited<ReturnType<typeof loadTexts>> | undefined;

/** Loads the texts of the description; `app.swagger()` throws before that. */
export async function loadDescription(): Promise<void> {
  loaded ??= await loadTexts();
}

function texts(): Awaited<ReturnType<typeof loadTexts>> {
  if (loaded === undefined) throw new TypeError("loadDescription was not called");
  return loaded;
}

/** Serves the description, and a browsable reference generated from it. */
export async function serveApiReference(app: App): Promise<void> {
  // Writing it takes 4 ms, and it stays the same for as long as the process runs.
  let written: string | undefined;
  const write = async (): Promise<string> => {
    await loadDescription();
    written ??= JSON.stringify(app.swagger());
    return written;
  };
  app.get(
    "/api/public/v1/openapi.json",
    { config: { access: { by: "public" } }, schema: { hide: true } },
    async (_request, reply) => reply.type("application/json; charset=utf-8").send(await write()),
  );
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

/** Adds what the plugin knows nothing of: examples, and the schemas of refusals. */
const completeDocument: SwaggerTransformObject = (document) => {
  if (!("openapiObject" in document)) throw new TypeError("this service is described in OpenAPI");
  const description = document.openapiObject;
  const paths = (description.paths ?? {}) as Record<string, Record<string, Operation>>;
  for (const operation of Object.values(paths).flatMap(Object.values)) addExamples(operation);
  const { refusalSchema, refusalSchemaName } = texts();
  const refusals = problemRows.map(({ name }) => [refusalSchemaName(name), refusalSchema(name)]);
  const schemas = { ...description.components?.schemas, ...Object.fromEntries(refusals) };
  description.components = { ...description.components, schemas: onlyUsed(schemas, paths) };
  return description;
};

type Content = { content?: Record<string, { examples?: Record<string, { value: unknown }> }> };
/** What of an operation its examples are put into. */
type Operation = {
  operationId: string;
  parameters?: { in: string; name: string; example?: string }[];
  requestBody?: Content;
  responses: Record<string, Content>;
};

function addExamples({ operationId, parameters = [], requestBody, responses }: Operation): void {
  const { body, answers } = examplesOf(operationId);
  for (const parameter of parameters) {
    const example = parameter.in === "path" ? texts().PARAMETER_EXAMPLES[parameter.name] : undefined;
    if (example !== undefined) parameter.example = example;
  }
  show(requestBody, body);
  for (const [status, examples] of Object.entries(answers)) show(responses[status], examples);
}

function show(part: Content | undefined, examples: Examples = {}): void {
  const media = part?.content?.[JSON_TYPE];
  if (media === undefined) return;
  media.examples = Object.fromEntries(Object.entries(examples).map(([name, value]) => [name, { value }]));
}

/** Without those that only routes outside the public API refer to. */
function onlyUsed(schemas: Record<string, object>, paths: object): Record<string, object> {
  const used = new Set<string>();
  const visit = (part: object): void => {
    for (const [, name = ""] of JSON.stringify(part).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (used.has(name)) continue;
      used.add(name);
      visit(schemas[name] ?? {});
    }
  };
  visit(paths);
  return Object.fromEntries(Object.entries(schemas).filter(([name]) => used.has(name)));
}

function describeRoute(schema: FastifySchema | undefined, route: RouteOptions): FastifySchema {
  const { access, problems = [] } = route.config ?? {};
  if (schema === undefined || schema.hide === true || access?.by !== "token")
    return { ...schema, hide: true };
  const names = [...new Set([...commonProblems(access, schema), ...problems])];
  const byStatus = Map.groupBy(names.map(problemRow), (row) => row.status);
  const call = {
    access,
    idName: /.*:(\w+)/.exec(route.url)?.[1],
    fault: examplesOf(schema.operationId).fault,
  };
  const refusals = Object.fromEntries(
    [...byStatus].map(([status, rows]) => [status, describeRefusals(rows, call)]),
  );
  const successes = Object.fromEntries(
    Object.entries((schema.response ?? {}) as Record<string, TSchema>).map(([status, body]) => [
      status,
      { description: schema.summary, content: { [JSON_TYPE]: { schema: body } } },
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
    ...(access.asks === undefined ? [] : (["account_frozen"] as const)),
    ...(access.feature === undefined ? [] : (["feature_disabled"] as const)),
    ...(access.claim === undefined ? [] : (["account_claim_required"] as const)),
    ...(schema.body === undefined ? [] : (["body_too_large"] as const)),
    ...(schema.body === undefined || schema.body === NoBody ? [] : (["unsupported_media_type"] as const)),
    "rate_limited",
    "internal_error",
    "unavailable",
  ];
}

function describeRefusals(rows: ProblemRow[], call: Call) {
  const { refusalExample, refusalSchemaName } = texts();
  const refs = rows.map(({ name }) => ({ $ref: `#/components/schemas/${refusalSchemaName(name)}` }));
  return {
    description: rows.map((row) => row.message).join(" / "),
    content: {
      [JSON_TYPE]: {
        // Of two that both fit, such as a missing scope that the claim would bring, either will do.
        schema: refs.length === 1 ? refs[0] : { anyOf: refs },
        examples: Object.fromEntries(rows.map(({ name }) => [name, refusalExample(name, call)])),
      },
    },
  };
}

function examplesOf(operationId: string | undefined): CallExamples {
  const examples = texts().CALL_EXAMPLES[operationId ?? ""];
  if (examples === undefined) throw new TypeError(`${operationId} has no examples in api-docs/examples.ts`);
  return examples;
}
