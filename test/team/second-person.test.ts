import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { listAudit } from "../../src/audit/service.ts";
import type { MemberRole } from "../../src/database/schema.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { type Answer, createFixture, type Fixture, operate } from "../support/fixtures.ts";
import {
  createHuman,
  type HumanFixture,
  hiddenValue,
  invite,
  newEmail,
  open,
  refusalOf,
  submit,
} from "../support/humans.ts";
import { mailsTo } from "../support/mails.ts";
import { ownerOf } from "../support/owner.ts";
import { givePasskey, SECURITY, userIdOf } from "../support/passkeys.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();
const MEMBERS = "/settings/members";
const WAITS = `${MEMBERS}?said=second`;

type Team = Fixture & { owner: HumanFixture; viewer: HumanFixture };

async function createTeam(): Promise<Team> {
  const fixture = await createFixture(app);
  const viewer = await createHuman(app, fixture.account, "viewer");
  const owner = await createHuman(app, fixture.account);
  return { ...fixture, owner, viewer };
}

const requireTwo = ({ account }: Fixture) =>
  operate(app, "PUT", `/accounts/${account}`, { secondSignerFromUsd: 1_000 });

/** An account in which two people must agree, with an approver beside the owner. */
async function createTwo(): Promise<Team & { approver: HumanFixture }> {
  const fixture = await createFixture(app);
  const approver = await createHuman(app, fixture.account, "approver");
  const viewer = await createHuman(app, fixture.account, "viewer");
  const owner = await createHuman(app, fixture.account);
  await requireTwo(fixture);
  return { ...fixture, owner, viewer, approver };
}

async function membersOf({ account }: Fixture): Promise<{ id: string; email: string; role: string }[]> {
  return (await operate(app, "GET", `/accounts/${account}/members`)).members;
}

const roleOf = async (team: Team, { memberId }: HumanFixture) =>
  (await membersOf(team)).find(({ id }) => id === memberId)?.role;

async function sendInvite(owner: HumanFixture, email: string, role: MemberRole): Promise<Answer> {
  const page = await open(app, MEMBERS, owner);
  const path = `${MEMBERS}/invite`;
  const fields = { account_id: hiddenValue(page, path, "account_id"), form_token: hiddenValue(page, path) };
  return submit(app, path, { ...fields, email, name: "Bob Builder", role }, owner);
}

async function giveRole(owner: HumanFixture, { memberId }: HumanFixture, role: MemberRole): Promise<Answer> {
  const path = `${MEMBERS}/${memberId}/role`;
  const page = await open(app, `${MEMBERS}/${memberId}`, owner);
  const fields = { form_token: hiddenValue(page, path), shown: hiddenValue(page, path, "shown") };
  return submit(app, path, { ...fields, role }, owner);
}

/** The path and form of the pending change, from this person's page. */
async function pendingForm(who: HumanFixture) {
  const page = await open(app, MEMBERS, who);
  const [path] = /\/settings\/changes\/[0-9a-f-]+\/[0-9a-f-]+/.exec(page.text) ?? [];
  return path === undefined ? undefined : { page, path, form_token: hiddenValue(page, path) };
}

async function decide(who: HumanFixture, decision: "agree" | "refuse"): Promise<Answer> {
  const form = await pendingForm(who);
  if (form === undefined) throw new TypeError("nothing waits for them");
  return submit(app, form.path, { form_token: form.form_token, decision }, who);
}

async function auditOf({ account }: Fixture, action: string) {
  const { entries } = await listAudit(db, accountKey(account), {});
  return entries.filter((entry) => entry.action === action);
}

