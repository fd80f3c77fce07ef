import { sql } from "kysely";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { forgetKnownCredentials } from "../../src/http/known-credentials.ts";
import { forgetOldWindows, RateLimits } from "../../src/http/token-rate-limit.ts";
import { addressBucket, networkBucket, withoutPort } from "../../src/lib/addresses.ts";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { newSecret, readSecret } from "../../src/lib/secrets.ts";
import { call, createFixture, fund, operate } from "../support/fixtures.ts";
import { invite, PASSWORD, SAME_ORIGIN } from "../support/humans.ts";
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

/** A well-formed token that was never issued. */
const falseToken = () => newSecret("ot_pat_", accountKey("nobody")).value;

/** Uses up what an address may cost in look-ups that find nothing. */
async function exhaust(caller: number, target = app): Promise<void> {
  for (let i = 0; i < 120; i++)
    expect((await call(target, "GET", "/updates", { ...from(caller), token: falseToken() })).status).toBe(
      401,
    );
}

describe("an address", () => {
  test("that sent 120 false tokens in a minute is refused before any unknown token of its is looked up", async () => {
    const { token } = await createFixture(app);
    await exhaust(1);
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

  test("that sends no token, or none that could be one, is told so however often, and nothing counts", async () => {
    const { token } = await createFixture(app);
    const malformed = { ...from(3), token: `${token.slice(0, -2)}` };
    for (let i = 0; i < 130; i++) {
      expect((await call(app, "GET", "/updates", from(3))).status).toBe(401);
      expect((await call(app, "GET", "/updates", malformed)).status).toBe(401);
      expect((await call(app, "POST", "/mcp", { ...from(3), body: {} })).status).toBe(401);
    }
    expect((await call(app, "GET", "/updates", { ...from(3), token })).status).toBe(200);
  });

  test("that guesses the operator's key is refused, and never the right key", async () => {
    const url = "/api/operator/v1/accounts/a";
    const { token } = await createFixture(app);
    for (let i = 0; i < 120; i++) {
      expect((await call(app, "GET", url, { ...from(4), token: "guess" })).status).toBe(401);
    }
    const refused = await call(app, "GET", url, { ...from(4), token: "guess" });
    expectRefusal(refused, 429, "RATE_LIMITED", { retryAfterSeconds: 40 });
    expect((await call(app, "GET", url, { ...from(4), token: OPERATOR_KEY })).status).toBe(404);
    // Nor do wrong keys keep a token out that is new here, nor false tokens the operator.
    expect((await call(app, "GET", "/updates", { ...from(4), token })).status).toBe(200);
    await exhaust(5);
    expect((await call(app, "GET", url, { ...from(5), token: OPERATOR_KEY })).status).toBe(404);
  });

  test("that revokes nothing 120 times may revoke on with a known token alone, and shuts no token out", async () => {
    const { token } = await createFixture(app);
    const revoke = (given: string) =>
      call(app, "POST", "/api/agent/oauth/revoke", {
        headers: { ...from(6).headers, "content-type": "application/x-www-form-urlencoded" },
        body: `token=${given}`,
      });
    for (let i = 0; i < 120; i++) expect((await revoke(falseToken())).status).toBe(200);
    expect((await revoke(falseToken())).status).toBe(429);
    for (const bad of ["nonsense", "ot_pat_x"]) expect((await revoke(bad)).status).toBe(200);
    expect((await call(app, "GET", "/updates", { ...from(6), token })).status).toBe(200);
    expect((await revoke(token)).status).toBe(200);
    expect((await call(app, "GET", "/updates", { ...from(6), token })).status).toBe(401);
  });

  test.each([
    ["/invite", () => newSecret("ot_inv_", accountKey("nobody")).value],
    ["/claim", () => newSecret("ot_cat_", accountKey("nobody")).value],
    ["/reset/new", () => newSecret("ot_rst_", accountKey("nobody")).value.slice(0, 50)],
  ] as const)(
    "that opens 120 made-up links of %s is refused the next, and a malformed one counts for nothing",
    async (path, madeUp) => {
      const caller = { headers: { "x-forwarded-for": `198.51.100.${path.length}`, accept: "text/html" } };
      const openLink = async (secret: string) =>
        (await call(app, "GET", `${path}?token=${secret}`, caller)).status;
      const first = madeUp();
      for (let i = 0; i < 120; i++) {
        expect(await openLink(`${first}x`)).toBe(410);
        expect(await openLink(madeUp())).toBe(410);
      }
      expect(await openLink(first)).toBe(429);
      expect(await openLink(`${first}x`)).toBe(410);
      const form = {
        body: `token=${madeUp()}&password=${PASSWORD}${path === "/claim" ? "&code=123456" : ""}`,
      };
      const headers = {
        ...caller.headers,
        ...SAME_ORIGIN,
        "content-type": "application/x-www-form-urlencoded",
      };
      expect((await call(app, "POST", path, { ...form, headers })).status).toBe(429);
      expect((await call(app, "GET", "/sign-in", caller)).status).toBe(200);
    },
  );

  test("that has opened a good link may go on with it, whatever its neighbours have made up", async () => {
    const { account } = await createFixture(app);
    const { token } = await invite(app, account, "owner");
    const caller = { headers: { "x-forwarded-for": "198.51.100.77", accept: "text/html" } };
    const openLink = async (secret: string) =>
      (await call(app, "GET", `/invite?token=${secret}`, caller)).status;
    expect(await openLink(token)).toBe(200);
    for (let i = 0; i < 120; i++) await openLink(newSecret("ot_inv_", accountKey("nobody")).value);
    expect(await openLink(newSecret("ot_inv_", accountKey("nobody")).value)).toBe(429);
    expect(await openLink(token)).toBe(200);
  });

  test.each(["203.0.113.9:51234", '"203.0.113.9:51234"', "198.51.100.1, 203.0.113.9:1"])(
    "that a proxy writes as %s is counted without its port",
    async (forwarded) => {
      const headers = { "x-forwarded-for": forwarded };
      for (let i = 0; i < 120; i++)
        await call(app, "GET", "/updates", {
          headers: { "x-forwarded-for": `203.0.113.9:${i}` },
          token: falseToken(),
        });
      const { token } = await createFixture(app);
      expect((await call(app, "GET", "/updates", { headers, token })).status).toBe(429);
      const other = { "x-forwarded-for": "203.0.113.10:51234" };
      expect((await call(app, "GET", "/updates", { headers: other, token })).status).toBe(200);
    },
  );

  test("is never refused health, pages and what describes the API", async () => {
    await exhaust(7);
    for (const url of ["/livez", "/readyz", "/claim", "/.well-known/oauth-protected-resource"]) {
      const { status, headers } = await call(app, "GET", url, from(7));
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

  test("is in a network of 256 of IPv4, or a /48 of IPv6", () => {
    const same = (one: string, another: string) => networkBucket(one) === networkBucket(another);
    expect(same("192.0.2.1", "::ffff:192.0.2.255")).toBe(true);
    expect(same("192.0.2.1", "192.0.3.1")).toBe(false);
    expect(same("2001:db8:0:1::1", "2001:db8:0:ffff::1")).toBe(true);
    expect(same("2001:db8:0:1::1", "2001:db8:1:1::1")).toBe(false);
  });

  test.each([
    ["203.0.113.9", "203.0.113.9"],
    ["203.0.113.9:80", "203.0.113.9"],
    [" 203.0.113.9:80 ", "203.0.113.9"],
    ["2001:db8::1", "2001:db8::1"],
    ["[2001:db8::1]", "2001:db8::1"],
    ["[2001:db8::1]:443", "2001:db8::1"],
    ['"[2001:db8::1]:443"', "2001:db8::1"],
    ["fe80::1%eth0", "fe80::1"],
    ["unknown", "unknown"],
  ])("is read from %s", (forwarded, address) => {
    expect(withoutPort(forwarded)).toBe(address);
  });
});

describe("a token that was accepted within the last hour", () => {
  const use = (target: typeof app, caller: number, token: string) =>
    call(target, "GET", "/api/public/v1/auth/me", { ...from(caller), token });

  test("is looked up though a neighbour at its address is over the limit, for the API and for /mcp", async () => {
    const { token } = await createFixture(app);
    expect((await use(app, 20, token)).status).toBe(200);
    vi.setSystemTime(START + 50 * MINUTE);
    await exhaust(20);
    expect((await use(app, 20, token)).status).toBe(200);
    const body = { jsonrpc: "2.0", id: 1, method: "tools/list", params: {} };
    expect((await call(app, "POST", "/mcp", { ...from(20), token, body })).status).not.toBe(429);
    vi.setSystemTime(START + 125 * MINUTE);
    await exhaust(20);
    expect((await use(app, 20, token)).status).toBe(429);
  });

  test("is known to the other processes, and to one that starts 50 minutes later", async () => {
    const { token } = await createFixture(app);
    await use(app, 21, token);
    await limits.share(db);
    await other.limits.share(db);
    await exhaust(21, other.app);
    expect((await use(other.app, 21, token)).status).toBe(200);

    const digest = readSecret("ot_pat_", token)?.digest ?? Buffer.alloc(0);
    const age = async (minutes: number) => {
      await db
        .updateTable("known_credentials")
        .set({ accepted_at: sql`now() - make_interval(mins => ${minutes})` })
        .where("digest", "=", digest)
        .execute();
      const started = new RateLimits();
      await started.share(db);
      return started.known.has(digest);
    };
    expect(await age(50)).toBe(true);
    expect(await age(66)).toBe(false);
    await forgetKnownCredentials(db);
    const rows = await db.selectFrom("known_credentials").where("digest", "=", digest).selectAll().execute();
    expect(rows).toEqual([]);
  });

  test("is known no more once it was revoked and has failed, in this process and, failing there, in others", async () => {
    const { account, token } = await createFixture(app);
    await use(app, 22, token);
    await limits.share(db);
    const { tokens } = await operate(app, "GET", `/accounts/${account}/tokens`);
    await call(app, "DELETE", `/api/public/v1/tokens/${tokens[0].id}`, { ...from(22), token });
    await exhaust(22);
    expect((await use(app, 22, token)).status).toBe(401);
    expect((await use(app, 22, token)).status).toBe(429);
    await limits.share(db);
    expect((await use(app, 22, token)).status).toBe(429);
  });

  test("is written once in five minutes, however often it is used", async () => {
    const known = new RateLimits();
    const digest = Buffer.from(newId().replaceAll("-", "").padEnd(64, "0"), "hex");
    const written = async () => {
      await known.share(db);
      const row = await db
        .selectFrom("known_credentials")
        .where("digest", "=", digest)
        .select("accepted_at")
        .executeTakeFirstOrThrow();
      return row.accepted_at.getTime();
    };
    known.known.accept(digest);
    const first = await written();
    known.known.accept(digest);
    expect(await written()).toBe(first);
    vi.setSystemTime(START + 6 * MINUTE);
    known.known.accept(digest);
    expect(await written()).toBeGreaterThan(first);
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

  test("reset each minute, and delete past windows", async () => {
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
