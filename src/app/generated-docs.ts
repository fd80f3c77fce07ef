import { TokenUses } from "../accounts/token-use-service.ts";
import { refusalRows } from "../agent-auth/refusals.ts";
import { loadDescription } from "../api-docs/openapi.ts";
import { createSandbox } from "../billing/sandbox.ts";
import { loadConfig } from "../config/config.ts";
import { ChangeBus } from "../database/change-bus.ts";
import { connect } from "../database/connection.ts";
import { Waiters } from "../events/waiters.ts";
import { RateLimits } from "../http/token-rate-limit.ts";
import { problemRows } from "../lib/problems.ts";
import { createApp } from "./app.ts";
import { createLogger } from "./logger.ts";

const EXAMPLE_ORIGIN = "https://pay.example.com";
// Signs nothing.
const NO_KEY = Buffer.alloc(32).toString("base64");
const NO_DATABASE = "postgres://none@127.0.0.1:1/none";

/**
 * The documents that are made from the code, by their place in the project. `npm run docs` writes them, and
 * a test fails when one of them is stale. No database is asked.
 */
export async function generateDocs(): Promise<Map<string, string>> {
  return new Map([
    ["docs/openapi.json", `${JSON.stringify(await describeOpenApi(), null, 2)}\n`],
    ["docs/errors.md", describeErrors()],
  ]);
}

/** The OpenAPI 3.1 description of the public API, as a service at an example address would serve it. */
export async function describeOpenApi(): Promise<object> {
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
  const description = app.swagger();
  await app.close();
  await close();
  return description;
}

function describeErrors(): string {
  const agentAuth = refusalRows.map(
    ({ status, name, message }) => `| ${status} | \`${name}\` | ${message} |`,
  );
  const byStatus = problemRows.toSorted((a, b) => a.status - b.status);
  const rows = byStatus.map(
    ({ status, code, name, hasReason, message }) =>
      `| ${status} | \`${code}\` | ${hasReason ? `\`${name}\`` : "—"} | ${message} |`,
  );
  return `# Errors

Made from \`src/lib/problems.ts\` by \`npm run docs\`.

Every answer that is not a success has one shape; \`details\` is there where there is more to say:

\`\`\`json
{ "error": "for people", "code": "CONFLICT", "requestId": "…", "details": { "reason": "contract_ended" } }
\`\`\`

Decide by \`code\` and \`details.reason\`. \`error\` is for people and may change.

| status | \`code\` | \`details.reason\` | what it says |
|---|---|---|---|
${rows.join("\n")}

## Agent authentication

Made from \`src/agent-auth/refusals.ts\`. The calls under \`/api/agent\` answer in OAuth's shape instead:

\`\`\`json
{ "error": "authorization_pending", "error_description": "for people" }
\`\`\`

| status | \`error\` | what it says |
|---|---|---|
${agentAuth.join("\n")}

\`invalid_request\` also comes with 404, 405, 413 and 415, where those say more.
`;
}
