import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { App } from "../../src/http/app.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { newSecret } from "../../src/lib/secrets.ts";
import { Description } from "../fuzz/description.ts";
import type { Operation } from "../fuzz/requests.ts";
import { call, createFixture } from "../support/fixtures.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";

const read = (name: string) =>
  new Description(JSON.parse(readFileSync(join(import.meta.dirname, "../../docs", name), "utf8")));
const agents = read("openapi.json");
const operators = read("operator-openapi.json");
const service = await startService();
const hurried = await startService(
  { RATE_LIMIT_PER_MINUTE: "1", TRUST_PROXY: "1" },
  service.config.databaseUrl,
);
const away = await startService({}, "postgres://nobody@127.0.0.1:1/nothing");
const unknown = newSecret("ot_pat_", accountKey("acct-1")).value;

/** Calls an operation as its description has it, with a body of its type. */
function send(app: App, { method, path, body, bodyType }: Operation, token?: string, address = "10.0.0.1") {
  const payload = bodyType === "application/json" ? "{}" : "token=x&grant_type=x";
  return call(app, method.toUpperCase() as "POST", path.replaceAll(/\{\w+\}/g, "some-id"), {
    ...(token === undefined ? {} : { token }),
    headers: { "x-forwarded-for": address, ...(body === undefined ? {} : { "content-type": bodyType }) },
    ...(body === undefined ? {} : { body: payload }),
  });
}

const named = ({ operations }: Description) =>
  operations.map((operation) => [`${operation.method} ${operation.path}`, operation] as const);
const ofTokens = named(agents).filter(([, { path }]) => path.startsWith("/api/public/"));

describe("a refusal that any call can meet is described, with its headers:", () => {
  test.each(ofTokens)("401, 429 and 503 of %s", async (_name, operation) => {
    const { token } = await createFixture(hurried.app);
    const answers = [
      await send(service.app, operation),
      await send(service.app, operation, unknown),
      (await call(hurried.app, "GET", "/api/public/v1/auth/me", { token })) &&
        (await send(hurried.app, operation, token)),
      await send(away.app, operation, unknown),
    ];
    expect(answers.map(({ status }) => status)).toEqual([401, 401, 429, 503]);
    for (const answer of answers)
      expect(agents.faultsOf(operation, answer).filter((fault) => fault !== "answered 503")).toEqual([]);
  });

  test.each(named(operators))("401, 503, and what an unknown id meets, of %s", async (_name, operation) => {
    const answers = [
      await send(service.app, operation),
      await send(service.app, operation, OPERATOR_KEY),
      await send(away.app, operation, OPERATOR_KEY),
    ];
    expect(answers[0]?.status).toBe(401);
    for (const answer of answers)
      expect(operators.faultsOf(operation, answer).filter((fault) => fault !== "answered 503")).toEqual([]);
  });
});
