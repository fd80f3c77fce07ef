import { type RefusalName, refusalRows } from "../agent-auth/refusals.ts";
import type { Access } from "../http/access.ts";
import { type ProblemName, problemRow, problemRows } from "../lib/problems.ts";
import {
  accountEventSchemas,
  accountWebhooks,
  DELIVERY_HEADERS,
  operatorEventSchemas,
  operatorWebhook,
} from "./event-schemas.ts";
import {
  AGENT_AUTH_REFUSALS,
  CALL_EXAMPLES,
  type CallExamples,
  type Examples,
  PARAMETER_EXAMPLES,
} from "./examples.ts";
import { HEADERS, headersOf } from "./headers.ts";
import { OPERATOR_EXAMPLES } from "./operator-examples.ts";
import { type Call, refusalSchema, refusalSchemaName, UNREADABLE } from "./problem-examples.ts";
import { RefusalAnswers } from "./refusal-answers.ts";

/** Whom a document is for. The public one describes agent registration, too. */
export type Audience = "public" | "operator";

/** What a document says of a route that its schemas do not. */
export type DescribedRoute = {
  url: string;
  access: Exclude<Access, { by: "session" | "processor" }>;
  problems: readonly ProblemName[];
  body: "none" | "empty" | "some";
};

type Media = { schema: object; examples?: Record<string, { value: unknown }> };
type Part = { description?: string; headers?: object; content?: Record<string, Media> };
type Parameter = { in: string; name: string; schema: { description?: string }; example?: string };
export type Operation = {
  operationId: string;
  summary: string;
  security?: object[];
  parameters?: Parameter[];
  requestBody?: Part;
  responses: Record<string, object>;
};
export type Document = {
  paths?: object | undefined;
  components?: object | undefined;
  webhooks?: object | undefined;
};

/** Adds what the plugin knows nothing of: refusals, headers, examples, events by their type, webhooks. */
export function completeDocument<D extends Document>(
  document: D,
  audience: Audience,
  routes: ReadonlyMap<string, DescribedRoute>,
): D {
  const refusals = new RefusalAnswers();
  const paths = (document.paths ?? {}) as Record<string, Record<string, Operation>>;
  for (const operation of Object.values(paths).flatMap(Object.values)) {
    const route = routes.get(operation.operationId);
    if (route === undefined) throw new TypeError(`${operation.operationId} is not a route`);
    completeOperation(operation, route, refusals);
  }
  const webhooks = audience === "public" ? accountWebhooks() : operatorWebhook();
  const components = document.components as { schemas?: Record<string, object>; securitySchemes: object };
  const schemas: Record<string, object> = {
    ...components.schemas,
    ...(audience === "public"
      ? accountEventSchemas()
      : { ...accountEventSchemas(), ...operatorEventSchemas() }),
    ...Object.fromEntries(problemRows.map(({ name }) => [refusalSchemaName(name), refusalSchema(name)])),
    OAuthError: OAUTH_ERROR,
  };
  const responses = { ...refusals.share(), ...UNREADABLE };
  return {
    ...document,
    paths,
    webhooks,
    components: {
      securitySchemes: components.securitySchemes,
      parameters: DELIVERY_HEADERS,
      headers: onlyUsed("headers", HEADERS, [paths, responses]),
      responses,
      examples: refusals.examples,
      schemas: onlyUsed("schemas", schemas, [paths, responses, webhooks]),
    },
  };
}

const OAUTH_ERROR = {
  type: "object",
  description: "Every refusal of agent registration, in OAuth's shape (RFC 6749 §5.2).",
  required: ["error", "error_description"],
  properties: {
    error: { type: "string", enum: refusalRows.map(({ name }) => name) },
    error_description: { type: "string", description: "For people." },
  },
};

