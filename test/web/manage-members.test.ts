import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { sweepDuePayments } from "../../src/approvals/jobs.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import type { MemberRole } from "../../src/database/schema.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { digestRows } from "../http/rows.ts";
import { decide, letProofAge, putCard } from "../support/approval-scene.ts";
import { auditOf } from "../support/audit.ts";
import { type Answer, call, createFixture, type Fixture, fund, operate } from "../support/fixtures.ts";
import {
  cookieOf,
  createHuman,
  type HumanFixture,
  hiddenValue,
  invite,
  landing,
  newEmail,
  open,
  PASSWORD,
  refusalOf,
  signIn,
  submit,
} from "../support/humans.ts";
import { mailsTo } from "../support/mails.ts";
import { startService } from "../support/service.ts";
import { FEATURES, postMessage, subscribe } from "../support/webhooks.ts";

const service = await startService();
const { app, db, config } = service;
const mailing = await startService({ SMTP_URL: "smtp://127.0.0.1:1" }, config.databaseUrl);

const HERE = "/settings/members";
const INVITE = `${HERE}/invite`;

type Scene = Fixture & HumanFixture;

/** An account with an owner; and with others, who came before there was one and needed no consent. */
async function begin(): Promise<Scene> {
  const fixture = await createFixture(app);
  return { ...fixture, ...(await createHuman(app, fixture.account)) };
}
async function beginWith(role: MemberRole): Promise<{ owner: Scene; other: Scene }> {
  const fixture = await createFixture(app);
  const other = await createHuman(app, fixture.account, role === "owner" ? "approver" : role);
  const owner = { ...fixture, ...(await createHuman(app, fixture.account)) };
  if (role === "owner") await change(owner, other.memberId, "owner");
  return { owner, other: { ...fixture, ...other } };
}

async function inviteForm({ cookie }: HumanFixture, person: Record<string, string> = {}) {
  const page = await open(app, HERE, { cookie });
  const account_id = hiddenValue(page, INVITE, "account_id");
  const form_token = hiddenValue(page, INVITE);
  return { account_id, form_token, email: newEmail(), name: "Bob Builder", role: "approver", ...person };
}

/** Opens the form of a member's page that does `what`; what it returns sends it. */
async function openForm(
  { cookie }: HumanFixture,
  memberId: string,
  what: "role" | "remove",
  fields: Record<string, string> = {},
): Promise<() => Promise<Answer>> {
  const page = await open(app, `${HERE}/${memberId}${what === "remove" ? "/remove" : ""}`, { cookie });
  const hidden = hiddenIn(page, memberId, what);
  return () => submit(app, `${HERE}/${memberId}/${what}`, { ...hidden, ...fields }, { cookie });
}
function hiddenIn(page: Answer, memberId: string, what: "role" | "remove"): Record<string, string> {
  const form = `${HERE}/${memberId}/${what}`;
  const names = what === "role" ? ["form_token", "shown"] : ["form_token"];
  return Object.fromEntries(names.map((name) => [name, hiddenValue(page, form, name)]));
}
const act = async (...form: Parameters<typeof openForm>): Promise<Answer> => (await openForm(...form))();
const change = (scene: HumanFixture, memberId: string, role: string) =>
  act(scene, memberId, "role", { role });

const membersOf = async ({ account }: Fixture) =>
  (await operate(app, "GET", `/accounts/${account}/members`)).members as {
    id: string;
    email: string;
    role: string;
    status: string;
  }[];
const linkIn = ({ text }: Answer): string =>
  /ot_inv_[A-Za-z0-9_-]{65}/.exec(text.replaceAll("&amp;", "&"))?.[0] ?? "";
const isSignedIn = async ({ cookie }: HumanFixture) =>
  (await open(app, "/settings/security", { cookie })).status === 200;
const lastSubject = async (email: string) => (await mailsTo(db, email)).at(-1)?.subject;

const lastEntry = async (email: string) => (await auditOf(db, email)).at(-1);

