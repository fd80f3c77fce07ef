import { TokenUses } from "../accounts/token-use-service.ts";
import { refusalRows } from "../agent-auth/refusals.ts";
import { loadDescription } from "../api-docs/openapi.ts";
import { writeVectors } from "../api-docs/vectors.ts";
import { createSandbox } from "../billing/sandbox-client.ts";
import { loadConfig } from "../config/config.ts";
import { ChangeBus } from "../database/change-bus.ts";
import { connect } from "../database/connection.ts";
import { Waiters } from "../events/waiters.ts";
import { RateLimits } from "../http/token-rate-limit.ts";
import { type ProblemName, type ProblemRow, problemRows } from "../lib/problems.ts";
import { createApp } from "./app.ts";
import { createLogger } from "./logger.ts";

const EXAMPLE_ORIGIN = "https://pay.example.com";
// Signs nothing.
const NO_KEY = Buffer.alloc(32).toString("base64");
const NO_DATABASE = "postgres://none@127.0.0.1:1/none";

/** Problems that any call of a program can meet, besides those that the OpenAPI document lists with its calls. */
const BY_ANY_CALL: readonly ProblemName[] = ["bad_request", "method_not_allowed", "origin_refused"];
/** Problems that only people meet, on pages. */
const BY_PEOPLE: readonly ProblemName[] = [
  "session_ended",
  "form_refused",
  "not_permitted",
  "statement_stale",
  "already_decided",
  "passkey_required",
  "passkey_refused",
  "challenge_expired",
  "passkeys_unavailable",
  "passkey_limit_reached",
  "presence_expired",
  "session_replaced",
  "passkey_proof_required",
  "act_signature_required",
  "own_passkey_required",
  "second_person_missing",
  "second_decider_missing",
  "amount_untyped",
  "top_up_ended",
];
/**
 * The documents that are generated from the code, by their path in the project. `npm run docs` writes them, and a
 * test fails when one of them is stale. Does not use a database.
 */
export async function generateDocs(): Promise<Map<string, string>> {
  const { agents, operator } = await describeOpenApi();
  return new Map([
    ["docs/openapi.json", `${JSON.stringify(agents, null, 2)}\n`],
    ["docs/operator-openapi.json", `${JSON.stringify(operator, null, 2)}\n`],
    ["docs/errors.md", describeErrors(agents, operator)],
    ...writeVectors(),
  ]);
}

/** The OpenAPI 3.1 descriptions of the public API and the operator's, as a service at an example address serves them. */
export async function describeOpenApi(): Promise<{ agents: object; operator: object }> {
  const { db, close } = connect(NO_DATABASE, {
    size: 1,
    statementTimeout: 1,
    lockTimeout: 1,
    onIdleError: () => {},
  });
  const app = await createApp({
    config: loadConfig({
      DATABASE_URL: NO_DATABASE,
      PUBLIC_URL: EXAMPLE_ORIGIN,
      OPERATOR_API_KEY: NO_KEY,
      SESSION_SECRET: NO_KEY,
      SECRETS_KEY: NO_KEY,
      RECEIPT_SIGNING_KEY: NO_KEY,
    }),
    db,
    limits: new RateLimits(),
    tokenUses: new TokenUses(),
    waiters: new Waiters(db, new ChangeBus(db)),
    processor: createSandbox(db, EXAMPLE_ORIGIN),
    logger: createLogger("silent"),
  });
  await app.ready();
  await loadDescription();
  const descriptions = { agents: app.swagger(), operator: app.operatorSwagger() };
  await app.close();
  await close();
  return descriptions;
}

/** Each problem is in one table: the first that applies of calls in the OpenAPI document, pages, the operator's API. */
function describeErrors(agents: object, operator: object): string {
  const ofCalls = new Set<string>([...namesInOpenApi(agents), ...BY_ANY_CALL]);
  const ofOperators = new Set<string>(namesInOpenApi(operator));
  const rest = problemRows.filter(({ name }) => !ofCalls.has(name));
  const homeless = rest.filter(({ name }) => !BY_PEOPLE.includes(name) && !ofOperators.has(name));
  if (homeless.length > 0) {
    const names = homeless.map(({ name }) => name).join(", ");
    throw new TypeError(`Name in src/app/generated-docs.ts who meets ${names}: people, or operators`);
  }
  const agentAuth = refusalRows.map(
    ({ status, name, message }) => `| ${status} | \`${name}\` | ${message} |`,
  );
  return `# Errors

Generated from \`src/lib/problems.ts\` by \`npm run docs\`. Every error has one shape; \`details\` is there if there is more to
say:

\`\`\`json
{ "error": "for people", "code": "CONFLICT", "requestId": "…", "details": { "reason": "contract_ended" } }
\`\`\`

Decide by \`code\` and \`details.reason\`. \`error\` is for people and can change.

## Agents

Calls of the public API. Calls of the operator's API can meet these too.

${table(problemRows.filter(({ name }) => ofCalls.has(name)))}

## People on pages

A page shows the sentence, and what to do next.

${table(rest.filter(({ name }) => BY_PEOPLE.includes(name)))}

## Operators

Only calls of the operator's API.

${table(rest.filter(({ name }) => ofOperators.has(name)))}

## Agent registration

Generated from \`src/agent-auth/refusals.ts\`. Calls under \`/api/agent\` answer in OAuth's shape:

\`\`\`json
{ "error": "authorization_pending", "error_description": "for people" }
\`\`\`

| status | \`error\` | description |
|---|---|---|
${agentAuth.join("\n")}

\`invalid_request\` can also have the status 404, 405, 413 or 415, if that says more.
`;
}

function table(rows: readonly ProblemRow[]): string {
  const lines = rows
    .toSorted((a, b) => a.status - b.status)
    .map(
      ({ status, code, name, hasReason, message }) =>
        `| ${status} | \`${code}\` | ${hasReason ? `\`${name}\`` : "—"} | ${message} |`,
    );
  return ["| status | `code` | `details.reason` | message |", "|---|---|---|---|", ...lines].join("\n");
}

/** The problems of the calls in an OpenAPI document: their examples bear their names. */
function namesInOpenApi(openApi: object): string[] {
  const named = JSON.stringify(openApi).matchAll(/"(\w+)":\{"\$ref":"#\/components\/examples\/\1[_"]/g);
  return [...new Set([...named].map(([, name = ""]) => name))];
}
