import { describe, expect, test } from "vitest";
import { loosensPolicy, type Policy, readPolicy } from "../../src/accounts/policy-service.ts";
import { listAudit } from "../../src/audit/service.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { type Answer, createFixture, type Fixture, operate } from "../support/fixtures.ts";
import {
  createHuman,
  type HumanFixture,
  hiddenValue,
  landing,
  open,
  PASSWORD,
  refusalOf,
  submit,
} from "../support/humans.ts";
import { mailsTo } from "../support/mails.ts";
import { givePasskey, userIdOf } from "../support/passkeys.ts";
import { startService } from "../support/service.ts";

const service = await startService();
const { app, db } = service;
const POLICY = "/settings/policy";

const STRICT: Policy = {
  coSign: "passkey",
  amountTypedFromCents: 10_000,
  secondSignerFromCents: 50_000,
  billing: "card",
};

type Team = Fixture & { owner: HumanFixture; approver: HumanFixture; viewer: HumanFixture };

async function begin(account: Record<string, unknown> = {}): Promise<Team> {
  const fixture = await createFixture(app);
  const approver = await createHuman(app, fixture.account, "approver");
  const viewer = await createHuman(app, fixture.account, "viewer");
  const owner = await createHuman(app, fixture.account);
  if (Object.keys(account).length > 0) await operate(app, "PUT", `/accounts/${fixture.account}`, account);
  return { ...fixture, owner, approver, viewer };
}

const policyOf = ({ account }: Fixture) => readPolicy(db, accountKey(account));

/** The form as the page has it, with other values. */
async function fieldsOf(who: HumanFixture, fields: Record<string, string> = {}) {
  const page = await open(app, POLICY, who);
  const names = ["account_id", "shown", "form_token"];
  const hidden = Object.fromEntries(names.map((name) => [name, hiddenValue(page, POLICY, name)]));
  const { coSign, amountTypedFromCents, secondSignerFromCents, billing } = JSON.parse(
    (hidden.shown ?? "").replaceAll("&quot;", '"'),
  ) as Policy;
  const dollars = (cents: number | null) => (cents === null ? "" : String(cents / 100));
  return {
    ...hidden,
    shown: (hidden.shown ?? "").replaceAll("&quot;", '"'),
    co_sign: coSign,
    typed_from: dollars(amountTypedFromCents),
    second_from: dollars(secondSignerFromCents),
    billing,
    ...fields,
  };
}

async function change(who: HumanFixture, fields: Record<string, string>): Promise<Answer> {
  return submit(app, POLICY, await fieldsOf(who, fields), who);
}

async function decide(who: HumanFixture, decision: "agree" | "refuse"): Promise<Answer> {
  const page = await open(app, POLICY, who);
  const [path = ""] = /\/settings\/changes\/[0-9a-f-]+\/[0-9a-f-]+/.exec(page.text) ?? [];
  return submit(app, path, { form_token: hiddenValue(page, path), decision }, who);
}

async function auditOf({ account }: Fixture, action: string) {
  const { entries } = await listAudit(db, accountKey(account), {});
  return entries.filter((entry) => entry.action === action);
}

