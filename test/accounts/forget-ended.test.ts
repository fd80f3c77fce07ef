import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { forgetEndedTokens, forgetOldInvitations } from "../../src/accounts/jobs.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { createAgent } from "../support/agents.ts";
import { call, createFixture, type Fixture, fund, operate } from "../support/fixtures.ts";
import { invite } from "../support/humans.ts";
import { startService } from "../support/service.ts";
import { createSubscriber, subscribe } from "../support/webhooks.ts";

const { app, db } = await startService({ TRUST_PROXY: "1" });
const API = "/api/public/v1";

const mint = async (token: string): Promise<{ token: string; id: string }> => {
  const { body } = await call(app, "POST", `${API}/tokens`, { token, body: {} });
  return { token: body.token, id: body.metadata.id };
};
const idOf = async (token: string): Promise<string> =>
  (await call(app, "GET", `${API}/auth/me`, { token })).body.token.id;

/** The ids of the account's tokens. */
const idsOf = async (accountId: string) =>
  (await db.selectFrom("tokens").where("account_id", "=", accountId).select("id").execute()).map(
    ({ id }) => id,
  );

/** Ends all tokens of the account, as if it had been so many days ago. */
async function end(
  accountId: string,
  days: number,
  how: "revoked_at" | "expires_at" = "revoked_at",
): Promise<void> {
  await sql`
    update tokens set created_at = now() - make_interval(days => ${days + 1}),
      ${sql.ref(how)} = now() - make_interval(days => ${days})
    where account_id = ${accountId}`.execute(db);
}

describe("tokens", () => {
  test.each(["revoked_at", "expires_at"] as const)(
    "are deleted 30 days after their end (%s), with their descendants; approvals keep the token's name",
    async (how) => {
      const fixture = await createFixture(app);
      const accountId = accountKey(fixture.account);
      const child = await mint(fixture.token);
      const grandchild = await mint(child.token);
      const { body } = await fund(app, grandchild.token, fixture.milestone);
      await end(accountId, 31, how);
      const { metadata } = await operate(app, "POST", `/accounts/${fixture.account}/tokens`, {
        name: "New",
        scopes: [],
      });

      expect(await forgetEndedTokens(db)).toBe(3);
      expect(await idsOf(accountId)).toEqual([metadata.id]);
      const approval = await db
        .selectFrom("approvals")
        .where("id", "=", body.approval.id)
        .select(["token_id", "token_name"])
        .executeTakeFirst();
      expect(approval).toEqual({ token_id: grandchild.id, token_name: "API token" });
    },
  );

  test("stay while they live, and for 30 days after", async () => {
    const fixture = await createFixture(app);
    const accountId = accountKey(fixture.account);
    const { id } = await mint(fixture.token);
    await end(accountId, 29);
    expect(await forgetEndedTokens(db)).toBe(0);
    await sql`update tokens set revoked_at = null, expires_at = null where account_id = ${accountId}`.execute(
      db,
    );
    expect(await forgetEndedTokens(db)).toBe(0);
    expect(await idsOf(accountId)).toContain(id);
  });

  test("stay for as long as something refers to them, and are swept past", async () => {
    const hooked = await createSubscriber(app);
    await subscribe(app, hooked.token, "https://example.com/hook");
    const keyed = await createFixture(app);
    await call(app, "POST", `${API}/contracts/${keyed.contract}/milestones`, {
      token: keyed.token,
      body: { description: "More", amountUsd: 1 },
      headers: { "idempotency-key": "kept" },
    });
    const agent = await createAgent(app);
    const parent = await createFixture(app);
    const parentId = await idOf(parent.token);
    const child = await mint(parent.token);
    const accountIds = [accountKey(hooked.account), accountKey(keyed.account), agent.accountId];
    for (const accountId of [...accountIds, accountKey(parent.account)]) await end(accountId, 31);
    await sql`update tokens set revoked_at = null where id = ${child.id}`.execute(db);

    expect(await forgetEndedTokens(db)).toBe(0);
    for (const accountId of accountIds) expect(await idsOf(accountId)).toHaveLength(1);
    expect((await idsOf(accountKey(parent.account))).sort()).toEqual([parentId, child.id].sort());

    await sql`delete from idempotency_keys where account_id = ${accountKey(keyed.account)}`.execute(db);
    expect(await forgetEndedTokens(db)).toBe(1);
  });

  test("are referred to by these tables alone: a new one must be added to the sweep", async () => {
    const { rows } = await sql<{ name: string }>`
      select conrelid::regclass::text as name from pg_constraint
      where contype = 'f' and confrelid = 'tokens'::regclass order by 1`.execute(db);
    expect(rows.map(({ name }) => name)).toEqual([
      "agent_registrations",
      "idempotency_keys",
      "tokens",
      "webhooks",
    ]);
  });
});

describe("invitations", () => {
  const open = (fixture: Fixture) =>
    db
      .selectFrom("invitations")
      .where("account_id", "=", accountKey(fixture.account))
      .select(["used_at", "expires_at"])
      .execute();

  test("are deleted 30 days after they were used or expired; the person stays", async () => {
    const fixture = await createFixture(app);
    for (let i = 0; i < 3; i++) await invite(app, fixture.account, "viewer");
    const ids = (
      await db
        .selectFrom("invitations")
        .where("account_id", "=", accountKey(fixture.account))
        .select("id")
        .execute()
    ).map(({ id }) => id);
    await sql`update invitations set created_at = created_at - interval '40 days', expires_at = now() - interval '31 days' where id = ${ids[0]}`.execute(
      db,
    );
    await sql`update invitations set created_at = created_at - interval '40 days', used_at = now() - interval '31 days' where id = ${ids[1]}`.execute(
      db,
    );
    await sql`update invitations set created_at = created_at - interval '40 days', expires_at = now() - interval '29 days' where id = ${ids[2]}`.execute(
      db,
    );
    expect(await forgetOldInvitations(db)).toBe(2);
    expect(await open(fixture)).toHaveLength(1);
    const { members } = await operate(app, "GET", `/accounts/${fixture.account}/members`);
    expect(members).toHaveLength(3);
  });
});
