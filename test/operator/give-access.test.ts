import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { SCOPES } from "../../src/lib/scopes.ts";
import { ask, expectRefusal } from "../http/expectations.ts";
import { call, createFixture, operate } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const { app, db } = await startService();

async function createAccount(): Promise<string> {
  const id = `acct-${crypto.randomUUID()}`;
  await operate(app, "PUT", `/accounts/${id}`, { name: "Acme" });
  return id;
}

describe("POST /accounts/{id}/tokens", () => {
  const mint = (id: string, body: object) => ask(app, "POST", `/accounts/${id}/tokens`, body);
  const list = async (id: string) => (await operate(app, "GET", `/accounts/${id}/tokens`)).tokens;

  test("mints a token that works, and shows its secret this once", async () => {
    const id = await createAccount();
    const expiresAt = "2099-01-01T00:00:00.000Z";
    const { status, body, text } = await mint(id, { name: "Agent 7", scopes: ["payments:read"], expiresAt });
    expect(status).toBe(201);
    expect(body.token).toMatch(/^ot_pat_[A-Za-z0-9_-]{65}$/);
    const secret = body.token.slice("ot_pat_".length);
    expect(body).toStrictEqual({
      token: body.token,
      tokenType: "bearer",
      metadata: {
        id: body.metadata.id,
        name: "Agent 7",
        preview: `ot_pat_${secret.slice(0, 4)}********${secret.slice(39, 43)}`,
        scopes: ["payments:read"],
        status: "active",
        organizationId: id,
        createdAt: body.metadata.createdAt,
        lastUsedAt: null,
        expiresAt,
        revokedAt: null,
      },
    });
    const me = await call(app, "GET", "/api/public/v1/auth/me", { token: body.token });
    expect(me.body.token).toMatchObject({ id: body.metadata.id, label: "Agent 7" });

    expect(await list(id)).toEqual([body.metadata]);
    expect((await ask(app, "GET", `/accounts/${id}/tokens`)).text).not.toContain(secret.slice(4, 39));
    expect(text.split(secret)).toHaveLength(2);
    const { rows } = await sql<{ row: string }>`select t::text as row from tokens t`.execute(db);
    for (const { row } of rows) expect(row).not.toContain(secret.slice(4, 39));
  });

  test("keeps to 25 active ones, however many ask at once; those that have ended do not count", async () => {
    const id = await createAccount();
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, i) => mint(id, { name: `T${i}`, scopes: [] })),
    );
    const refused = answers.filter(({ status }) => status !== 201);
    expect(refused).toHaveLength(5);
    for (const answer of refused) {
      expectRefusal(answer, 409, "CONFLICT", { reason: "token_limit_reached", limit: 25 });
    }
    const [revoked, expired] = await list(id);
    await sql`update tokens set revoked_at = now() where id = ${revoked.id}`.execute(db);
    await sql`
      update tokens set created_at = now() - interval '1 day', expires_at = now() where id = ${expired.id}`.execute(
      db,
    );
    const statuses = (await list(id)).map(({ status }: { status: string }) => status);
    expect(statuses.filter((status: string) => status === "active")).toHaveLength(23);
    expect(statuses).toEqual(expect.arrayContaining(["revoked", "expired"]));
    for (const status of [201, 201, 409]) {
      expect((await mint(id, { name: "One more", scopes: [] })).status).toBe(status);
    }
  });

  test("takes every scope there is", async () => {
    const id = await createAccount();
    expect((await mint(id, { name: "All", scopes: SCOPES })).body.metadata.scopes).toEqual(SCOPES);
  });

  test("refuses unknown keys and every bad value, and mints nothing", async () => {
    const id = await createAccount();
    const bad: [object, string][] = [
      [{ name: undefined }, "name"],
      [{ name: "" }, "name"],
      [{ name: "x".repeat(201) }, "name"],
      [{ scopes: undefined }, "scopes"],
      [{ scopes: "payments:read" }, "scopes"],
      [{ scopes: ["payments:read", "payments:read"] }, "scopes"],
      [{ scopes: ["payments:read", "payments:decide"] }, "scopes.1"],
      [{ scopes: [null] }, "scopes.0"],
      [{ expiresAt: "tomorrow" }, "expiresAt"],
      [{ expiresAt: "2099-01-01" }, "expiresAt"],
      [{ expiresAt: "2099-02-30T00:00:00Z" }, "expiresAt"],
      [{ expiresAt: "2020-01-01T00:00:00Z" }, "expiresAt"],
      [{ expiresAt: "2098-12-31T23:59:60Z" }, "expiresAt"],
      [{ expiresAt: "2099-01-01T00:00:00+23" }, "expiresAt"],
      [{ expiresAt: 4_070_908_800_000 }, "expiresAt"],
      [{ expiresAt: null }, "expiresAt"],
      [{ mintedBy: "me" }, "mintedBy"],
    ];
    for (const [change, field] of bad) {
      const answer = await mint(id, { name: "Agent", scopes: ["payments:read"], ...change });
      expectRefusal(answer, 400, "BAD_REQUEST", { field });
    }
    expect(await list(id)).toEqual([]);
    const nobody = await mint("nobody", { name: "Agent", scopes: [] });
    expectRefusal(nobody, 404, "NOT_FOUND", { resource: "accounts", accountId: "nobody" });
  });
});

