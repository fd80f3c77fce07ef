import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { SCOPES } from "../../src/lib/scopes.ts";
import { bytesOf, expectRefusal } from "../http/expectations.ts";
import { digestRows, endTokens, hoursBefore } from "../http/rows.ts";
import { type Answer, call, createFixture, type Fixture, operate } from "../support/fixtures.ts";
import { OPERATOR_KEY, PUBLIC_URL, startService } from "../support/service.ts";

const { app, db } = await startService();
const API = "/api/public/v1/tokens";
const HOUR = 3_600_000;

const mint = (token: string, body?: unknown, headers?: Record<string, string>) =>
  call(app, "POST", API, { token, body, ...(headers === undefined ? {} : { headers }) });
const revoke = (token: string, id: string) => call(app, "DELETE", `${API}/${id}`, { token });
const list = async (token: string) => (await call(app, "GET", API, { token })).body.tokens;
const works = async (token: string) =>
  (await call(app, "GET", "/api/public/v1/auth/me", { token })).status === 200;
const inHours = (hours: number) => new Date(Date.now() + hours * HOUR).toISOString();

/** Mints by the operator. */
async function give(
  { account }: Fixture,
  body: Record<string, unknown>,
): Promise<{ token: string; id: string }> {
  const made = await operate(app, "POST", `/accounts/${account}/tokens`, { name: "Given", ...body });
  return { token: made.token, id: made.metadata.id };
}

/** Mints by a token; it must succeed. */
async function mintedBy(token: string, body: unknown = {}): Promise<{ token: string; id: string }> {
  const answer = await mint(token, body);
  expect(answer.status, answer.text).toBe(201);
  return { token: answer.body.token, id: answer.body.metadata.id };
}

/** Tokens of the account that were made so long ago and revoked a minute later. */
async function addEnded(
  { account }: Fixture,
  count: number,
  { mintedBy = null, hoursAgo }: { mintedBy?: string | null; hoursAgo: number },
): Promise<void> {
  await sql`
    insert into tokens (account_id, id, name, digest, preview, scopes, minted_by, created_at, revoked_at)
    select ${accountKey(account)}::uuid, gen_random_uuid(), 'Ended', sha256(gen_random_uuid()::text::bytea), 'ot_pat_', '{}',
      ${mintedBy}::uuid, made, made + interval '1 minute'
    from generate_series(1, ${count}::integer) n, lateral (select now() - make_interval(hours => ${hoursAgo}) as made) m`.execute(
    db,
  );
}