describe("where two people must sign large payments, an owner", () => {
  test("inviting an approver changes nothing until a second person agrees, who sees what is signed", async () => {
    const team = await createTwo();
    const email = newEmail();
    expect((await sendInvite(team.owner, email, "approver")).headers.location).toBe(WAITS);
    expect((await membersOf(team)).some((member) => member.email === email)).toBe(false);
    expect((await mailsTo(db, email)).length).toBe(0);
    const told = (await mailsTo(db, team.approver.email)).at(-1);
    expect(told?.subject).toContain("needs a second person");
    expect(told?.body).toContain("Bob Builder");
    const form = await pendingForm(team.approver);
    for (const shown of ["Bob Builder", email, "approver"]) expect(form?.page.text).toContain(shown);
    expect((await pendingForm(team.viewer))?.path).toBeUndefined();

    expect((await decide(team.approver, "agree")).status).toBe(201);
    expect((await membersOf(team)).find((member) => member.email === email)?.role).toBe("approver");
    const subjects = (await mailsTo(db, team.owner.email)).map(({ subject }) => subject);
    expect(subjects).toContainEqual(expect.stringContaining("was agreed to"));
    expect(await auditOf(team, "change_asked")).toMatchObject([{ after: { email, role: "approver" } }]);
    expect(await auditOf(team, "change_agreed")).toMatchObject([
      { actor: { id: await userIdOf(db, team.approver.email) } },
    ]);
    expect(await pendingForm(team.approver)).toBeUndefined();
  });

  test("raising a role changes nothing until a second person agrees, and the owner cannot agree alone", async () => {
    const team = await createTwo();
    expect((await giveRole(team.owner, team.viewer, "owner")).headers.location).toBe(WAITS);
    expect(await roleOf(team, team.viewer)).toBe("viewer");
    expect((await decide(team.owner, "agree")).status).toBe(403);
    expect(await roleOf(team, team.viewer)).toBe("viewer");
    expect((await decide(team.approver, "agree")).headers.location).toContain("change_agreed");
    expect(await roleOf(team, team.viewer)).toBe("owner");
  });

  test("making a member a viewer, or removing one, needs no second person", async () => {
    const team = await createTwo();
    expect((await giveRole(team.owner, team.approver, "viewer")).headers.location).toContain("said=role");
    expect((await sendInvite(team.owner, newEmail(), "viewer")).status).toBe(201);
  });

  test("a withdrawn or refused change ends without effect", async () => {
    for (const who of ["owner", "approver"] as const) {
      const team = await createTwo();
      await giveRole(team.owner, team.viewer, "approver");
      expect((await decide(team[who], "refuse")).headers.location).toContain("change_refused");
      expect(await roleOf(team, team.viewer)).toBe("viewer");
      expect(await pendingForm(team.approver)).toBeUndefined();
      const [entry] = await auditOf(team, "change_refused");
      expect(entry?.detail).toMatchObject({ outcome: who === "owner" ? "withdrawn" : "refused" });
    }
  });

  test("an owner without a second decider is told to ask the operator, and consents alone", async () => {
    const team = await createTeam();
    await requireTwo(team);
    const refused = await giveRole(team.owner, team.viewer, "approver");
    expect(refusalOf(refused)).toContain("Ask the operator of this service");
    expect(await roleOf(team, team.viewer)).toBe("viewer");
    await operate(app, "PATCH", `/accounts/${team.account}/members/${team.viewer.memberId}`, {
      role: "approver",
    });
    expect((await consentToUpgrade(team.owner)).headers.location).toContain("upgrade_consented");
    expect(await roleOf(team, team.viewer)).toBe("approver");
  });

  test("an owner's consent to the operator's upgrade needs a second person", async () => {
    const team = await createTwo();
    await operate(app, "PATCH", `/accounts/${team.account}/members/${team.viewer.memberId}`, {
      role: "owner",
    });
    expect((await consentToUpgrade(team.owner)).headers.location).toBe(WAITS);
    expect(await roleOf(team, team.viewer)).toBe("viewer");
    await decide(team.approver, "agree");
    expect(await roleOf(team, team.viewer)).toBe("owner");
  });

  test("an owner's consent to the operator's invitation needs a second person", async () => {
    const team = await createTwo();
    const { memberId } = await invite(app, team.account, "approver");
    const path = `${SECURITY}/consent`;
    const page = await open(app, SECURITY, team.owner);
    const names = ["account_id", "invitation_id", "form_token"];
    const fields = Object.fromEntries(names.map((name) => [name, hiddenValue(page, path, name)]));
    const sent = await submit(app, path, { ...fields, role: "approver", decision: "consent" }, team.owner);
    expect(sent.headers.location).toBe(WAITS);
    const consentedAt = async () => {
      const row = db.selectFrom("invitations").where("member_id", "=", memberId).select("consented_at");
      return (await row.executeTakeFirstOrThrow()).consented_at;
    };
    expect(await consentedAt()).toBeNull();
    await decide(team.approver, "agree");
    expect(await consentedAt()).not.toBeNull();
  });
});

