import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { addressBucket, forgetOldWindows, RateLimits } from "../../src/http/rate-limits.ts";
import { call, createFixture, fund, operate } from "../support/fixtures.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";
import { expectRefusal } from "./expectations.ts";

const { app, db, config, limits } = await startService({ RATE_LIMIT_PER_MINUTE: "3", TRUST_PROXY: "1" });
const other = await startService({ RATE_LIMIT_PER_MINUTE: "3", TRUST_PROXY: "1" }, config.databaseUrl);

const MINUTE = 60_000;
const NOON = Date.parse("2026-11-23T12:00:00.000Z");
/** Twenty seconds into a minute, so that no test runs into its end. */
const START = NOON + 20_000;

// Only the process's clock is faked: the windows are its own.
beforeEach(() => void vi.useFakeTimers({ toFake: ["Date"], now: START }));
afterEach(() => void vi.useRealTimers());

/** One address for each number. */
const from = (caller: number) => ({ headers: { "x-forwarded-for": `192.0.2.${caller}` } });

describe("a token", () => {
  test("may be used so often a minute, is told what is left, and is then refused with 429", async () => {
    const { token, milestone } = await createFixture(app);
    const answers = [
      await fund(app, token, milestone),
      await call(app, "GET", "/updates", { token }),
      await call(app, "GET", "/api/public/v1/auth/me", { token }),
    ];
    for (const [i, { status, headers }] of answers.entries()) {
      expect(status).toBeLessThan(300);
      expect(headers["ratelimit-policy"]).toBe('"token";q=3;w=60');
      expect(headers.ratelimit).toBe(`"token";r=${2 - i};t=40`);
      expect(headers["retry-after"]).toBeUndefined();
    }
    const refused = await fund(app, token, milestone);
    expectRefusal(refused, 429, "RATE_LIMITED", { retryAfterSeconds: 40 });
    expect(refused.headers).toMatchObject({
      "ratelimit-policy": '"token";q=3;w=60',
      ratelimit: '"token";r=0;t=40',
      "retry-after": "40",
    });
  });

  test("is let in again when the minute is over", async () => {
    const { token } = await createFixture(app);
    for (let i = 0; i < 4; i++) await call(app, "GET", "/updates", { token });
    vi.setSystemTime(NOON + MINUTE - 1);
    expectRefusal(await call(app, "GET", "/updates", { token }), 429, "RATE_LIMITED", {
      retryAfterSeconds: 1,
    });
    vi.setSystemTime(NOON + MINUTE);
    expect((await call(app, "GET", "/updates", { token })).status).toBe(200);
  });

  test("has an allowance of its own, also within one account", async () => {
    const { account, token } = await createFixture(app);
    for (let i = 0; i < 4; i++) await call(app, "GET", "/updates", { token });
    const sister = await operate(app, "POST", `/accounts/${account}/tokens`, {
      name: "Sister",
      scopes: ["payments:read"],
    });
    expect((await call(app, "GET", "/updates", { token: sister.token })).status).toBe(200);
  });

  test("shares its allowance with all that it minted, however far down, and whichever of them live", async () => {
    const { account, token } = await createFixture(app);
    const mint = async (by: string) =>
      (await call(app, "POST", "/api/public/v1/tokens", { token: by, body: {} })).body;
    const child = await mint(token);
    const grandchild = await mint(child.token);
    await call(app, "DELETE", `/api/public/v1/tokens/${grandchild.metadata.id}`, { token: child.token });
    for (const of of [token, child.token])
      expectRefusal(await call(app, "GET", "/updates", { token: of }), 429, "RATE_LIMITED", {
        retryAfterSeconds: 40,
      });
    const sister = await operate(app, "POST", `/accounts/${account}/tokens`, { name: "Sister", scopes: [] });
    expect((await call(app, "GET", "/api/public/v1/auth/me", { token: sister.token })).status).toBe(200);
    vi.setSystemTime(START + MINUTE);
    const later = [await mint(child.token), await mint(token), await mint(child.token)].map(
      (minted) => minted.token,
    );
    for (const of of later) expect((await call(app, "GET", "/updates", { token: of })).status).toBe(429);
  });

  test("uses its allowance up with refused calls too", async () => {
    const { token } = await createFixture(app, { scopes: ["jobs:read"] });
    for (let i = 0; i < 3; i++) expect((await call(app, "GET", "/updates", { token })).status).toBe(403);
    expect((await call(app, "GET", "/updates", { token })).status).toBe(429);
  });
});

