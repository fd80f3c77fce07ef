import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { Validator } from "@seriousme/openapi-schema-validator";
import { describe, expect, test, vi } from "vitest";
import { generateDocs } from "../../src/app/generated-docs.ts";
import { type KnownRoute, listRoutes } from "../../src/http/route-list.ts";
import { call } from "../support/fixtures.ts";
import { inlineComponents } from "../support/openapi.ts";
import { OPERATOR_KEY, PUBLIC_URL, startService } from "../support/service.ts";

const PROJECT = join(import.meta.dirname, "..", "..");
const { app, config } = await startService();
const generated = await generateDocs();
const openapi = JSON.parse(generated.get("docs/openapi.json") ?? "");
const forOperators = JSON.parse(generated.get("docs/operator-openapi.json") ?? "");

type Operation = {
  operationId: string;
  summary: string;
  security: object[];
  responses: Record<
    string,
    { description: string; headers: object; content: Record<string, { examples?: object }> }
  >;
};
const atThisAddress = ({ info, ...document }: any) => ({
  ...document,
  info: { ...info, contact: { ...info.contact, url: PUBLIC_URL } },
  servers: [{ url: PUBLIC_URL }],
});
const operationsOf = (document: object): [string, Operation][] =>
  Object.entries<Record<string, Operation>>(inlineComponents(document).paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, Operation] => [
      `${method} ${path}`,
      operation,
    ]),
  );
const operations = operationsOf(openapi);
const ofOperators = operationsOf(forOperators);
const routesOf = (matches: (route: KnownRoute) => boolean) =>
  listRoutes(app)
    .filter((route) => matches(route) && route.method !== "HEAD")
    .map(({ method, url }) => `${method.toLowerCase()} ${url.replaceAll(/:(\w+)/g, "{$1}")}`)
    .sort();