describe("POST /tokens", () => {
  test("mints a token that works, and shows its secret this once", async () => {
    const fixture = await createFixture(app);
    const expiresAt = inHours(5);
    const answer = await mint(fixture.token, { name: "Reporting", scopes: ["payments:read"], expiresAt });
    expect(answer.status).toBe(201);
    expect(answer.body).toStrictEqual({
      token: expect.stringMatching(/^ot_pat_[A-Za-z0-9_-]{65}$/),
      tokenType: "bearer",
      metadata: {
        id: expect.any(String),
        name: "Reporting",
        preview: expect.stringMatching(/^ot_pat_.{4}\*{8}.{4}$/),
        scopes: ["payments:read"],
        status: "active",
        organizationId: fixture.account,
        createdAt: expect.any(String),
        lastUsedAt: null,
        expiresAt,
        revokedAt: null,
      },
    });
    const me = await call(app, "GET", "/api/public/v1/auth/me", { token: answer.body.token });
    expect(me.body.token).toMatchObject({ id: answer.body.metadata.id, scopes: ["payments:read"] });
    const shown = JSON.stringify(await list(fixture.token));
    expect(shown).toContain(answer.body.metadata.id);
    expect(shown).not.toContain(answer.body.token.slice("ot_pat_".length + 4, -4));
  });

  test("without a body, or with an empty one, mints a token like the calling one", async () => {
    const fixture = await createFixture(app, { scopes: ["jobs:read", "payments:write"], claimed: false });
    for (const body of [undefined, {}]) {
      const { metadata } = (await mint(fixture.token, body)).body;
      expect(metadata).toMatchObject({
        name: "API token",
        scopes: ["jobs:read", "payments:write"],
        expiresAt: null,
      });
    }
  });

  test("never gives a scope that the calling token lacks; `:write` covers its `:read`", async () => {
    const fixture = await createFixture(app, { scopes: ["payments:write", "jobs:read"] });
    await mintedBy(fixture.token, { scopes: ["payments:read", "jobs:read"] });
    const before = await digestRows(db);
    for (const scope of SCOPES.filter((s) => !["payments:write", "payments:read", "jobs:read"].includes(s))) {
      expectRefusal(await mint(fixture.token, { scopes: ["jobs:read", scope] }), 403, "FORBIDDEN", {
        requiredScopes: [scope],
        grantedScopes: ["payments:write", "jobs:read"],
        tokensUrl: `${PUBLIC_URL}/settings/keys`,
      });
    }
    expect(await digestRows(db)).toEqual(before);
  });

  test("never gives one that outlives the calling token", async () => {
    const fixture = await createFixture(app);
    const expiresAt = inHours(2);
    const short = await give(fixture, { scopes: ["jobs:read"], expiresAt });
    expect((await mint(short.token)).body.metadata.expiresAt).toBe(expiresAt);
    expect((await mint(short.token, { expiresAt })).body.metadata.expiresAt).toBe(expiresAt);
    expect((await mint(short.token, { expiresAt: inHours(1) })).status).toBe(201);
    const later = await mint(short.token, { expiresAt: inHours(3) });
    expectRefusal(later, 400, "BAD_REQUEST", { field: "expiresAt", latest: expiresAt });
  });

  test.each<[string, unknown, string]>([
    ["an unknown key", { role: "owner" }, "role"],
    ["an empty name", { name: "" }, "name"],
    ["a long name", { name: "x".repeat(121) }, "name"],
    ["a name of another type", { name: 1 }, "name"],
    ["a scope twice", { scopes: ["jobs:read", "jobs:read"] }, "scopes"],
    ["scopes that are no list", { scopes: "jobs:read" }, "scopes"],
    ["an expiry that has passed", { expiresAt: "2020-01-01T00:00:00Z" }, "expiresAt"],
    ["an expiry that is no time", { expiresAt: "soon" }, "expiresAt"],
    ["a leap second", { expiresAt: "2036-12-31T23:59:60Z" }, "expiresAt"],
    ["what is the year 10000 in UTC", { expiresAt: "9999-12-31T23:59:59-23:59" }, "expiresAt"],
    ["no expiry as null", { expiresAt: null }, "expiresAt"],
  ])("refuses %s with 400, and mints nothing", async (_name, body, field) => {
    const { token } = await createFixture(app);
    const before = await digestRows(db);
    expectRefusal(await mint(token, body), 400, "BAD_REQUEST", { field });
    expect(await digestRows(db)).toEqual(before);
  });

  test("names each unknown scope, and those that there are", async () => {
    const { token } = await createFixture(app);
    const answer = await mint(token, { scopes: ["payments:admin", "jobs:read", "all"] });
    const unknownScopes = ["payments:admin", "all"];
    expectRefusal(answer, 400, "BAD_REQUEST", { field: "scopes", unknownScopes, supportedScopes: SCOPES });
  });

  test("keeps to 20 active ones that tokens minted, however many ask at once; a revoked one makes room", async () => {
    const fixture = await createFixture(app);
    const second = await give(fixture, { scopes: ["jobs:read"] });
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => mint(i % 2 === 0 ? fixture.token : second.token)),
    );
    const statuses = Object.groupBy(answers, ({ status }) => String(status));
    expect([statuses["201"]?.length, statuses["409"]?.length]).toEqual([20, 20]);
    const reason = { reason: "token_limit_reached", limit: 20 };
    expectRefusal(statuses["409"]?.[0] as Answer, 409, "CONFLICT", reason);
    const made = await list(fixture.token);
    const ofFirst = made.find(
      ({ name, scopes }: { name: string; scopes: string[] }) => name === "API token" && scopes.length > 1,
    );
    await revoke(fixture.token, ofFirst.id);
    expect((await mint(fixture.token)).status).toBe(201);
    expect((await mint(fixture.token)).status).toBe(409);
  });

  test("leaves people and the operator the rest of the 25", async () => {
    const fixture = await createFixture(app);
    for (let i = 0; i < 20; i++) await mintedBy(fixture.token);
    for (let i = 0; i < 4; i++) await give(fixture, { scopes: [] });
    const path = `/api/operator/v1/accounts/${fixture.account}/tokens`;
    const beyond = await call(app, "POST", path, {
      token: OPERATOR_KEY,
      body: { name: "One more", scopes: [] },
    });
    expectRefusal(beyond, 409, "CONFLICT", { reason: "token_limit_reached", limit: 25 });
  });

  test("takes an empty body that says it is JSON, as none of it is required", async () => {
    const { token } = await createFixture(app);
    expect((await mint(token, "")).status).toBe(201);
    expectRefusal(await mint(token, "{"), 400, "BAD_REQUEST");
  });

  test("keeps to 2,000 that an account's tokens mint in 24 hours, and says when there is room", async () => {
    const fixture = await createFixture(app);
    const { id } = await mintedBy(fixture.token);
    await addEnded(fixture, 1_999, { mintedBy: id, hoursAgo: 20 });
    const refused = await mint(fixture.token);
    expectRefusal(refused, 429, "RATE_LIMITED", { retryAfterSeconds: expect.any(Number) });
    expect(refused.body.details.retryAfterSeconds / 3_600).toBeCloseTo(4, 1);
    await operate(app, "POST", `/accounts/${fixture.account}/tokens`, { name: "Operator's", scopes: [] });
    await sql`update tokens set created_at = ${hoursBefore("created_at", 5)} where minted_by = ${id}`.execute(
      db,
    );
    expect((await mint(fixture.token)).status).toBe(201);
  });
});