describe("the policy page", () => {
  test("an owner tightens every value at once, which is audited and mailed to all owners", async () => {
    const team = await begin();
    const other = await createHuman(app, team.account, "viewer");
    await db.updateTable("members").set({ role: "owner" }).where("id", "=", other.memberId).execute();
    await givePasskey(db, await userIdOf(db, other.email));
    const sent = await change(team.owner, {
      co_sign: "passkey",
      typed_from: "$250.00",
      second_from: "5,000",
      billing: "credits_first",
    });
    expect(sent.headers.location).toBe(`${POLICY}?said=changed`);
    const after: Policy = {
      coSign: "passkey",
      amountTypedFromCents: 25_000,
      secondSignerFromCents: 500_000,
      billing: "credits_first",
    };
    expect(await policyOf(team)).toEqual(after);
    expect(await auditOf(team, "policy_changed")).toMatchObject([
      { before: { coSign: "session", secondSignerFromCents: null }, after },
    ]);
    for (const { email } of [team.owner, other]) {
      const mail = (await mailsTo(db, email)).at(-1);
      expect(mail?.subject).toContain("the policy of");
      expect(mail?.body).toContain("Second person from: never → $5,000.00 USD");
      expect(mail?.body).toContain("Confirm with: passkey or password → passkey only");
    }
    expect((await mailsTo(db, team.approver.email)).some(({ subject }) => subject.includes("policy"))).toBe(
      false,
    );
  });

  test("approvers and viewers read the policy and who can change it, and cannot change it", async () => {
    const team = await begin({ secondSignerFromUsd: 700 });
    for (const who of [team.approver, team.viewer]) {
      const { text } = await open(app, POLICY, who);
      for (const said of ["$700.00 USD", "$1,000.00 USD", "Passkey or password", team.owner.email])
        expect(text).toContain(said);
      expect(text).not.toContain(`action="${POLICY}"`);
    }
    const fields = await fieldsOf(team.owner, { typed_from: "1" });
    expect((await submit(app, POLICY, fields, team.approver)).status).toBe(403);
    expect(await policyOf(team)).toMatchObject({ amountTypedFromCents: null });
  });

  test.each([
    [{ typed_from: "1000.01" }, "Enter $1,000.00 USD or less"],
    [{ typed_from: "1.000" }, "Enter an amount such as"],
    [{ second_from: "0.49" }, "Enter an amount such as"],
    [{ second_from: "many" }, "Enter an amount such as"],
    [{ co_sign: "passkey" }, "No owner of the account has an active passkey"],
  ])("%j is refused at its field, and what was typed stays", async (fields, message) => {
    const team = await begin();
    const before = await policyOf(team);
    const answer = await landing(app, await change(team.owner, fields), team.owner);
    expect(answer.text).toContain(message);
    for (const value of Object.values(fields)) expect(answer.text).toContain(`value="${value}"`);
    expect(await policyOf(team)).toEqual(before);
  });

  test("a page that shows an earlier policy changes nothing and shows the present one", async () => {
    const team = await begin();
    const stale = await fieldsOf(team.owner, { typed_from: "1" });
    await operate(app, "PUT", `/accounts/${team.account}`, { secondSignerFromUsd: 321 });
    const answer = await landing(app, await submit(app, POLICY, stale, team.owner), team.owner);
    expect(answer.text).toContain("Someone else changed the policy");
    expect(answer.text).toContain('value="321.00"');
    expect(await policyOf(team)).toMatchObject({ amountTypedFromCents: null });
  });

  test.each([
    ["older than 5 minutes", -600_000],
    ["from the future, as the database's clock was set back", 3_600_000],
  ])("a proof %s is renewed by the password, and a wrong one changes nothing", async (_, age) => {
    const team = await begin();
    await db
      .updateTable("auth.sessions")
      .set({ proved_at: new Date(Date.now() + age) })
      .where("user_id", "=", await userIdOf(db, team.owner.email))
      .execute();
    const billing = { billing: "credits_first" };
    expect(refusalOf(await change(team.owner, billing))).toBeDefined();
    expect(refusalOf(await change(team.owner, { ...billing, password: "wrong" }))).toBeDefined();
    expect((await policyOf(team)).billing).toBe("card");
    expect((await change(team.owner, { ...billing, password: PASSWORD })).headers.location).toContain(
      "changed",
    );
  });

  test("an owner who is the only one to confirm cannot ask for a second person", async () => {
    const fixture = await createFixture(app);
    const owner = await createHuman(app, fixture.account);
    const answer = await change(owner, { second_from: "100" });
    expect(refusalOf(answer)).toContain("Invite another owner or approver first");
  });
});

