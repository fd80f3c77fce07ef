import { expect } from "vitest";
import type { App } from "../../src/http/app.ts";
import { newId } from "../../src/lib/ids.ts";
import { SCOPES } from "../../src/lib/scopes.ts";
import { OPERATOR_KEY } from "./service.ts";

export type Answer = { status: number; headers: Record<string, unknown>; body: any; text: string };

type Method = "GET" | "POST" | "PUT" | "DELETE" | "PATCH" | "HEAD";

/** Calls the app through its own HTTP stack, without a socket. */
export async function call(
  app: App,
  method: Method,
  url: string,
  options: { token?: string; body?: unknown; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const response = await app.inject({
    method,
    url,
    headers: {
      ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
      ...(options.body === undefined ? {} : { "content-type": "application/json" }),
      ...options.headers,
    },
    ...(options.body === undefined
      ? {}
      : { payload: typeof options.body === "string" ? options.body : JSON.stringify(options.body) }),
  });
  const json = String(response.headers["content-type"]).startsWith("application/json");
  return {
    status: response.statusCode,
    headers: response.headers,
    text: response.body,
    body: json && response.body !== "" ? JSON.parse(response.body) : undefined,
  };
}

/** Calls the operator's API; fails the test when that fails. */
export async function operate(app: App, method: Method, path: string, body?: unknown): Promise<any> {
  const answer = await call(app, method, `/api/operator/v1${path}`, { token: OPERATOR_KEY, body });
  expect(answer.status, answer.text).toBeLessThan(300);
  return answer.body;
}

/** Asks for a milestone to be funded. */
export function fund(app: App, token: string, milestoneId: string): Promise<Answer> {
  return call(app, "POST", `/milestones/${milestoneId}/fund`, { token });
}

export type Fixture = { account: string; contract: string; milestone: string; token: string };

/** The payee of a fixture's contract, whole, as the operator sets them. */
export const MARIA = {
  userId: "freelancer-1",
  displayName: "Maria G.",
  country: "Spain",
  profilePath: "/profile/maria-g",
};

export type FixtureOptions = {
  claimed?: boolean;
  features?: Record<string, boolean>;
  card?: boolean;
  scopes?: readonly string[];
};

/** An account of the test's own with a contract, a milestone, a card and a token: everything can be funded. */
export async function createFixture(app: App, options: FixtureOptions = {}): Promise<Fixture> {
  const {
    claimed = true,
    features = { public_api_payments_write: true },
    card = true,
    scopes = SCOPES,
  } = options;
  const id = newId().slice(-12);
  const fixture = {
    account: `acct-${id}`,
    contract: `contract-${id}`,
    milestone: `milestone-${id}`,
    token: "",
  };
  await operate(app, "PUT", `/accounts/${fixture.account}`, { name: "Acme", claimed, features });
  await operate(app, "PUT", `/accounts/${fixture.account}/contracts/${fixture.contract}`, {
    title: "Street scenes",
    jobId: `job-${id}`,
    paymentType: "FIXED_PRICE",
    freelancer: MARIA,
  });
  await createMilestone(app, fixture, fixture.milestone);
  if (card)
    await operate(app, "POST", `/accounts/${fixture.account}/payment-methods`, {
      paymentMethod: "pm_card_visa",
    });
  const minted = await operate(app, "POST", `/accounts/${fixture.account}/tokens`, {
    name: "Test agent",
    scopes,
  });
  return { ...fixture, token: minted.token };
}

/** One more milestone that can be funded. */
export async function createMilestone(app: App, fixture: Omit<Fixture, "token">, id: string): Promise<void> {
  await operate(app, "PUT", `/accounts/${fixture.account}/milestones/${id}`, {
    contractId: fixture.contract,
    description: "Label 5,000 street scenes",
    amountUsd: 450,
  });
}