describe("DELETE /tokens/{tokenId}", () => {
  test("ends a token at once, answers it, and answers the same again", async () => {
    const fixture = await createFixture(app);
    const { token, id } = await mintedBy(fixture.token);
    expect(await works(token)).toBe(true);
    const answer = await revoke(fixture.token, id);
    expect(answer.status).toBe(200);
    expect(answer.body.token).toMatchObject({ id, status: "revoked", revokedAt: expect.any(String) });
    expect(await works(token)).toBe(false);
    expect((await revoke(fixture.token, id)).text).toBe(answer.text);
    expect((await list(fixture.token)).find((one: { id: string }) => one.id === id)).toEqual(
      answer.body.token,
    );
  });

  test("ends all that it has minted, however far down, and nothing else", async () => {
    const fixture = await createFixture(app);
    const root = await mintedBy(fixture.token);
    const child = await mintedBy(root.token);
    const grandchild = await mintedBy(child.token, { scopes: ["jobs:read"] });
    const sibling = await mintedBy(fixture.token);
    const other = await createFixture(app);
    await revoke(fixture.token, root.id);
    for (const { token } of [root, child, grandchild]) expect(await works(token)).toBe(false);
    for (const { token } of [fixture, sibling, other]) expect(await works(token)).toBe(true);
  });

  test("lets a token end itself", async () => {
    const fixture = await createFixture(app);
    const own = await mintedBy(fixture.token, { scopes: [] });
    expect((await revoke(own.token, own.id)).status).toBe(200);
    expect(await works(own.token)).toBe(false);
  });

  test("does not let a token end one whose scopes it does not cover", async () => {
    const fixture = await createFixture(app, { scopes: ["payments:write"] });
    const narrow = await mintedBy(fixture.token, { scopes: ["payments:read"] });
    const { id: sibling } = await mintedBy(fixture.token);
    const before = await digestRows(db);
    expectRefusal(await revoke(narrow.token, sibling), 403, "FORBIDDEN", {
      requiredScopes: ["payments:write"],
      grantedScopes: ["payments:read"],
      tokensUrl: `${PUBLIC_URL}/settings/keys`,
    });
    expect(await digestRows(db)).toEqual(before);
  });

  test("answers another account's token as it answers an unknown one, byte for byte", async () => {
    const [mine, theirs] = [await createFixture(app), await createFixture(app)];
    const { id } = await give(theirs, { scopes: [] });
    const unknown = newId();
    const nothing = await revoke(mine.token, unknown);
    expectRefusal(nothing, 404, "NOT_FOUND", { tokenId: unknown });
    expect(bytesOf(await revoke(mine.token, id), id)).toBe(bytesOf(nothing, unknown));
  });

  test("and a mint at once never leave a live token behind whose minter is revoked", async () => {
    const fixture = await createFixture(app);
    for (let round = 0; round < 10; round++) {
      const minter = await mintedBy(fixture.token);
      const [, ...minted] = await Promise.all([
        revoke(fixture.token, minter.id),
        ...Array.from({ length: 4 }, () => mint(minter.token)),
      ]);
      for (const { status, body } of minted) {
        if (status === 201) expect(await works(body.token)).toBe(false);
        else expect(status).toBe(401);
      }
    }
    const orphans = await db
      .selectFrom("tokens as t")
      .innerJoin("tokens as m", (join) =>
        join.onRef("m.account_id", "=", "t.account_id").onRef("m.id", "=", "t.minted_by"),
      )
      .where("t.account_id", "=", accountKey(fixture.account))
      .where("t.revoked_at", "is", null)
      .where("m.revoked_at", "is not", null)
      .select("t.id")
      .execute();
    expect(orphans).toEqual([]);
  });
});