describe("the documents that are made from the code", () => {
  test.each([...generated.keys()])("%s is as the code makes it: else run `npm run docs`", (path) => {
    expect(readFileSync(join(PROJECT, path), "utf8")).toBe(generated.get(path));
  });

  test("packages/client/api.ts is as its generator makes it: else run `npm run docs`", async () => {
    const check = promisify(execFile)(
      "npm",
      ["run", "generate", "--workspace", "packages/client", "--", "--check"],
      {
        cwd: PROJECT,
      },
    );
    await expect(check).resolves.toBeDefined();
  });

  test.each([
    ["the public API", openapi],
    ["the operator's", forOperators],
  ])("the description of %s is valid OpenAPI 3.1", async (_whose, document) => {
    const validator = new Validator();
    const { valid, errors } = await validator.validate(document);
    expect(errors ?? []).toEqual([]);
    expect(valid).toBe(true);
    expect(validator.version).toBe("3.1");
  });

  test("the service serves it, with its own address", async () => {
    const { status, body } = await call(app, "GET", "/api/public/v1/openapi.json");
    expect(status).toBe(200);
    expect(body).toEqual(atThisAddress(openapi));
  });

  test("the service writes it once, however often it is asked for", async () => {
    const written = vi.spyOn(app, "swagger");
    for (let i = 0; i < 3; i++) await call(app, "GET", "/api/public/v1/openapi.json");
    expect(written.mock.calls.length).toBeLessThanOrEqual(1);
    written.mockRestore();
  });

  test("the operator's is served to the key alone", async () => {
    const url = "/api/operator/v1/openapi.json";
    const { status, body } = await call(app, "GET", url, { token: OPERATOR_KEY });
    expect([status, body]).toEqual([200, atThisAddress(forOperators)]);
    expect((await call(app, "GET", url)).status).toBe(401);
  });

  test("each holds every route of its callers, and no other", () => {
    const ofAgents = routesOf(
      ({ access, url }) =>
        (access?.by === "token" && url.startsWith("/api/")) || url.startsWith("/api/agent/"),
    );
    expect(operations.map(([name]) => name).sort()).toEqual(ofAgents);
    const documents = ["get /api/operator/v1/openapi.json", "get /metrics"];
    const ofOperator = routesOf(({ access }) => access?.by === "operator");
    expect(ofOperators.map(([name]) => name).sort()).toEqual(
      ofOperator.filter((route) => !documents.includes(route)),
    );
  });

  test("every reference in them leads somewhere, and no component is left over", () => {
    for (const document of [openapi, forOperators]) {
      const used = new Set(
        [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/([^"]+)"/g)].map(([, name]) => name),
      );
      const { securitySchemes, ...components } = document.components;
      const there = Object.entries<object>(components).flatMap(([kind, all]) =>
        Object.keys(all).map((name) => `${kind}/${name}`),
      );
      expect(there.sort()).toEqual([...used].sort());
    }
  });

  test("an answer names the headers that come with it", () => {
    const headersAt = (name: string, status: number) => {
      const [, operation] = operations.find(([one]) => one === name) ?? [];
      return Object.keys(operation?.responses[status]?.headers ?? {});
    };
    const fund = "post /api/public/v1/milestones/{milestoneId}/fund";
    const always = ["X-Request-Id", "Cache-Control"];
    const rated = [...always, "RateLimit-Policy", "RateLimit"];
    expect(headersAt(fund, 202)).toEqual(rated);
    expect(headersAt(fund, 401)).toEqual([...always, "WWW-Authenticate", "Link"]);
    for (const status of [409, 429, 503]) expect(headersAt(fund, status)).toEqual([...rated, "Retry-After"]);
    expect(headersAt(fund, 431)).toEqual(always);
    const create = "post /api/public/v1/contracts/{contractId}/milestones";
    expect(headersAt(create, 201)).toEqual([...rated, "Idempotent-Replayed"]);
  });

  test("of several scopes each is an alternative, and registration needs nothing", () => {
    const securityOf = (id: string) =>
      operations.find(([, { operationId }]) => operationId === id)?.[1].security;
    expect(securityOf("listUpdates")).toEqual([
      { bearer: ["proposals:read"] },
      { bearer: ["messages:read"] },
      { bearer: ["payments:read"] },
    ]);
    expect(securityOf("getMe")).toEqual([{ bearer: [] }]);
    expect(securityOf("registerAgent")).toEqual([]);
  });

  test("the lifetimes in it are those of the configuration", async () => {
    const hasty = await startService({ APPROVAL_TTL_SECONDS: "7200" }, config.databaseUrl);
    const { text } = await call(hasty.app, "GET", "/api/public/v1/openapi.json");
    expect(text).toContain("It expires after 2 hours;");
    expect(JSON.stringify(openapi)).toContain("It expires after 3 days;");
  });

  test.each([...operations, ...ofOperators])(
    "%s says what it is, who may call it, and every refusal with an example",
    (_name, operation) => {
      expect(operation.operationId).toMatch(/^[a-z][A-Za-z]+$/);
      expect(operation.summary.length).toBeGreaterThan(5);
      expect(operation.security).toBeDefined();
      const refusals = Object.entries(operation.responses).filter(([status]) => Number(status) >= 400);
      expect(refusals.map(([status]) => status)).toEqual(
        expect.arrayContaining(["400", "408", "429", "431", "500", "503"]),
      );
      for (const [status, { description, content }] of refusals) {
        expect(description, status).not.toBe("");
        expect(Object.keys(content["application/json"]?.examples ?? {}), status).not.toHaveLength(0);
      }
    },
  );

  test("operation ids are unique", () => {
    const ids = [...operations, ...ofOperators].map(([, { operationId }]) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("the reference at /docs opens, and its script and style come from here", async () => {
    const page = await call(app, "GET", "/docs", { headers: { accept: "text/html" } });
    expect(page.status).toBe(200);
    const assets = [...page.text.matchAll(/(?:src|href)="\.?(\/docs\/static\/[^"]+|\/static\/[^"]+)"/g)].map(
      ([, path]) => path,
    );
    expect(assets.length).toBeGreaterThan(2);
    expect(page.headers["content-security-policy"]).toBeDefined();
  });
});
