import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { sweepUpgrades } from "../../src/team/upgrade-service.ts";
import { ask, expectRefusal } from "../http/expectations.ts";
import { call, createFixture, type Fixture, operate } from "../support/fixtures.ts";
import {
  createHuman,
  type HumanFixture,
  hiddenValue,
  invite,
  open,
  PASSWORD,
  refusalOf,
  signIn,
  submit,
} from "../support/humans.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";

const { app, db, config } = await startService();
const MEMBERS = "/settings/members";

type Team = { fixture: Fixture; owner: HumanFixture; viewer: HumanFixture };

async function createTeam(): Promise<Team> {
  const fixture = await createFixture(app);
  const owner = await createHuman(app, fixture.account);
  return { fixture, owner, viewer: await createHuman(app, fixture.account, "viewer") };
}

const at = ({ fixture }: Team, { memberId }: HumanFixture) =>
  `/accounts/${fixture.account}/members/${memberId}`;
const patch = (team: Team, who: HumanFixture, body: unknown) =>
  call(app, "PATCH", `/api/operator/v1${at(team, who)}`, { token: OPERATOR_KEY, body });
const read = async (team: Team, who: HumanFixture) => (await operate(app, "GET", at(team, who))).member;
const sweep = () => sweepUpgrades({ db, config });

/** The owner has not signed in for as many days, and has no session. */
async function letOwnerStayAway({ owner }: Team, days: number): Promise<void> {
  await sql`delete from auth.sessions s using auth.users u where u.id = s.user_id and u.email = ${owner.email}`.execute(
    db,
  );
  await sql`update auth.users set signed_in_at = now() - make_interval(days => ${days}) where email = ${owner.email}`.execute(
    db,
  );
}

/** So many hours go by for everything that the operator has asked for. */
async function letPass({ viewer }: Team, hours: number): Promise<void> {
  const by = sql`make_interval(hours => ${hours})`;
  await sql`
    update member_upgrades set asked_at = asked_at - ${by}, effective_at = effective_at - ${by}, mailed_at = mailed_at - ${by}
    where member_id = ${viewer.memberId} and ended_at is null`.execute(db);
}

const freeze = ({ fixture }: Team, frozen: boolean) =>
  operate(app, "PUT", `/accounts/${fixture.account}`, { frozen });

/** @returns where the answer leads, or why it refuses */
async function decide(who: HumanFixture, decision: string): Promise<string> {
  const page = await open(app, MEMBERS, who);
  const [path = ""] = /\/settings\/members\/upgrades\/[0-9a-f-]+\/[0-9a-f-]+/.exec(page.text) ?? [];
  const fields = { form_token: hiddenValue(page, path), decision };
  const answer = await submit(app, path, fields, who);
  return refusalOf(answer) ?? String(answer.headers.location);
}

const countMails = async ({ email }: HumanFixture, text: string): Promise<number> => {
  const mails = await db.selectFrom("mails").where("recipient", "=", email).select("body").execute();
  return mails.filter(({ body }) => body?.includes(text)).length;
};