describe("an owner who invites a person", () => {
  test("is shown the link this once where no mail goes out; it lets them in without another's consent", async () => {
    const { owner, other } = await beginWith("owner");
    const form = await inviteForm(owner);
    const answer = await submit(app, INVITE, form, owner);
    expect([answer.status, answer.headers["cache-control"]]).toEqual([201, "no-store"]);
    const token = linkIn(answer);
    expect((await open(app, HERE, owner)).text).not.toContain(token);
    const accepted = await submit(app, "/invite", { token, password: PASSWORD });
    expect(accepted.status, accepted.text).toBe(303);
    expect(await membersOf(owner)).toContainEqual(
      expect.objectContaining({ email: form.email, role: "approver", status: "active" }),
    );
    expect(await lastSubject(other.email)).toBe("Countersign: a person was invited to “Acme”");
    expect(await lastEntry(owner.email)).toMatchObject({
      action: "member_invited",
      after: { role: "approver" },
    });
  });

  test("is not shown it where mail goes out: only the reader of that mail can accept", async () => {
    const owner = await begin();
    const form = await inviteForm(owner, { email: newEmail().toUpperCase() });
    const answer = await submit(mailing.app, INVITE, form, owner);
    expect([answer.status, answer.headers.location]).toEqual([303, `${HERE}?said=invited`]);
    const [mail] = await mailsTo(db, form.email.toLowerCase());
    expect(mail?.subject).toBe("Countersign: an invitation to “Acme”");
    const [token] = /ot_inv_\S+/.exec(mail?.body ?? "") ?? [];
    expect((await submit(app, "/invite", { token: String(token), password: PASSWORD })).status).toBe(303);
  });

  test("again, ends the link before", async () => {
    const owner = await begin();
    const form = await inviteForm(owner);
    const first = linkIn(await submit(app, INVITE, form, owner));
    const second = linkIn(await submit(app, INVITE, { ...form, role: "viewer" }, owner));
    expect((await submit(app, "/invite", { token: first, password: PASSWORD })).status).toBe(410);
    expect((await submit(app, "/invite", { token: second, password: PASSWORD })).status).toBe(303);
    expect(await membersOf(owner)).toContainEqual(
      expect.objectContaining({ role: "viewer", status: "active" }),
    );
  });

  test("writes no line of their own into the mail, whatever stands in a name", async () => {
    const { owner, other } = await beginWith("owner");
    const form = await inviteForm(owner, { name: "Bob\n\nhttps://evil.example/\n\nBuilder" });
    await submit(mailing.app, INVITE, form, owner);
    const mail = (await mailsTo(db, other.email)).at(-1);
    expect(mail?.body?.split("\n\n")[0]).toContain("“Bob https: //evil. example/ Builder” (");
  });

  test.each<[string, Record<string, string>, string]>([
    ["no e-mail", { email: "" }, "Enter an email address"],
    ["what is no e-mail", { email: "bob" }, "Enter an email address"],
    ["two of them", { email: "a@example.com,b@example.com" }, "Enter an email address"],
    ["letters that mail does not carry", { email: "İ@example.com" }, "Enter an email address"],
    ["no name", { name: " " }, "Enter a name."],
    ["a long name", { name: "x".repeat(101) }, "Use at most 100 characters."],
  ])("is told of %s, and keeps what was typed", async (_what, wrong, message) => {
    const owner = await begin();
    const form = await inviteForm(owner, wrong);
    const before = await digestRows(db);
    const { text } = await landing(app, await submit(app, INVITE, form, owner), owner);
    expect(text).toContain(message);
    expect(text).toContain('<option value="approver" selected>');
    expect(await digestRows(db)).toEqual(before);
  });

  test("is told that the person is in the account already", async () => {
    const { owner, other } = await beginWith("viewer");
    const form = await inviteForm(owner, { email: other.email });
    expect(refusalOf(await submit(app, INVITE, form, owner))).toBe("This person is in the account already.");
  });

  test("can send 20 in 24 hours", async () => {
    const owner = await begin();
    const form = await inviteForm(owner);
    // One was the operator's, to the owner.
    for (let i = 2; i <= 20; i++)
      expect((await submit(app, INVITE, { ...form, email: newEmail() }, owner)).status).toBe(201);
    const { status, text } = await submit(app, INVITE, { ...form, email: newEmail() }, owner);
    expect([status, text.includes("Too many attempts")]).toEqual([429, true]);
    await sql`
      update invitations set created_at = created_at - interval '25 hours', expires_at = expires_at - interval '25 hours'
      where account_id = ${accountKey(owner.account)}`.execute(db);
    expect((await submit(app, INVITE, { ...form, email: newEmail() }, owner)).status).toBe(201);
  });
});