describe("GET /tokens", () => {
  test("lists those of the account, newest first, ended ones too, and of no other", async () => {
    const fixture = await createFixture(app);
    const stranger = await createFixture(app);
    const first = await mintedBy(fixture.token);
    const second = await mintedBy(fixture.token);
    await revoke(fixture.token, first.id);
    const tokens = await list(second.token);
    expect(tokens.map(({ status }: { status: string }) => status)).toEqual(["active", "revoked", "active"]);
    expect(tokens.slice(0, 2).map(({ id }: { id: string }) => id)).toEqual([second.id, first.id]);
    expect(await list(stranger.token)).toHaveLength(1);
  });

  test("shows every one that lives and the 100 that ended last", async () => {
    const fixture = await createFixture(app);
    await addEnded(fixture, 150, { hoursAgo: 3 });
    const { id } = await mintedBy(fixture.token);
    await revoke(fixture.token, id);
    const tokens: { id: string; status: string; revokedAt: string }[] = await list(fixture.token);
    expect(tokens).toHaveLength(101);
    expect(tokens.filter(({ status }) => status === "active")).toHaveLength(1);
    expect(tokens.map((token) => token.id)).toContain(id);
  });

  test("says of one that has expired that it has", async () => {
    const fixture = await createFixture(app);
    await endTokens(db, fixture, "expired");
    const { token } = await give(fixture, { scopes: [] });
    expect((await list(token)).map(({ status }: { status: string }) => status)).toEqual([
      "active",
      "expired",
    ]);
  });
});

describe("an Idempotency-Key", () => {
  test("is refused with 400 wherever an answer could hold a secret", async () => {
    const { token } = await createFixture(app);
    const headers = { "idempotency-key": "k-1" };
    const { id } = await mintedBy(token);
    const before = await digestRows(db);
    const field = { field: "Idempotency-Key" };
    expectRefusal(await mint(token, {}, headers), 400, "BAD_REQUEST", field);
    for (const [method, url] of [
      ["GET", API],
      ["DELETE", `${API}/${id}`],
    ] as const) {
      expectRefusal(await call(app, method, url, { token, headers }), 400, "BAD_REQUEST", field);
    }
    expect(await digestRows(db)).toEqual(before);
  });
});