describe("PATCH and DELETE /accounts/{id}/members/{memberId}", () => {
  test("a name and less rights count at once, and the owners are mailed", async () => {
    const team = await createTeam();
    const second = await createHuman(app, team.fixture.account, "viewer");
    expect((await patch(team, second, { name: "Jo K." })).body.member).toMatchObject({
      name: "Jo K.",
      role: "viewer",
    });
    await sql`update members set role = 'approver' where id = ${second.memberId}`.execute(db);
    expect((await patch(team, second, { role: "viewer" })).body.member).toMatchObject({ role: "viewer" });
    for (const member of [team.owner, second]) expect(await countMails(member, "is now a viewer")).toBe(1);
    expect((await ask(app, "DELETE", at(team, second))).status).toBe(200);
    for (const member of [team.owner, second])
      expect(await countMails(member, "is no longer a member")).toBe(1);
    expect((await open(app, MEMBERS, second)).text).not.toContain(team.owner.email);
  });

  test("more rights wait for an owner who has signed in lately, and count once they consent", async () => {
    const team = await createTeam();
    const { body } = await patch(team, team.viewer, { role: "approver" });
    expect(body.member).toMatchObject({
      role: "viewer",
      pendingUpgrade: { role: "approver", effectiveAt: null },
    });
    expect(await countMails(team.viewer, "It takes effect once an owner consents.")).toBe(1);
    await letPass(team, 24 * 40);
    await sweep();
    expect(await read(team, team.viewer)).toMatchObject({ role: "viewer" });
    expect(await decide(team.owner, "consent")).toContain("upgrade_consented");
    expect(await read(team, team.viewer)).toMatchObject({ role: "approver", pendingUpgrade: null });
  });

  test("an owner refuses, a viewer does not decide, and the operator withdraws by the present role", async () => {
    const team = await createTeam();
    await patch(team, team.viewer, { role: "owner" });
    expect((await open(app, MEMBERS, team.viewer)).text).not.toContain(`${MEMBERS}/upgrades/`);
    expect(await decide(team.owner, "refuse")).toContain("upgrade_ended");
    expect(await read(team, team.viewer)).toMatchObject({ role: "viewer", pendingUpgrade: null });
    await patch(team, team.viewer, { role: "owner" });
    expect((await patch(team, team.viewer, { role: "viewer" })).body.member.pendingUpgrade).toBeNull();
    await expect(decide(team.owner, "consent")).rejects.toThrow();
  });

  test("with every owner away for 30 days they count after 72 hours, with mail at once and each day", async () => {
    const team = await createTeam();
    await letOwnerStayAway(team, 31);
    const { body } = await patch(team, team.viewer, { role: "owner" });
    const { askedAt, effectiveAt } = body.member.pendingUpgrade;
    expect(Date.parse(effectiveAt) - Date.parse(askedAt)).toBe(72 * 3_600_000);
    for (const [hours, mails] of [
      [0, 1],
      [23, 1],
      [2, 2],
      [24, 3],
    ] as const) {
      await letPass(team, hours);
      await sweep();
      await sweep();
      expect(await read(team, team.viewer)).toMatchObject({ role: "viewer" });
      for (const member of [team.owner, team.viewer])
        expect(await countMails(member, "So it takes effect on")).toBe(mails);
    }
    await letPass(team, 24);
    await sweep();
    expect(await read(team, team.viewer)).toMatchObject({ role: "owner", pendingUpgrade: null });
    // The account is helped: the owner who is gone can be removed now, and could not before.
    expect((await ask(app, "DELETE", at(team, team.owner))).status).toBe(200);
    const last = await ask(app, "DELETE", at(team, team.viewer));
    expectRefusal(last, 409, "CONFLICT", { reason: "last_owner" });
  });

  test("with owners away for 29 days nothing counts by itself", async () => {
    const team = await createTeam();
    await letOwnerStayAway(team, 29);
    expect(
      (await patch(team, team.viewer, { role: "owner" })).body.member.pendingUpgrade.effectiveAt,
    ).toBeNull();
  });

  test("an owner's sign-in ends what would have counted by itself, at the last moment too", async () => {
    const team = await createTeam();
    await letOwnerStayAway(team, 31);
    await patch(team, team.viewer, { role: "owner" });
    await letPass(team, 71);
    expect((await signIn(app, team.owner.email, PASSWORD)).status).toBe(303);
    await letPass(team, 2);
    await sweep();
    expect(await read(team, team.viewer)).toMatchObject({ role: "viewer", pendingUpgrade: null });
    const { outcome } = await db
      .selectFrom("member_upgrades")
      .where("member_id", "=", team.viewer.memberId)
      .select("outcome")
      .executeTakeFirstOrThrow();
    expect(outcome).toBe("owner_signed_in");
  });

  test("the last owner who has signed in lately is neither removed nor downgraded, as no one could consent then", async () => {
    const team = await createTeam();
    const present = await createHuman(app, team.fixture.account, "viewer");
    await sql`update members set role = 'owner' where id = ${present.memberId}`.execute(db);
    await letOwnerStayAway(team, 31);
    const path = `/accounts/${team.fixture.account}/members/${present.memberId}`;
    for (const answer of [await ask(app, "DELETE", path), await patch(team, present, { role: "viewer" })])
      expectRefusal(answer, 409, "CONFLICT", { reason: "last_owner" });
    // A member who is away may be removed.
    expect((await patch(team, team.owner, { role: "viewer" })).status).toBe(200);
  });

  test("any member's objection ends it, and the audit names them", async () => {
    const team = await createTeam();
    const other = await createHuman(app, team.fixture.account, "viewer");
    await letOwnerStayAway(team, 31);
    await patch(team, team.viewer, { role: "owner" });
    expect(await decide(other, "object")).toContain("upgrade_ended");
    await letPass(team, 80);
    await sweep();
    expect(await read(team, team.viewer)).toMatchObject({ role: "viewer", pendingUpgrade: null });
    const { entries } = await operate(app, "GET", `/accounts/${team.fixture.account}/audit`);
    expect(entries[0]).toMatchObject({
      action: "member_upgrade_ended",
      actor: { kind: "person" },
      detail: { role: "owner", outcome: "objected" },
    });
  });

  test("an invitation that gets more rights loses the owner's consent that it had", async () => {
    const team = await createTeam();
    const invited = await invite(app, team.fixture.account, "viewer");
    await sql`
      update invitations set consented_at = now(), consented_by = 'owner' where member_id = ${invited.memberId}`.execute(
      db,
    );
    await patch(team, { ...team.viewer, memberId: invited.memberId }, { role: "owner" });
    const accepted = await submit(app, "/invite", { token: invited.token, password: PASSWORD });
    expect(accepted.status).not.toBe(303);
    const member = await read(team, { ...team.viewer, memberId: invited.memberId });
    expect(member).toMatchObject({ role: "owner", status: "invited" });
  });

  test("a frozen account takes no more rights, and less", async () => {
    const team = await createTeam();
    await operate(app, "PUT", `/accounts/${team.fixture.account}`, { frozen: true });
    const refused = await patch(team, team.viewer, { role: "approver" });
    expectRefusal(refused, 403, "FORBIDDEN", { reason: "account_frozen" });
    expect((await ask(app, "DELETE", at(team, team.viewer))).status).toBe(200);
  });

  test("unknown members and keys are refused", async () => {
    const team = await createTeam();
    const unknown = { ...team.viewer, memberId: crypto.randomUUID() };
    const details = { resource: "members", memberId: unknown.memberId };
    expectRefusal(await patch(team, unknown, { role: "viewer" }), 404, "NOT_FOUND", details);
    expectRefusal(await ask(app, "DELETE", at(team, unknown)), 404, "NOT_FOUND", details);
    for (const [body, field] of [
      [{ role: "admin" }, "role"],
      [{ name: "" }, "name"],
      [{ email: "a@example.com" }, "email"],
    ] as const)
      expectRefusal(await patch(team, team.viewer, body), 400, "BAD_REQUEST", { field });
  });
});