describe("an address", () => {
  test("that sent 120 bad tokens in a minute is refused before any token of its is looked up", async () => {
    const { token } = await createFixture(app);
    for (let i = 0; i < 120; i++) {
      const answer = await call(app, "GET", "/updates", { ...from(1), token: `${token.slice(0, -2)}--` });
      expect(answer.status).toBe(401);
    }
    const refused = await call(app, "GET", "/updates", { ...from(1), token });
    expectRefusal(refused, 429, "RATE_LIMITED", { retryAfterSeconds: 40 });
    expect(refused.headers).toMatchObject({
      "ratelimit-policy": '"address";q=120;w=60',
      ratelimit: '"address";r=0;t=40',
      "retry-after": "40",
    });
    expect((await call(app, "GET", "/updates", { ...from(2), token })).status).toBe(200);
    vi.setSystemTime(NOON + MINUTE);
    expect((await call(app, "GET", "/updates", { ...from(1), token })).status).toBe(200);
  });

  test("that sends no token at all is told so however often, and its failures count", async () => {
    const { token } = await createFixture(app);
    for (let i = 0; i < 130; i++) expect((await call(app, "GET", "/updates", from(3))).status).toBe(401);
    expect((await call(app, "GET", "/updates", { ...from(3), token })).status).toBe(429);
  });

  test("may not go on guessing the operator's key either", async () => {
    const url = "/api/operator/v1/accounts/a";
    for (let i = 0; i < 120; i++) {
      expect((await call(app, "GET", url, { ...from(4), token: "guess" })).status).toBe(401);
    }
    const refused = await call(app, "GET", url, { ...from(4), token: OPERATOR_KEY });
    expectRefusal(refused, 429, "RATE_LIMITED", { retryAfterSeconds: 40 });
  });

  test("is never refused health, pages and what describes the API", async () => {
    for (let i = 0; i < 121; i++) await call(app, "GET", "/updates", from(5));
    for (const url of ["/livez", "/readyz", "/claim", "/.well-known/oauth-protected-resource"]) {
      const { status, headers } = await call(app, "GET", url, from(5));
      expect([status, headers.ratelimit], url).toEqual([200, undefined]);
    }
  });

  test("is one of IPv4, written either way, or 64 bits of IPv6", () => {
    const same = (one: string, another: string) => addressBucket(one) === addressBucket(another);
    expect(same("192.0.2.1", "::ffff:192.0.2.1")).toBe(true);
    expect(same("192.0.2.1", "192.0.2.2")).toBe(false);
    expect(same("2001:db8:0:1::1", "2001:db8:0:1:ffff::2")).toBe(true);
    expect(same("2001:db8:0:1::1", "2001:db8:0:2::1")).toBe(false);
    expect(addressBucket("nonsense")).toBe("address:unknown");
  });
});

describe("several processes", () => {
  test("share what they have counted, so that a token cannot spend its allowance in each", async () => {
    const { token } = await createFixture(app);
    for (let i = 0; i < 3; i++) await call(app, "GET", "/updates", { token });
    await limits.share(db);
    expect((await call(other.app, "GET", "/updates", { token })).status).toBe(200);
    await other.limits.share(db);
    expect((await call(other.app, "GET", "/updates", { token })).status).toBe(429);
  });

  test("count every hit once, however often and however much at once they share", async () => {
    const processes = Array.from({ length: 3 }, () => new RateLimits());
    const bucket = "token:every-hit-once";
    for (let round = 0; round < 4; round++) {
      for (const process of processes) process.hit(bucket, 100);
      await Promise.all(processes.map((process) => process.share(db)));
    }
    for (const process of processes) process.hit(bucket, 100);
    for (const process of processes) await process.share(db);
    expect(processes.at(-1)?.look(bucket, 100).remaining).toBe(100 - 15 - 1);
    const row = await db
      .selectFrom("rate_windows")
      .where("bucket", "=", bucket)
      .selectAll()
      .executeTakeFirstOrThrow();
    expect(row).toEqual({ bucket, window_start: new Date(NOON), hits: 15 });
  });

  test("lose nothing of what is counted while they share, or when the database is away", async () => {
    const limits = new RateLimits();
    const bucket = "token:while-sharing";
    limits.hit(bucket, 10);
    const sharing = limits.share(db);
    limits.hit(bucket, 10);
    await sharing;
    expect(limits.look(bucket, 10).remaining).toBe(10 - 2 - 1);

    const away = await startService({}, "postgres://nobody@127.0.0.1:1/nothing");
    await expect(limits.share(away.db)).rejects.toThrow();
    await limits.share(db);
    const { hits } = await db
      .selectFrom("rate_windows")
      .where("bucket", "=", bucket)
      .select("hits")
      .executeTakeFirstOrThrow();
    expect(hits).toBe(2);
  });

  test("begin each minute anew, and forget windows that are past", async () => {
    const limits = new RateLimits();
    const bucket = "token:minutes";
    expect(limits.hit(bucket, 1).allowed).toBe(true);
    expect(limits.hit(bucket, 1).allowed).toBe(false);
    await limits.share(db);
    vi.setSystemTime(START + MINUTE);
    expect(limits.look(bucket, 1).allowed).toBe(true);
    expect(limits.hit(bucket, 1)).toEqual({ allowed: true, limit: 1, remaining: 0, resetSeconds: 40 });
    await limits.share(db);

    const windows = () => db.selectFrom("rate_windows").where("bucket", "=", bucket).selectAll().execute();
    expect(await windows()).toHaveLength(2);
    await forgetOldWindows(db, START + 3 * MINUTE);
    expect((await windows()).map(({ hits }) => hits)).toEqual([1]);
  });
});