describe("a change that waits for a second person", () => {
  test("a pending change expires after three days", async () => {
    const team = await createTwo();
    await giveRole(team.owner, team.viewer, "approver");
    const form = await pendingForm(team.approver);
    await ownerOf(db)
      .transaction()
      .execute(async (trx) => {
        await sql`set local session_replication_role = replica`.execute(trx);
        await sql`
          update pending_changes set asked_at = asked_at - interval '3 days', expires_at = expires_at - interval '3 days'
          where account_id = ${accountKey(team.account)}`.execute(trx);
      });
    const fields = { form_token: form?.form_token ?? "", decision: "agree" };
    const late = await submit(app, form?.path ?? "", fields, team.approver);
    expect(late.headers.location).toContain("change_over");
    expect(await pendingForm(team.approver)).toBeUndefined();
    expect(await roleOf(team, team.viewer)).toBe("viewer");
  });

  test("a pending change ends with its owner's rights, or with the next one of its subject", async () => {
    const team = await createTwo();
    await giveRole(team.owner, team.viewer, "owner");
    const before = await pendingForm(team.approver);
    await giveRole(team.owner, team.viewer, "approver");
    const fields = { form_token: before?.form_token ?? "", decision: "agree" };
    const replaced = await submit(app, before?.path ?? "", fields, team.approver);
    expect(replaced.headers.location).toContain("change_over");
    const other = await createHuman(app, team.account, "viewer");
    await sql`update members set role = 'owner' where id = ${other.memberId}`.execute(db);
    await sql`update members set role = 'approver' where id = ${team.owner.memberId}`.execute(db);
    expect(await pendingForm(team.approver)).toBeUndefined();
  });

  test("viewers cannot agree to a pending change, and no member can while the account is frozen", async () => {
    const team = await createTwo();
    await giveRole(team.owner, team.viewer, "approver");
    const form = await pendingForm(team.approver);
    await operate(app, "PUT", `/accounts/${team.account}`, { frozen: true });
    expect(refusalOf(await decide(team.approver, "agree"))).toBeDefined();
    await operate(app, "PUT", `/accounts/${team.account}`, { frozen: false });
    await sql`update members set role = 'viewer' where id = ${team.approver.memberId}`.execute(db);
    const fields = { form_token: form?.form_token ?? "", decision: "agree" };
    expect((await submit(app, form?.path ?? "", fields, team.approver)).status).toBe(403);
    expect(await roleOf(team, team.viewer)).toBe("viewer");
  });

  test("where passkeys are demanded, both people sign a pending change over one statement", async () => {
    const team = await createTwo();
    const passkeys = {
      owner: await givePasskey(db, await userIdOf(db, team.owner.email)),
      approver: await givePasskey(db, await userIdOf(db, team.approver.email)),
    };
    await operate(app, "PUT", `/accounts/${team.account}`, { coSign: "passkey" });
    const signed = async (who: "owner" | "approver", path: string, fields: Record<string, string>) => {
      const { body } = await submit(app, `${path}/sign`, fields, team[who]);
      const credential = JSON.stringify(passkeys[who].assert(body.challenge));
      return submit(app, path, { ...fields, credential }, team[who]);
    };
    const path = `${MEMBERS}/${team.viewer.memberId}/role`;
    const page = await open(app, `${MEMBERS}/${team.viewer.memberId}`, team.owner);
    const fields = { form_token: hiddenValue(page, path), shown: hiddenValue(page, path, "shown") };
    expect((await signed("owner", path, { ...fields, role: "approver" })).headers.location).toBe(WAITS);
    expect(refusalOf(await decide(team.approver, "agree"))).toBeDefined();
    const form = await pendingForm(team.approver);
    const agreeing = { form_token: form?.form_token ?? "", decision: "agree" };
    const agreed = await signed("approver", form?.path ?? "", agreeing);
    expect(agreed.headers.location).toContain("change_agreed");
    expect(await roleOf(team, team.viewer)).toBe("approver");
    const [asked] = await auditOf(team, "change_asked");
    const [second] = await auditOf(team, "change_agreed");
    expect(second?.detail.statement).toEqual(asked?.detail.statement);
    expect(second?.detail.proof).toMatchObject({ credentialId: passkeys.approver.id });
  });

  test("the database refuses agreement by the person who asked for the change", async () => {
    const team = await createTwo();
    await giveRole(team.owner, team.viewer, "approver");
    await expect(
      sql`update pending_changes set ended_at = now(), ended_by = asked_by, outcome = 'agreed'
        where account_id = ${accountKey(team.account)}`.execute(db),
    ).rejects.toThrow("pending_changes_check");
  });
});

async function consentToUpgrade(owner: HumanFixture): Promise<Answer> {
  const page = await open(app, MEMBERS, owner);
  const [path = ""] = /\/settings\/members\/upgrades\/[0-9a-f-]+\/[0-9a-f-]+/.exec(page.text) ?? [];
  return submit(app, path, { form_token: hiddenValue(page, path), decision: "consent" }, owner);
}