describe("DELETE /accounts/{id}/tokens/{tokenId}", () => {
  test("revokes the token and its descendants at once, answers it, and does so again; unknown ones are 404", async () => {
    const { account, token } = await createFixture(app);
    const owner = await createHuman(app, account);
    const minted = await call(app, "POST", "/api/public/v1/tokens", { token, body: { name: "Child" } });
    const me = (bearer: string) => call(app, "GET", "/api/public/v1/auth/me", { token: bearer });
    const { id } = (await me(token)).body.token;
    const answer = await ask(app, "DELETE", `/accounts/${account}/tokens/${id}`);
    expect([answer.status, answer.body.token]).toMatchObject([200, { id, status: "revoked" }]);
    for (const bearer of [token, minted.body.token]) expect((await me(bearer)).status).toBe(401);
    expect((await ask(app, "DELETE", `/accounts/${account}/tokens/${id}`)).body).toEqual(answer.body);
    const mails = await db.selectFrom("mails").where("recipient", "=", owner.email).select("body").execute();
    expect(mails.filter(({ body }) => body?.includes("2 in all"))).toHaveLength(1);
    const other = await createAccount();
    for (const [where, tokenId] of [
      [other, id],
      [account, "none"],
    ] as const) {
      const nothing = await ask(app, "DELETE", `/accounts/${where}/tokens/${tokenId}`);
      expectRefusal(nothing, 404, "NOT_FOUND", { resource: "tokens", tokenId });
    }
  });
});

describe("POST /accounts/{id}/members", () => {
  const invite = (id: string, body: object) => ask(app, "POST", `/accounts/${id}/members`, body);
  const maria = { email: "Maria@Example.COM", name: "María", role: "owner" };
  const list = async (id: string) => (await operate(app, "GET", `/accounts/${id}/members`)).members;
  const invitations = (id: string) =>
    db.selectFrom("invitations").where("account_id", "=", accountKey(id)).selectAll().orderBy("id").execute();

  test.each(["owner", "approver", "viewer"])("invites a person as %s, with a link", async (role) => {
    const id = await createAccount();
    const { status, body } = await invite(id, { ...maria, role });
    expect(status).toBe(201);
    expect(body).toStrictEqual({
      member: {
        id: body.member.id,
        email: "maria@example.com",
        name: "María",
        role,
        status: "invited",
        pendingUpgrade: null,
        createdAt: body.member.createdAt,
      },
      inviteUrl: body.inviteUrl,
    });
    expect(body.inviteUrl).toMatch(new RegExp(`^${PUBLIC_URL}/invite\\?token=ot_inv_[A-Za-z0-9_-]{65}$`));
    expect(await list(id)).toEqual([body.member]);
  });

  test("makes the link good for 24 hours, keeps its digest alone, and opening it uses nothing up", async () => {
    const id = await createAccount();
    const { inviteUrl } = (await invite(id, maria)).body;
    await call(app, "GET", inviteUrl.slice(PUBLIC_URL.length), { headers: { accept: "text/html" } });
    const [invitation] = await invitations(id);
    expect(invitation?.used_at).toBeNull();
    expect(invitation?.digest).toHaveLength(32);
    expect(Number(invitation?.expires_at) - Number(invitation?.created_at)).toBe(24 * 60 * 60 * 1000);
  });

  test("twice leaves one member, with the new name and role, and one link that is good: the new one", async () => {
    const id = await createAccount();
    const first = (await invite(id, maria)).body;
    const second = (await invite(id, { email: "maria@example.com", name: "Maria G.", role: "viewer" })).body;
    expect(second.member).toEqual({ ...first.member, name: "Maria G.", role: "viewer" });
    expect(second.inviteUrl).not.toBe(first.inviteUrl);
    expect(await list(id)).toEqual([second.member]);
    expect((await invitations(id)).map(({ used_at }) => used_at !== null)).toEqual([true, false]);
  });

  test("at once leaves one member and one good link, too", async () => {
    const id = await createAccount();
    const answers = await Promise.all(Array.from({ length: 5 }, () => invite(id, maria)));
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201]);
    expect(await list(id)).toHaveLength(1);
    expect((await invitations(id)).filter(({ used_at }) => used_at === null)).toHaveLength(1);
  });

  test("leaves a person who has accepted to the account's owners", async () => {
    const id = await createAccount();
    const { member } = (await invite(id, maria)).body;
    await sql`update members set status = 'active', user_id = 'user-1' where id = ${member.id}`.execute(db);
    const refused = await invite(id, { ...maria, role: "viewer" });
    expectRefusal(refused, 409, "CONFLICT", { reason: "member_active", memberId: member.id });
    expect(await list(id)).toEqual([{ ...member, status: "active" }]);
  });

  test("does not mix up accounts that one person belongs to", async () => {
    const [one, other] = [await createAccount(), await createAccount()];
    const [a, b] = [(await invite(one, maria)).body, (await invite(other, maria)).body];
    expect(a.member.id).not.toBe(b.member.id);
    expect(await list(one)).toEqual([a.member]);
  });

  test("refuses unknown keys and every bad value, and sends no invitation", async () => {
    const id = await createAccount();
    const bad: [object, string][] = [
      [{ email: undefined }, "email"],
      [{ email: "" }, "email"],
      [{ email: "maria" }, "email"],
      [{ email: "maria@" }, "email"],
      [{ email: "a@example.com, b@example.com" }, "email"],
      [{ email: "maria@example.com\n" }, "email"],
      [{ email: `${"x".repeat(250)}@example.com` }, "email"],
      [{ name: undefined }, "name"],
      [{ name: "" }, "name"],
      [{ name: "x".repeat(201) }, "name"],
      [{ role: undefined }, "role"],
      [{ role: "admin" }, "role"],
      [{ role: "OWNER" }, "role"],
      [{ status: "active" }, "status"],
      [{ userId: "user-1" }, "userId"],
    ];
    for (const [change, field] of bad) {
      expectRefusal(await invite(id, { ...maria, ...change }), 400, "BAD_REQUEST", { field });
    }
    expect(await list(id)).toEqual([]);
  });
});
