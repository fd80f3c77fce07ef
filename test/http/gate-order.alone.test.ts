import { afterAll, describe, expect, test, vi } from "vitest";
import { newId } from "../../src/lib/ids.ts";
import { type Answer, call, createFixture, type Fixture, operate } from "../support/fixtures.ts";
import { startService } from "../support/service.ts";
import { endTokens } from "./rows.ts";

const { app, db, config } = await startService();
// With one request a minute, and a process's clock that stands, so that no minute ends within a test.
const hurried = await startService({ RATE_LIMIT_PER_MINUTE: "1" }, config.databaseUrl);
vi.useFakeTimers({ toFake: ["Date"] });
afterAll(() => void vi.useRealTimers());

/** What a request is refused for, in the order of docs/contract.md §0. */
const GATES = [
  "bearer",
  "unreadable",
  "token",
  "rate",
  "scope",
  "feature",
  "claim",
  "field",
  "existence",
  "state",
] as const;
type Gate = (typeof GATES)[number];

const UNREADABLE = { malformed: "{", tooLarge: " ".repeat(1025) };

/** Sends a fund request that fails every one of `faults`, and no other gate. */
async function fail(faults: readonly Gate[], unreadable = UNREADABLE.malformed): Promise<Answer> {
  const fixture = await createFixture(app, {
    claimed: !faults.includes("claim"),
    features: { public_api_payments_write: !faults.includes("feature") },
    scopes: faults.includes("scope") ? ["jobs:read"] : ["payments:write"],
    card: !faults.includes("state"),
  });
  const milestone = faults.includes("existence") ? await findForeign(faults) : fixture.milestone;
  const target = faults.includes("rate") ? hurried.app : app;
  if (faults.includes("rate")) await call(target, "GET", "/updates", { token: fixture.token });
  if (faults.includes("token")) await endTokens(db, fixture, "revoked");
  const body = faults.includes("unreadable") ? unreadable : faults.includes("field") ? { a: 1 } : undefined;
  const token = faults.includes("bearer") ? `${fixture.token}x` : fixture.token;
  return call(target, "POST", `/milestones/${milestone}/fund`, { token, body });
}

/** Another account's milestone, in a state that would be refused if it were the caller's own. */
async function findForeign(faults: readonly Gate[]): Promise<string> {
  if (!faults.includes("state")) return newId();
  const theirs: Fixture = await createFixture(app);
  await operate(app, "POST", `/accounts/${theirs.account}/milestones/${theirs.milestone}/cancel`);
  return theirs.milestone;
}

/** Which gate an answer comes from; an answer that fits none names none. */
function gateOf({ status, body }: Answer): Gate | "bearer or token" | undefined {
  const details = body.details ?? {};
  if (status === 401) return "bearer or token";
  if (status === 413) return "unreadable";
  if (status === 400) return details.field === undefined ? "unreadable" : "field";
  if (status === 429) return details.retryAfterSeconds > 0 ? "rate" : undefined;
  if (status === 404) return "existence";
  if (status === 409) return "state";
  if (status !== 403) return undefined;
  if (details.requiredScopes !== undefined) return "scope";
  return details.featureKey !== undefined ? "feature" : "claim";
}

const shown = (gate: Gate) => (gate === "bearer" || gate === "token" ? "bearer or token" : gate);

describe("the gates of a fund request", () => {
  test.each(GATES)("%s: refuses by itself", async (gate) => {
    expect(gateOf(await fail([gate]))).toBe(shown(gate));
  });

  test.each(GATES.slice(1).map((later, i) => [GATES[i] ?? later, later] as const))(
    "%s answers before %s",
    async (earlier, later) => {
      expect(gateOf(await fail([earlier, later]))).toBe(shown(earlier));
    },
  );

  test("a body that is too large is refused where a malformed one is", async () => {
    expect((await fail(["bearer", "unreadable"], UNREADABLE.tooLarge)).status).toBe(401);
    expect((await fail(["unreadable", "token"], UNREADABLE.tooLarge)).status).toBe(413);
  });

  test("a token that is refused does not count against the rate of any token", async () => {
    const fixture = await createFixture(app);
    await endTokens(db, fixture, "expired");
    for (let i = 0; i < 3; i++) {
      const answer = await call(hurried.app, "GET", "/updates", { token: fixture.token });
      expect(answer.status).toBe(401);
    }
  });
});

describe("the gates of the other calls", () => {
  test("GET /updates and GET /contracts: the scope is asked before a bad query", async () => {
    const { token } = await createFixture(app, { scopes: ["jobs:read"] });
    for (const url of ["/updates?limit=0", "/api/public/v1/contracts?status=gone"]) {
      expect((await call(app, "GET", url, { token })).status).toBe(403);
    }
    const reader = await createFixture(app, { scopes: ["payments:read"] });
    for (const url of ["/updates?limit=0", "/api/public/v1/contracts?status=gone"]) {
      expect((await call(app, "GET", url, { token: reader.token })).status).toBe(400);
    }
  });

  test("the operator's key is asked before the body is read", async () => {
    const url = "/api/operator/v1/accounts/nobody";
    for (const body of ["{", " ".repeat(70_000)]) {
      expect((await call(app, "PUT", url, { token: "x".repeat(40), body })).status).toBe(401);
    }
  });
});
