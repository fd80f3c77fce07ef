import { expect } from "vitest";
import type { App } from "../../src/http/app.ts";
import { type Answer, call } from "../support/fixtures.ts";
import { OPERATOR_KEY } from "../support/service.ts";

const UNEQUAL_HEADERS = ["x-request-id", "date", "ratelimit"];

/** The answer is exactly this refusal, in the envelope of docs/contract.md §0; without `details` it has none. */
export function expectRefusal(
  answer: Answer,
  status: number,
  code: string,
  details?: Record<string, unknown>,
): void {
  expectEnvelope(answer);
  expect({ status: answer.status, code: answer.body.code, details: answer.body.details }).toEqual({
    status,
    code,
    details,
  });
}

/** The answer is a refusal that any caller may get: the envelope alone, and never a 500. */
export function expectEnvelope(answer: Answer): void {
  expect(answer.status, answer.text).toBeGreaterThanOrEqual(400);
  expect(answer.status, answer.text).not.toBe(500);
  expect(answer.headers["content-type"]).toBe("application/json; charset=utf-8");
  expect(answer.headers["cache-control"]).toBe("no-store");
  const { details, ...envelope } = answer.body;
  expect(envelope).toStrictEqual({
    error: expect.stringMatching(/^[A-Z`].*\.$/),
    code: expect.stringMatching(/^[A-Z_]+$/),
    requestId: answer.headers["x-request-id"],
  });
  if (details !== undefined) expect(Object.keys(details).length).toBeGreaterThan(0);
}

/** Everything of an answer that may tell one case from another: bytes and headers, request id and `ids` aside. */
export function bytesOf(answer: Answer, ...ids: string[]): string {
  const headers = Object.entries(answer.headers).filter(([name]) => !UNEQUAL_HEADERS.includes(name));
  const text = JSON.stringify([answer.status, headers, answer.text]);
  return [String(answer.headers["x-request-id"]), ...ids].reduce((all, id) => all.replaceAll(id, "…"), text);
}

/** Calls the operator's API, whatever comes of it. */
export function ask(
  app: App,
  method: "GET" | "POST" | "PUT" | "DELETE",
  path: string,
  body?: unknown,
): Promise<Answer> {
  return call(app, method, `/api/operator/v1${path}`, { token: OPERATOR_KEY, body });
}
