import { afterAll, describe, expect, test } from "vitest";
import { TokenUses } from "../../src/accounts/token-use-service.ts";
import { createApp } from "../../src/app/app.ts";
import { createLogger } from "../../src/app/logger.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { RateLimits } from "../../src/http/token-rate-limit.ts";
import { expectRefusal } from "../http/expectations.ts";
import { call } from "../support/fixtures.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const NEW_KEY = "new-key-of-the-operator-new-key-of-the-operator";
const OLD_KEY = "old-key-of-the-operator-old-key-of-the-operator";
const { config, db, waiters } = await startService({ OPERATOR_API_KEY: `${NEW_KEY}, ${OLD_KEY}` });

// The same service with a log that can be read.
const lines: Record<string, unknown>[] = [];
const log = { write: (line: string) => void lines.push(JSON.parse(line)) };
const app = await createApp({
  config,
  db,
  limits: new RateLimits(),
  tokenUses: new TokenUses(),
  waiters,
  processor: createSandbox(db, PUBLIC_URL),
  logger: createLogger("info", log),
});
afterAll(() => app.close());

const url = "/api/operator/v1/accounts/acct-1";
const present = (authorization: string) =>
  call(app, "PUT", url, { headers: { authorization }, body: { name: "A" } });

/** What is logged while `work` runs. */
async function logOf(work: () => Promise<unknown>): Promise<Record<string, unknown>[]> {
  const start = lines.length;
  await work();
  return lines.slice(start);
}

describe("the operator's key", () => {
  test("is either of two while they are rotated", async () => {
    for (const key of [NEW_KEY, OLD_KEY]) expect((await present(`Bearer ${key}`)).status).toBeLessThan(300);
  });

  test("is taken whole and as a bearer token, and nothing else is", async () => {
    expect((await present(`bearer  ${NEW_KEY} `)).status).toBeLessThan(300);
    for (const authorization of [
      NEW_KEY,
      `Basic ${NEW_KEY}`,
      "Bearer",
      "Bearer ",
      `Bearer ${NEW_KEY},${OLD_KEY}`,
      `Bearer ${NEW_KEY}, ${OLD_KEY}`,
      `Bearer ${NEW_KEY.slice(0, -1)}`,
      `Bearer ${NEW_KEY}x`,
      `Bearer ${NEW_KEY.toUpperCase()}`,
    ]) {
      const answer = await present(authorization);
      expectRefusal(answer, 401, "UNAUTHORIZED");
      expect(answer.headers["www-authenticate"]).toBe("Bearer");
    }
  });

  test("does not open the agents' API", async () => {
    const answer = await call(app, "GET", "/updates", { token: NEW_KEY });
    expectRefusal(answer, 401, "UNAUTHORIZED");
  });

  test("leaves a line in the log with every use, which says which of the two, and for what", async () => {
    for (const [i, key] of [NEW_KEY, OLD_KEY].entries()) {
      const [use, answered] = await logOf(() => present(`Bearer ${key}`));
      expect(use).toMatchObject({
        msg: "operator key used",
        operatorKey: i + 1,
        route: "/api/operator/v1/accounts/:accountId",
      });
      expect(answered).toMatchObject({ msg: "answered", method: "PUT", status: expect.any(Number) });
      expect(use?.reqId).toBe(answered?.reqId);
    }
  });

  test("and every other secret stays out of the log, those in an answer or an address included", async () => {
    const secrets: string[] = [NEW_KEY, OLD_KEY];
    const logged = await logOf(async () => {
      await present(`Bearer ${NEW_KEY}`);
      await present(`Bearer ${OLD_KEY}x`);
      const operator = { token: NEW_KEY };
      const minted = await call(app, "POST", `${url}/tokens`, {
        ...operator,
        body: { name: "T", scopes: [] },
      });
      const person = { email: "m@example.com", name: "M", role: "owner" };
      const invited = await call(app, "POST", `${url}/members`, { ...operator, body: person });
      const link = new URL(invited.body.inviteUrl);
      secrets.push(minted.body.token, link.searchParams.get("token") ?? "");
      await call(app, "GET", `${link.pathname}${link.search}`);
      await call(app, "GET", "/api/public/v1/auth/me", { token: minted.body.token });
      await call(app, "GET", `/nowhere?token=${minted.body.token}`);
    });
    expect(logged.length).toBeGreaterThan(7);
    expect(secrets.every((secret) => secret.length > 40)).toBe(true);
    for (const secret of secrets) expect(JSON.stringify(logged)).not.toContain(secret);
  });
});