describe("where two people sign large payments", () => {
  const LOOSER = [{ second_from: "" }, { second_from: "1000" }, { typed_from: "" }, { co_sign: "session" }];

  test.each(LOOSER)("%j takes effect only once a second person agrees", async (fields) => {
    const team = await begin({ secondSignerFromUsd: 500 });
    const signs = "co_sign" in fields;
    const accountId = accountKey(team.account);
    const values = signs ? { co_sign: "passkey" as const } : { amount_typed_from_cents: 10_000 };
    await db.updateTable("accounts").set(values).where("account_id", "=", accountId).execute();
    const before = await policyOf(team);
    const people = [team.owner, team.approver];
    const passkeys = signs
      ? await Promise.all(people.map(async ({ email }) => givePasskey(db, await userIdOf(db, email))))
      : [];
    const asked = await fieldsOf(team.owner, fields);
    const credential = async (path: string, sent: Record<string, string>, who: number) => {
      if (!signs) return {};
      const { body } = await submit(app, `${path}/sign`, sent, people[who]);
      return { credential: JSON.stringify(passkeys[who]?.assert(body.challenge)) };
    };
    const sent = { ...asked, ...(await credential(POLICY, asked, 0)) };
    expect((await submit(app, POLICY, sent, team.owner)).headers.location).toBe(`${POLICY}?said=second`);
    expect(await policyOf(team)).toEqual(before);
    const told = (await mailsTo(db, team.approver.email)).at(-1);
    expect(told?.subject).toContain("needs a second person");
    expect(told?.body).toContain(POLICY);
    expect((await open(app, "/settings/members", team.approver)).text).not.toContain("/settings/changes/");
    expect((await decide(team.owner, "agree")).status).toBe(403);

    const page = await open(app, POLICY, team.approver);
    const [path = ""] = /\/settings\/changes\/[0-9a-f-]+\/[0-9a-f-]+/.exec(page.text) ?? [];
    const form = { form_token: hiddenValue(page, path), decision: "agree" };
    const agreed = { ...form, ...(await credential(path, form, 1)) };
    expect((await submit(app, path, agreed, team.approver)).headers.location).toBe(
      `${POLICY}?said=change_agreed`,
    );
    expect(loosensPolicy(before, await policyOf(team))).toBe(true);
    expect(await auditOf(team, "policy_changed")).toMatchObject([{ before }]);
  });

  test("tightening takes effect at once", async () => {
    const team = await begin({ secondSignerFromUsd: 500 });
    const sent = await change(team.owner, { second_from: "499.99", typed_from: "10" });
    expect(sent.headers.location).toContain("changed");
    expect(await policyOf(team)).toMatchObject({
      secondSignerFromCents: 49_999,
      amountTypedFromCents: 1_000,
    });
  });

  test("a change that was asked for under an earlier policy is not carried out", async () => {
    const team = await begin({ secondSignerFromUsd: 500 });
    await change(team.owner, { second_from: "" });
    await operate(app, "PUT", `/accounts/${team.account}`, { secondSignerFromUsd: 400 });
    expect(refusalOf(await decide(team.approver, "agree"))).toBeDefined();
    expect(await policyOf(team)).toMatchObject({ secondSignerFromCents: 40_000 });
  });

  test("nobody loosens it while the account is frozen or no second person is there", async () => {
    const frozen = await begin({ secondSignerFromUsd: 500, frozen: true });
    expect(refusalOf(await change(frozen.owner, { second_from: "" }))).toBeDefined();
    expect((await change(frozen.owner, { second_from: "100" })).headers.location).toContain("changed");
    const fixture = await createFixture(app);
    const owner = await createHuman(app, fixture.account);
    await operate(app, "PUT", `/accounts/${fixture.account}`, { secondSignerFromUsd: 500 });
    expect(refusalOf(await change(owner, { second_from: "" }))).toBeDefined();
  });
});

describe("where passkeys only confirm", () => {
  test("a password alone changes no policy, and a passkey's signature over the change does", async () => {
    const team = await begin();
    const userId = await userIdOf(db, team.owner.email);
    await db
      .updateTable("accounts")
      .set({ co_sign: "passkey" })
      .where("account_id", "=", accountKey(team.account))
      .execute();
    const page = await open(app, POLICY, team.owner);
    expect(page.text).toContain("an active passkey must sign");
    const passkey = await givePasskey(db, userId);
    const fields = await fieldsOf(team.owner, { co_sign: "session" });
    expect(refusalOf(await submit(app, POLICY, fields, team.owner))).toBeDefined();
    await db.deleteFrom("auth.passkeys").where("user_id", "=", userId).execute();
    expect(refusalOf(await submit(app, POLICY, fields, team.owner))).toBeDefined();
    expect(await policyOf(team)).toMatchObject({ coSign: "passkey" });
    expect(passkey).toBeDefined();
  });
});

test("a policy is looser when any one of its rules is, whatever the others are", () => {
  const looser: Partial<Policy>[] = [
    { coSign: "session" },
    { amountTypedFromCents: 10_001 },
    { amountTypedFromCents: null },
    { secondSignerFromCents: 50_001 },
    { secondSignerFromCents: null },
  ];
  for (const one of looser) {
    expect(loosensPolicy(STRICT, { ...STRICT, ...one })).toBe(true);
    const to = { ...STRICT, amountTypedFromCents: 0, secondSignerFromCents: 1, ...one };
    expect(loosensPolicy(STRICT, to)).toBe(true);
    expect(loosensPolicy({ ...STRICT, ...one }, STRICT)).toBe(false);
  }
  expect(loosensPolicy(STRICT, { ...STRICT, billing: "credits_first" })).toBe(false);
});