describe("an owner who changes a role", () => {
  test("has it count at once; the member and the other owners are mailed, and a trace stays", async () => {
    const { owner, other } = await beginWith("approver");
    const third = await createHumanByInvite(owner, "owner");
    const answer = await change(owner, other.memberId, "viewer");
    expect([answer.status, answer.headers.location]).toEqual([303, `${HERE}?said=role`]);
    const { body } = await fund(app, owner.token, owner.milestone);
    const decided = decide({ app }, { ...other, path: `/approvals/${body.approval.id}` } as never, "confirm");
    await expect(decided).rejects.toThrow("form_token");
    expect(await lastSubject(other.email)).toBe("Countersign: your role in “Acme” has changed");
    expect(await lastSubject(third.email)).toBe("Countersign: a role in “Acme” has changed");
    expect(await lastEntry(owner.email)).toMatchObject({
      action: "member_role_changed",
      subjectId: other.memberId,
      before: { role: "approver" },
      after: { role: "viewer" },
    });
  });

  test("to the same, changes and mails nothing", async () => {
    const { owner, other } = await beginWith("approver");
    const before = await mailsTo(db, other.email);
    expect((await change(owner, other.memberId, "approver")).status).toBe(303);
    expect(await mailsTo(db, other.email)).toEqual(before);
  });

  test("changes nothing by a page from before another change, though the role is the same again; it says what is", async () => {
    const { owner, other } = await beginWith("viewer");
    const stale = { ...(await tokenOf(owner, other.memberId, "role")), role: "owner" };
    const path = `${HERE}/${other.memberId}/role`;
    await change(owner, other.memberId, "approver");
    const roleNow = async () => (await membersOf(owner)).find(({ id }) => id === other.memberId)?.role;
    for (const role of ["approver", "viewer"]) {
      if (role === "viewer") await change(owner, other.memberId, role);
      const { text } = await landing(app, await submit(app, path, stale, owner), owner);
      expect(await roleNow()).toBe(role);
      expect(text).toContain("Someone else changed this member’s role");
      expect(text).toMatch(new RegExp(`value="${role}" selected`));
    }
    // Nor by one with forged hidden fields.
    const { shown } = await tokenOf(owner, other.memberId, "role");
    expect((await submit(app, path, { ...stale, shown: String(shown) }, owner)).status).toBe(403);
    expect((await change(owner, other.memberId, "owner")).status).toBe(303);
  });

  test("may give their own role up, once there is another owner", async () => {
    const { owner, other } = await beginWith("approver");
    const alone = await change(owner, owner.memberId, "viewer");
    expect(refusalOf(alone)).toContain("An account needs at least one owner.");
    await change(owner, other.memberId, "owner");
    expect((await change(owner, owner.memberId, "viewer")).status).toBe(303);
    expect((await open(app, `${HERE}/${other.memberId}`, owner)).status).toBe(403);
  });
});