function completeOperation(operation: Operation, route: DescribedRoute, refusals: RefusalAnswers): void {
  const { operationId, responses, parameters = [] } = operation;
  const { by } = route.access;
  const examples = examplesOf(operationId);
  const keyed = parameters.some(({ in: place, name }) => place === "header" && name === "Idempotency-Key");
  const headers = (status: number) => headersOf({ status, by, keyed });
  for (const parameter of parameters) {
    const example = parameter.in === "path" ? PARAMETER_EXAMPLES[parameter.name] : undefined;
    if (example !== undefined) parameter.example = example;
  }
  show(operation.requestBody, examples.body);
  for (const [status, answer] of Object.entries(responses) as [string, Part][]) {
    answer.description = operation.summary;
    answer.headers = headers(Number(status));
    show(answer, examples.answers[status]);
  }
  operation.security = securityOf(route.access);
  if (by === "public") {
    for (const [status, names] of Map.groupBy(agentAuthRefusals(operationId, route), statusOfRefusal))
      responses[status] = refusals.describeOAuth(names, headers(status));
    for (const status of [413, 415])
      responses[status] = refusals.describeOAuth(["invalid_request"], headers(status));
  } else {
    const call: Call = {
      idName: /.*:(\w+)/.exec(route.url)?.[1] ?? parameters.find(({ name }) => name === "accountId")?.name,
      by,
      fault: examples.fault,
    };
    const names = [...new Set([...commonProblems(route), ...route.problems])];
    for (const [status, rows] of Map.groupBy(names.map(problemRow), ({ status }) => status))
      refusals.describe(rows, call, headers(status), responses);
  }
  responses[408] = { $ref: "#/components/responses/RequestTimeout" };
  responses[431] = { $ref: "#/components/responses/HeadersTooLarge" };
}

/** Any one of several scopes is enough: each is an alternative. */
function securityOf(access: DescribedRoute["access"]): object[] {
  if (access.by === "public") return [];
  if (access.by === "operator") return [{ operatorKey: [] }];
  const { scopes = [] } = access;
  return scopes.length === 0 ? [{ bearer: [] }] : scopes.map((scope) => ({ bearer: [scope] }));
}

function commonProblems({ access, body }: DescribedRoute): ProblemName[] {
  const token = access.by === "token" ? access : undefined;
  return [
    "bad_request",
    "unauthorized",
    ...(token?.scopes === undefined ? [] : (["scope_missing"] as const)),
    ...(token?.asks === undefined ? [] : (["account_frozen"] as const)),
    ...(token?.feature === undefined ? [] : (["feature_disabled"] as const)),
    ...(token?.claim === undefined ? [] : (["account_claim_required"] as const)),
    ...(body === "none" ? [] : (["body_too_large"] as const)),
    ...(body === "some" ? (["unsupported_media_type"] as const) : []),
    "rate_limited",
    "internal_error",
    "unavailable",
  ];
}

function agentAuthRefusals(operationId: string, { body }: DescribedRoute): RefusalName[] {
  const own = AGENT_AUTH_REFUSALS[operationId];
  if (own === undefined || body !== "some")
    throw new TypeError(`${operationId} is not in AGENT_AUTH_REFUSALS`);
  return [...own, "rate_limit_exceeded", "server_error", "temporarily_unavailable"];
}

function statusOfRefusal(name: RefusalName): number {
  return refusalRows.find((row) => row.name === name)?.status ?? 400;
}

function examplesOf(operationId: string): CallExamples {
  const examples = CALL_EXAMPLES[operationId];
  if (examples !== undefined) return examples;
  const ofOperator = OPERATOR_EXAMPLES[operationId];
  if (ofOperator === undefined) throw new TypeError(`${operationId} has no examples in src/api-docs`);
  return { ...ofOperator, fault: { error: problemRow("bad_request").message } };
}

function show(part: Part | undefined, examples: Examples = {}): void {
  const media = Object.values(part?.content ?? {})[0];
  if (media === undefined || Object.keys(examples).length === 0) return;
  media.examples = Object.fromEntries(Object.entries(examples).map(([name, value]) => [name, { value }]));
}

/** The components of one kind that `parts` refer to, in turn by each other. */
function onlyUsed(
  kind: string,
  all: Record<string, object>,
  parts: readonly object[],
): Record<string, object> {
  const used = new Set<string>();
  const pattern = new RegExp(`"#/components/${kind}/([^"]+)"`, "g");
  const visit = (part: object): void => {
    for (const [, name = ""] of JSON.stringify(part).matchAll(pattern)) {
      if (used.has(name)) continue;
      used.add(name);
      visit(all[name] ?? {});
    }
  };
  for (const part of parts) visit(part);
  return Object.fromEntries(Object.entries(all).filter(([name]) => used.has(name)));
}