describe("while an account is frozen", () => {
  test("no upgrade that was asked for before takes effect by itself; it does once the account is not", async () => {
    const team = await createTeam();
    await letOwnerStayAway(team, 31);
    await patch(team, team.viewer, { role: "owner" });
    await freeze(team, true);
    await letPass(team, 73);
    await sweep();
    expect(await read(team, team.viewer)).toMatchObject({
      role: "viewer",
      pendingUpgrade: { role: "owner" },
    });
    await freeze(team, false);
    await sweep();
    expect(await read(team, team.viewer)).toMatchObject({ role: "owner", pendingUpgrade: null });
  });

  test("an owner can refuse an upgrade, but neither consent to it nor give more rights", async () => {
    const team = await createTeam();
    await patch(team, team.viewer, { role: "approver" });
    const path = `${MEMBERS}/${team.viewer.memberId}/role`;
    const page = await open(app, `${MEMBERS}/${team.viewer.memberId}`, team.owner);
    const form = { form_token: hiddenValue(page, path), shown: hiddenValue(page, path, "shown") };
    await freeze(team, true);
    expect(await decide(team.owner, "consent")).toContain("has frozen this account");
    const raised = await submit(app, path, { ...form, role: "owner" }, team.owner);
    expect(refusalOf(raised)).toContain("has frozen this account");
    expect(await read(team, team.viewer)).toMatchObject({
      role: "viewer",
      pendingUpgrade: { role: "approver" },
    });
    expect(await decide(team.owner, "refuse")).toContain("upgrade_ended");
    expect(await read(team, team.viewer)).toMatchObject({ role: "viewer", pendingUpgrade: null });
  });
});
