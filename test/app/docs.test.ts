import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { Validator } from "@seriousme/openapi-schema-validator";
import { describe, expect, test } from "vitest";
import { generateDocs } from "../../src/app/generated-docs.ts";
import { listRoutes } from "../../src/http/route-list.ts";
import { call } from "../support/fixtures.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const PROJECT = join(import.meta.dirname, "..", "..");
const { app } = await startService();
const generated = await generateDocs();
const openapi = JSON.parse(generated.get("docs/openapi.json") ?? "");

type Operation = {
  operationId: string;
  summary: string;
  security: object[];
  responses: Record<string, { description: string; content: Record<string, { examples?: object }> }>;
};
const operations: [string, Operation][] = Object.entries<Record<string, Operation>>(openapi.paths).flatMap(
  ([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, Operation] => [
      `${method} ${path}`,
      operation,
    ]),
);

describe("the documents that are made from the code", () => {
  test.each([...generated.keys()])("%s is as the code makes it: else run `npm run docs`", (path) => {
    expect(readFileSync(join(PROJECT, path), "utf8")).toBe(generated.get(path));
  });

  test("client/api.ts is as its generator makes it: else run `npm run docs`", async () => {
    const check = promisify(execFile)("npm", ["run", "generate", "--workspace", "client", "--", "--check"], {
      cwd: PROJECT,
    });
    await expect(check).resolves.toBeDefined();
  });

  test("the description is valid OpenAPI 3.1", async () => {
    const validator = new Validator();
    const { valid, errors } = await validator.validate(openapi);
    expect(errors ?? []).toEqual([]);
    expect(valid).toBe(true);
    expect(validator.version).toBe("3.1");
  });

  test("the service serves it, with its own address", async () => {
    const { status, body } = await call(app, "GET", "/api/public/v1/openapi.json");
    expect(status).toBe(200);
    expect(body).toEqual({ ...openapi, servers: [{ url: PUBLIC_URL }] });
  });

  test("it holds every token route under the prefix, and no other", () => {
    const routes = listRoutes(app)
      .filter(
        ({ access, url, method }) => access?.by === "token" && url.startsWith("/api/") && method !== "HEAD",
      )
      .map(({ method, url }) => `${method.toLowerCase()} ${url.replaceAll(/:(\w+)/g, "{$1}")}`);
    expect(operations.map(([name]) => name).sort()).toEqual(routes.sort());
  });

  test.each(operations)(
    "%s says what it is, who may call it, and every refusal with an example",
    (_name, operation) => {
      expect(operation.operationId).toMatch(/^[a-z][A-Za-z]+$/);
      expect(operation.summary.length).toBeGreaterThan(5);
      expect(operation.security).toHaveLength(1);
      const refusals = Object.entries(operation.responses).filter(([status]) => Number(status) >= 400);
      expect(refusals.map(([status]) => status)).toEqual(
        expect.arrayContaining(["401", "429", "500", "503"]),
      );
      for (const [status, { description, content }] of refusals) {
        expect(description, status).not.toBe("");
        expect(Object.keys(content["application/json"]?.examples ?? {}), status).not.toHaveLength(0);
      }
    },
  );

  test("operation ids are unique", () => {
    const ids = operations.map(([, { operationId }]) => operationId);
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