describe("an owner who removes a member", () => {
  test("lets them stay signed in, see and do nothing of the account any more, and be mailed", async () => {
    const { owner, other } = await beginWith("approver");
    const elsewhere = { ...other, cookie: cookieOf(await signIn(app, other.email)) };
    const answer = await act(owner, other.memberId, "remove");
    expect([answer.status, answer.headers.location]).toEqual([303, `${HERE}?said=removed`]);
    for (const session of [other, elsewhere]) {
      expect(await isSignedIn(session)).toBe(true);
      for (const path of [HERE, "/approvals", "/billing"])
        expect((await open(app, path, session)).text).not.toContain("Acme");
    }
    expect(await lastSubject(other.email)).toBe("Countersign: you are no longer in “Acme”");
    expect(await lastEntry(owner.email)).toMatchObject({
      action: "member_removed",
      subjectId: other.memberId,
      before: { role: "approver" },
      detail: { keysEnded: 0, webhooksEnded: 0 },
    });
    expect((await membersOf(owner)).map(({ email }) => email)).toEqual([owner.email]);
  });

  test.each([
    ["ends", "yes"],
    ["keeps", undefined],
  ])("%s the keys that they have made, as the form says", async (_what, revoke_keys) => {
    const { owner, other } = await beginWith("approver");
    const token = await makeKey(other);
    const { body: child } = await call(app, "POST", "/api/public/v1/tokens", { token });
    const page = await open(app, `${HERE}/${other.memberId}/remove`, owner);
    expect(page.text).toMatch(/name="revoke_keys" value="yes" checked/);
    expect(page.text).toContain("Made by hand");
    await act(owner, other.memberId, "remove", revoke_keys === undefined ? {} : { revoke_keys });
    const expected = revoke_keys === undefined ? 200 : 401;
    for (const one of [token, child.token])
      expect((await call(app, "GET", "/api/public/v1/auth/me", { token: one })).status).toBe(expected);
    expect((await call(app, "GET", "/api/public/v1/auth/me", owner)).status).toBe(200);
  });

  test.each([
    ["deletes", "yes"],
    ["keeps", undefined],
  ])(
    "%s the webhooks that they have made, by hand and with their keys, as the form says",
    async (_what, said) => {
      const { owner, other } = await beginWith("approver");
      await operate(app, "PUT", `/accounts/${owner.account}`, { features: FEATURES });
      const byHand = "https://example.com/by-hand";
      await addWebhook(other, byHand);
      // Also with a key that one of theirs has minted, and which is revoked by now.
      const token = await makeKey(other, "webhooks:manage", "messages:read");
      const { body: child } = await call(app, "POST", "/api/public/v1/tokens", { token });
      const byKey = "https://example.com/by-key";
      await subscribe(app, child.token, byKey);
      await call(app, "DELETE", `/api/public/v1/tokens/${child.metadata.id}`, { token });
      const kept = "https://example.com/the-owners";
      await addWebhook(owner, kept);

      const page = await open(app, `${HERE}/${other.memberId}/remove`, owner);
      expect(page.text).toMatch(/name="delete_webhooks" value="yes" checked/);
      for (const url of [byHand, byKey]) expect(page.text).toContain(url);
      expect(page.text).not.toContain(kept);
      expect((await open(app, `${HERE}/${owner.memberId}/remove`, owner)).text).toContain(kept);

      await act(owner, other.memberId, "remove", said === undefined ? {} : { delete_webhooks: said });
      const { body } = await call(app, "GET", "/api/public/v1/webhooks", owner);
      const left = body.webhooks.map(({ url }: { url: string }) => url).sort();
      expect(left).toEqual(said === undefined ? [byHand, byKey, kept] : [kept]);
      expect(await lastEntry(owner.email)).toMatchObject({
        detail: { webhooksEnded: said === undefined ? 0 : 2 },
      });
      // What was to be sent there is not, from then on.
      await postMessage(app, owner);
      const due = await db
        .selectFrom("webhook_deliveries as d")
        .innerJoin("webhooks as w", "w.id", "d.webhook_id")
        .where("w.account_id", "=", accountKey(owner.account))
        .select("w.url")
        .execute();
      expect(due.map(({ url }) => url).sort()).toEqual(left);
    },
  );

  test("has what they confirmed, and their bank has not, given up: the approval waits again", async () => {
    const { owner, other } = await beginWith("approver");
    await putCard(app, owner, "pm_card_authenticationRequired");
    const { body } = await fund(app, owner.token, owner.milestone);
    const story = { ...other, path: `/approvals/${body.approval.id}`, approvalId: body.approval.id };
    await decide({ app }, story as never, "confirm");
    const bank = /href="[^"]*(\/sandbox\/authenticate\/[^"]+)"/.exec(
      (await open(app, story.path, owner)).text,
    );
    expect(bank).not.toBeNull();
    await act(owner, other.memberId, "remove");
    expect(await paymentsOf(owner)).toEqual(["refused"]);
    expect((await open(app, story.path, owner)).text).toContain("Confirm and fund");
    await putCard(app, owner, "pm_card_visa");
    await decide({ app }, { ...story, ...owner, path: story.path } as never, "confirm");
    expect(await paymentsOf(owner)).toEqual(["refused", "succeeded"]);
  });

  test("and dies right after: the sweep gives it up, and never goes on with it", async () => {
    const { owner, other } = await beginWith("approver");
    await putCard(app, owner, "pm_card_authenticationRequired");
    const { body } = await fund(app, owner.token, owner.milestone);
    await decide({ app }, { ...other, path: `/approvals/${body.approval.id}` } as never, "confirm");
    await db.updateTable("members").set({ status: "removed" }).where("id", "=", other.memberId).execute();
    await sql`
      update payments set due_at = now() - interval '1 second' where account_id = ${accountKey(owner.account)}`.execute(
      db,
    );
    const processor = createSandbox(db, config.publicUrl);
    await sweepDuePayments({ db, config, processor }, createLogger("silent"));
    expect(await paymentsOf(owner)).toEqual(["refused"]);
  });

  test("may leave themselves, once there is another owner, and stays signed in", async () => {
    const { owner, other } = await beginWith("approver");
    const alone = await act(owner, owner.memberId, "remove");
    expect(refusalOf(alone)).toContain("An account needs at least one owner.");
    expect(await isSignedIn(owner)).toBe(true);
    await change(owner, other.memberId, "owner");
    const left = await act(owner, owner.memberId, "remove");
    expect([left.status, left.headers.location]).toEqual([303, "/approvals"]);
    expect(await isSignedIn(owner)).toBe(true);
    expect((await open(app, HERE, owner)).text).not.toContain("Acme");
  });

  test.each(["removes them", "leaves them a viewer"])(
    "and %s, has the invitations that they sent end with that: no friend brings them back",
    async (what) => {
      const { owner, other } = await beginWith("owner");
      const token = linkIn(await submit(app, INVITE, await inviteForm(other, { role: "owner" }), other));
      if (what === "removes them") await act(owner, other.memberId, "remove");
      else await change(owner, other.memberId, "viewer");
      expect((await submit(app, "/invite", { token, password: PASSWORD })).status).toBe(410);
      expect(
        (await membersOf(owner)).filter(({ role, status }) => role === "owner" && status === "active"),
      ).toHaveLength(1);
    },
  );

  test("withdraws an invitation: its link has expired, and no one is signed out", async () => {
    const owner = await begin();
    const { token, memberId, email } = await invite(app, owner.account, "viewer");
    const answer = await act(owner, memberId, "remove");
    expect(answer.headers.location).toBe(`${HERE}?said=withdrawn`);
    expect((await submit(app, "/invite", { token, password: PASSWORD })).status).toBe(410);
    expect((await membersOf(owner)).map((member) => member.email)).not.toContain(email);
    expect(await lastEntry(owner.email)).toMatchObject({ action: "invitation_withdrawn" });
  });

  test("can have them back by a new invitation", async () => {
    const { owner, other } = await beginWith("viewer");
    await act(owner, other.memberId, "remove");
    const token = linkIn(await submit(app, INVITE, await inviteForm(owner, { email: other.email }), owner));
    const cookie = cookieOf(await signIn(app, other.email));
    const form_token = hiddenValue(await open(app, `/invite?token=${token}`, { cookie }), "/invite");
    expect((await submit(app, "/invite", { token, form_token }, { cookie })).status).toBe(303);
    expect((await membersOf(owner)).map(({ email }) => email)).toContain(other.email);
  });
});

describe("an account's last owner", () => {
  test("stays, when two owners remove each other, or step down, at once", async () => {
    for (const what of ["role", "remove"] as const) {
      for (let round = 0; round < 5; round++) {
        const { owner, other } = await beginWith("owner");
        const fields: Record<string, string> = what === "role" ? { role: "viewer" } : {};
        const forms = [
          await openForm(owner, other.memberId, what, fields),
          await openForm(other, owner.memberId, what, fields),
        ];
        const [first, second] = await Promise.all(forms.map((send) => send()));
        // Who comes too late is told so, or is no owner any more.
        const done = [first, second].filter((answer) =>
          String(answer?.headers.location).startsWith(`${HERE}?`),
        );
        expect(done).toHaveLength(1);
        expect((await membersOf(owner)).filter(({ role }) => role === "owner")).toHaveLength(1);
      }
    }
  });

  test("stays, whatever statement comes to the database", async () => {
    const owner = await begin();
    for (const values of [{ role: "viewer" as const }, { status: "removed" as const }]) {
      await expect(
        db.updateTable("members").set(values).where("id", "=", owner.memberId).execute(),
      ).rejects.toThrow("an account keeps an owner");
    }
  });
});

describe("who may", () => {
  test.each(["approver", "viewer"] as const)("as %s sees the members, and changes none", async (role) => {
    const { owner, other } = await beginWith(role);
    const page = await open(app, HERE, other);
    expect(page.text).toContain(owner.email);
    expect(page.text).toContain("Owners can invite, change and remove members.");
    expect(page.text).not.toContain(INVITE);
    for (const path of [`${HERE}/${owner.memberId}`, `${HERE}/${owner.memberId}/remove`])
      expect((await open(app, path, other)).status).toBe(403);
  });

  test("an owner who is one no more, since the page was opened, changes nothing", async () => {
    const { owner, other } = await beginWith("owner");
    const third = await createHumanByInvite(owner, "viewer");
    const pages = {
      [INVITE]: await inviteForm(other),
      [`${HERE}/${third.memberId}/role`]: {
        ...(await tokenOf(other, third.memberId, "role")),
        role: "owner",
      },
      [`${HERE}/${third.memberId}/remove`]: await tokenOf(other, third.memberId, "remove"),
    };
    await change(owner, other.memberId, "approver");
    const before = await digestRows(db);
    for (const [path, fields] of Object.entries(pages))
      expect((await submit(app, path, fields, other)).status).toBe(403);
    expect(await digestRows(db)).toEqual(before);
  });

  test("another account's member is not found", async () => {
    const [owner, stranger] = [await begin(), await begin()];
    for (const path of [`${HERE}/${stranger.memberId}`, `${HERE}/${stranger.memberId}/remove`, `${HERE}/x`])
      expect((await open(app, path, owner)).status).toBe(404);
    const form = { ...(await tokenOf(stranger, stranger.memberId, "role")), role: "viewer" };
    expect((await submit(app, `${HERE}/${stranger.memberId}/role`, form, owner)).status).toBe(403);
  });

  test("only with a proof of presence: each change asks for the password after 5 minutes", async () => {
    const { owner, other } = await beginWith("viewer");
    await letProofAge({ db }, owner);
    const inviting = await inviteForm(owner);
    const steps: [string, Record<string, string>][] = [
      [INVITE, inviting],
      [
        `${HERE}/${other.memberId}/role`,
        { ...(await tokenOf(owner, other.memberId, "role")), role: "approver" },
      ],
      [`${HERE}/${other.memberId}/remove`, await tokenOf(owner, other.memberId, "remove")],
    ];
    const before = await digestRows(db);
    for (const [path, fields] of steps) {
      const asked = await submit(app, path, fields, owner);
      expect(refusalOf(asked)).toContain("Enter your password to continue.");
    }
    expect(await digestRows(db)).toEqual(before);
    for (const [path, fields] of steps) {
      const wrong = await submit(app, path, { ...fields, password: "not this one" }, owner);
      expect(refusalOf(wrong)).toContain("That password isn’t right.");
    }
    for (const [path, fields] of steps) {
      await letProofAge({ db }, owner);
      const done = await submit(app, path, { ...fields, password: PASSWORD }, owner);
      expect(done.status, done.text).toBeLessThan(304);
    }
  });

  test("is shown each of their accounts apart, with its own name", async () => {
    const [first, second] = [await begin(), await begin()];
    await operate(app, "PUT", `/accounts/${second.account}`, { name: "Beta <b>Works</b>" });
    const token = linkIn(await submit(app, INVITE, await inviteForm(second, { email: first.email }), second));
    const form_token = hiddenValue(await open(app, `/invite?token=${token}`, first), "/invite");
    await submit(app, "/invite", { token, form_token }, first);
    for (const path of [HERE, "/settings/keys"]) {
      const { text } = await open(app, path, first);
      expect(text).toContain("<h2><bdi>Acme</bdi></h2>");
      expect(text).toContain("<h2><bdi>Beta &lt;b&gt;Works&lt;/b&gt;</bdi></h2>");
    }
  });
});

/** A person whom an owner has invited, and who has accepted. */
async function createHumanByInvite(owner: Scene, role: MemberRole): Promise<HumanFixture> {
  const form = await inviteForm(owner, { role });
  const token = linkIn(await submit(app, INVITE, form, owner));
  const accepted = await submit(app, "/invite", { token, password: PASSWORD });
  const member = (await membersOf(owner)).find(({ email }) => email === form.email);
  return { email: form.email, name: form.name, cookie: cookieOf(accepted), memberId: member?.id ?? "" };
}

async function tokenOf({ cookie }: HumanFixture, memberId: string, what: "role" | "remove") {
  const page = await open(app, `${HERE}/${memberId}${what === "remove" ? "/remove" : ""}`, { cookie });
  return hiddenIn(page, memberId, what);
}

async function addWebhook({ cookie }: HumanFixture, url: string): Promise<void> {
  const form = "/settings/webhooks/add";
  const page = await open(app, "/settings/webhooks", { cookie });
  const hidden = ["account_id", "webhook_id", "form_token"].map((name) => [
    name,
    hiddenValue(page, form, name),
  ]);
  const fields = { ...Object.fromEntries(hidden), url, event_types: "message.received" };
  expect((await submit(app, form, fields, { cookie })).status).toBe(201);
}

async function makeKey({ cookie }: HumanFixture, ...scopes: string[]): Promise<string> {
  const page = await open(app, "/settings/keys", { cookie });
  const form = "/settings/keys/make";
  const hidden = ["account_id", "token_id", "form_token"].map((name) => [
    name,
    hiddenValue(page, form, name),
  ]);
  const ticked = (scopes.length > 0 ? scopes : ["jobs:read"]).map((scope) => ["scopes", scope]);
  const fields = [...hidden, ["name", "Made by hand"], ...ticked, ["lifetime", "30"]] as [string, string][];
  const { text } = await submit(app, form, fields, { cookie });
  return /ot_pat_[A-Za-z0-9_-]{65}/.exec(text)?.[0] ?? "";
}

async function paymentsOf({ account }: Fixture): Promise<string[]> {
  const rows = await db
    .selectFrom("payments")
    .where("account_id", "=", accountKey(account))
    .orderBy("created_at")
    .select("status")
    .execute();
  return rows.map(({ status }) => status);
}
