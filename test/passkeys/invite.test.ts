import { setTimeout as delay } from "node:timers/promises";
import { sql } from "kysely";
import { describe, expect, test, vi } from "vitest";
import { acceptInvitation } from "../../src/accounts/invitation-service.ts";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { formToken } from "../../src/sign-in/form-token.ts";
import { deriveKeys } from "../../src/sign-in/session-keys.ts";
import { call, createFixture, operate } from "../support/fixtures.ts";
import {
  cookieOf,
  createHuman,
  hiddenValue,
  invite,
  newEmail,
  open,
  PASSWORD,
  refusalOf,
  setCookies,
  signIn,
  submit,
} from "../support/humans.ts";
import { startService } from "../support/service.ts";

const { app, db, config } = await startService();

const memberOf = async (account: string, email: string) =>
  db
    .selectFrom("members")
    .where("account_id", "=", accountKey(account))
    .where("email", "=", email)
    .select(["status", "user_id", "role"])
    .executeTakeFirstOrThrow();

/** Resolves when a statement waits for another transaction's lock. */
async function waitForLock(): Promise<void> {
  for (let turn = 0; turn < 200; turn++) {
    const { rows } = await sql<{ waiting: number }>`select count(*) as waiting from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`.execute(db);
    if (rows[0]?.waiting) return;
    await delay(10);
  }
  throw new Error("nothing waits for a lock");
}

const OVER = "This invitation has expired";

describe("the page behind inviteUrl", () => {
  test("the invitation page names account, role and person, and GET and HEAD use nothing up", async () => {
    const { account } = await createFixture(app);
    const { token, email } = await invite(app, account, "owner");
    const url = `/invite?token=${token}`;
    for (const method of ["GET", "HEAD", "GET"] as const) {
      const headers = { accept: "text/html", "user-agent": "Slackbot-LinkExpanding 1.0" };
      expect((await call(app, method, url, { headers })).status).toBe(200);
    }
    const page = await open(app, url);
    for (const said of ["Acme", email, "Ada Owner", "an owner", "At least 12 characters"])
      expect(page.text).toContain(said);
    expect(page.text).toContain('autocomplete="new-password"');
    expect(await memberOf(account, email)).toMatchObject({ status: "invited", user_id: null });
    expect((await submit(app, "/invite", { token, password: PASSWORD })).status).toBe(303);
  });

  test("accepting an invitation makes an active member who is signed in and can sign in again", async () => {
    const { account } = await createFixture(app);
    const { token, email } = await invite(app, account, "approver");
    const answer = await submit(app, "/invite", { token, password: PASSWORD });
    expect(answer.headers.location).toBe("/invite?said=joined");
    const page = await open(app, "/settings/security", { cookie: cookieOf(answer) });
    expect(page.status).toBe(200);
    expect(await memberOf(account, email)).toMatchObject({ status: "active", role: "approver" });
    expect((await signIn(app, email)).status).toBe(303);
  });

  test("a first owner who accepts claims the account; an approver does not", async () => {
    const { account, token: agent } = await createFixture(app, { claimed: false });
    const claimed = async () => (await call(app, "GET", "/api/public/v1/auth/me", { token: agent })).body;
    await createHuman(app, account, "approver");
    expect((await claimed()).account).toMatchObject({ claimed: false, ownerUserId: null });
    const { email } = await createHuman(app, account, "owner");
    expect((await claimed()).account).toMatchObject({ claimed: true, memberRole: "OWNER" });
    expect((await claimed()).actor.email).toBe(email);
  });

  test("an invitation works once; later uses show one page and change no password", async () => {
    const { account } = await createFixture(app);
    const { token, email } = await invite(app, account, "owner");
    await submit(app, "/invite", { token, password: PASSWORD });
    const again = await submit(app, "/invite", { token, password: "another long password" });
    expect(again.status).toBe(410);
    expect(again.text).toContain(OVER);
    expect((await signIn(app, email, "another long password")).status).toBe(422);
  });

  test("of many uses of an invitation at once, exactly one succeeds", async () => {
    const { account } = await createFixture(app);
    const { token, email } = await invite(app, account, "owner");
    const answers = await Promise.all(
      Array.from({ length: 6 }, (_, i) => submit(app, "/invite", { token, password: `${PASSWORD} ${i}` })),
    );
    expect(answers.filter(({ status }) => status === 303)).toHaveLength(1);
    // The others find the invitation used, or the email with a sign-in already.
    for (const { status } of answers) expect([303, 410, 422]).toContain(status);
    const users = await db.selectFrom("auth.users").where("email", "=", email).select("id").execute();
    expect(users).toHaveLength(1);
    const winner = answers.findIndex(({ status }) => status === 303);
    expect((await signIn(app, email, `${PASSWORD} ${winner}`)).status).toBe(303);
  });

  test("used, replaced, expired, changed, unknown and foreign invitations look the same", async () => {
    const { account, token: agent } = await createFixture(app);
    const used = await invite(app, account, "viewer");
    await submit(app, "/invite", { token: used.token, password: PASSWORD });
    const replaced = await invite(app, account, "viewer");
    await invite(app, account, "viewer", replaced.email);
    const expired = await invite(app, account, "viewer");
    await sql`update invitations set created_at = now() - interval '25 hours', expires_at = now() - interval '1 second'
      where member_id = ${expired.memberId}`.execute(db);
    const good = await invite(app, account, "viewer");
    const changed = `${good.token.slice(0, 10)}${good.token[10] === "A" ? "B" : "A"}${good.token.slice(11)}`;
    const texts = new Set<string>();
    for (const token of [used.token, replaced.token, expired.token, changed, agent, "ot_inv_", "x", ""]) {
      const page = await open(app, `/invite?token=${encodeURIComponent(token)}`);
      const post = await submit(app, "/invite", { token, password: PASSWORD });
      expect([page.status, post.status], token).toEqual([410, 410]);
      texts.add(page.text).add(post.text);
      expect(setCookies(post)).toEqual([]);
    }
    expect(texts.size).toBe(1);
    expect([...texts][0]).toContain(OVER);
    expect((await open(app, "/invite")).status).toBe(200);
    expect((await open(app, "/invite?token=a&token=b")).status).toBe(200);
  });

  test.each([
    ["short", "eleven char", "Use at least 12 characters"],
    ["long", "x".repeat(129), "Use at most 128 characters"],
  ])(
    "a password that is too %s is refused at its field and leaves the invitation usable",
    async (_, password, said) => {
      const { account } = await createFixture(app);
      const { token } = await invite(app, account, "owner");
      const answer = await submit(app, "/invite", { token, password });
      expect(answer.status).toBe(422);
      expect(answer.text).toContain(said);
      expect(answer.text).toContain('aria-invalid="true"');
      expect((await submit(app, "/invite", { token, password: PASSWORD })).status).toBe(303);
    },
  );
});

describe("an invitation for a person who has a sign-in", () => {
  test("an invitation asks a person who has a sign-in to sign in, and sets no password", async () => {
    const first = await createFixture(app);
    const second = await createFixture(app);
    const { email } = await createHuman(app, first.account);
    const { token } = await invite(app, second.account, "owner", email);
    const page = await open(app, `/invite?token=${token}`);
    expect(page.text).toContain(`/sign-in?return_to=${encodeURIComponent(`/invite?token=${token}`)}`);
    const post = await submit(app, "/invite", { token, password: "another long password" });
    expect([post.status, post.text.includes("This email already has an account here.")]).toEqual([422, true]);
    expect(setCookies(post)).toEqual([]);
    expect((await signIn(app, email, "another long password")).status).toBe(422);
    expect((await memberOf(second.account, email)).status).toBe("invited");

    const cookie = cookieOf(await signIn(app, email));
    const own = await open(app, `/invite?token=${token}`, { cookie });
    const fields = { token, form_token: hiddenValue(own, "/invite") };
    expect((await submit(app, "/invite", { token }, { cookie })).status).toBe(403);
    expect((await submit(app, "/invite", fields, { cookie })).status).toBe(303);
    expect((await memberOf(second.account, email)).status).toBe("active");
  });

  test("an invitation's page does not reveal whether its email has a sign-in", async () => {
    const { account } = await createFixture(app);
    const { email: known } = await createHuman(app, (await createFixture(app)).account);
    const invitations = [await invite(app, account, "viewer", known), await invite(app, account, "viewer")];
    const pages = await Promise.all(
      invitations.map(async ({ token, email }) => {
        const url = `/invite?token=${token}`;
        const short = await submit(app, "/invite", { token, password: "short" });
        const none = await submit(app, "/invite", { token });
        return [await open(app, url), short, none].map(({ status, text }) => [
          status,
          text.replaceAll(email, "E-MAIL").replaceAll(token, "TOKEN"),
        ]);
      }),
    );
    expect(pages[0]).toEqual(pages[1]);
    expect(pages[0]?.map(([status]) => status)).toEqual([200, 422, 422]);
  });

  test("an invitation is refused to another signed-in person", async () => {
    const first = await createFixture(app);
    const second = await createFixture(app);
    const other = await createHuman(app, first.account);
    const { token, email } = await invite(app, second.account, "owner");
    const page = await open(app, `/invite?token=${token}`, { cookie: other.cookie });
    expect(page.text).toContain("Sign out, then open the link again");
    const post = await submit(app, "/invite", { token, password: PASSWORD }, { cookie: other.cookie });
    expect(post.status).toBe(403);
    expect((await memberOf(second.account, email)).status).toBe("invited");
  });

  test("two invitations of one new person accepted at once create one sign-in", async () => {
    const [first, second] = [await createFixture(app), await createFixture(app)];
    const email = newEmail();
    const invitations = [
      await invite(app, first.account, "owner", email),
      await invite(app, second.account, "owner", email),
    ];
    const answers = await Promise.all(
      invitations.map(({ token }) => submit(app, "/invite", { token, password: PASSWORD })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([303, 422]);
    const members = [await memberOf(first.account, email), await memberOf(second.account, email)];
    expect(members.map(({ status }) => status).sort()).toEqual(["active", "invited"]);
  });
});

describe("once an account has an owner", () => {
  const consentFields = (page: Awaited<ReturnType<typeof open>>, decision: string) => ({
    form_token: hiddenValue(page, "/settings/security/consent"),
    account_id: hiddenValue(page, "/settings/security/consent", "account_id"),
    invitation_id: hiddenValue(page, "/settings/security/consent", "invitation_id"),
    role: hiddenValue(page, "/settings/security/consent", "role"),
    decision,
  });

  test.each(["owner", "approver"] as const)(
    "an invited %s in an owned account needs an owner's consent",
    async (role) => {
      const { account } = await createFixture(app);
      const owner = await createHuman(app, account);
      const { token, email } = await invite(app, account, role);
      const page = await open(app, `/invite?token=${token}`);
      expect(page.text).toContain("An owner of the account must agree first");
      const post = await submit(app, "/invite", { token, password: PASSWORD });
      expect(setCookies(post)).toEqual([]);
      expect((await memberOf(account, email)).status).toBe("invited");

      const security = await open(app, "/settings/security", owner);
      expect(security.text).toContain(email);
      const agreed = await submit(
        app,
        "/settings/security/consent",
        consentFields(security, "consent"),
        owner,
      );
      expect(agreed.headers.location).toContain("said=consented");
      expect((await submit(app, "/invite", { token, password: PASSWORD })).status).toBe(303);
      expect((await memberOf(account, email)).status).toBe("active");
    },
  );

  test("an invited viewer needs no consent", async () => {
    const { account } = await createFixture(app);
    await createHuman(app, account);
    await createHuman(app, account, "viewer");
  });

  test("of two first owners who accept at once, the second needs the first one's consent", async () => {
    const { account } = await createFixture(app);
    const [one, other] = [await invite(app, account, "owner"), await invite(app, account, "owner")];
    const first = await db.startTransaction().execute();
    const second = await db.startTransaction().execute();
    expect(await acceptInvitation(first, one.token, newId(), new Date())).toBeDefined();
    const waiting = acceptInvitation(second, other.token, newId(), new Date());
    const done = vi.fn();
    void waiting.then(done);
    await waitForLock();
    expect(done).not.toHaveBeenCalled();
    await first.commit().execute();
    expect(await waiting).toBeUndefined();
    await second.commit().execute();
    expect((await memberOf(account, other.email)).status).toBe("invited");
  });

  test("a refused invitation ends, and a new one needs consent again", async () => {
    const { account } = await createFixture(app);
    const owner = await createHuman(app, account);
    const { token, email } = await invite(app, account, "owner");
    const page = await open(app, "/settings/security", owner);
    const refused = await submit(app, "/settings/security/consent", consentFields(page, "refuse"), owner);
    expect(refused.headers.location).toContain("said=refused");
    expect((await submit(app, "/invite", { token, password: PASSWORD })).status).toBe(410);
    const again = await invite(app, account, "owner", email);
    expect((await open(app, `/invite?token=${again.token}`)).text).toContain("must agree first");
    expect((await operate(app, "GET", `/accounts/${account}/members`)).members).toHaveLength(2);
  });

  test("an owner's consent needs a proof younger than 5 minutes, by the database's clock", async () => {
    const { account } = await createFixture(app);
    const owner = await createHuman(app, account);
    const { token } = await invite(app, account, "owner");
    const fresh = await open(app, "/settings/security", owner);
    expect(fresh.text).not.toContain("Confirm with your password");
    await sql`update auth.sessions set proved_at = now() - interval '5 minutes 1 second'
      where user_id = (select id from auth.users where email = ${owner.email})`.execute(db);
    const stale = await open(app, "/settings/security", owner);
    expect(stale.text).toContain("Confirm with your password");
    const fields = consentFields(stale, "consent");
    const send = (more: object) =>
      submit(app, "/settings/security/consent", { ...fields, ...more }, { cookie: owner.cookie });
    expect(refusalOf(await send({}))).toBeDefined();
    expect(refusalOf(await send({ password: "not the password" }))).toBeDefined();
    expect((await open(app, `/invite?token=${token}`)).text).toContain("must agree first");
    expect((await send({ password: PASSWORD })).headers.location).toContain("said=consented");
    expect((await open(app, `/invite?token=${token}`)).text).not.toContain("must agree first");
  });

  test("an owner's consent does not cover a role that the operator changed meanwhile", async () => {
    const { account } = await createFixture(app);
    const owner = await createHuman(app, account);
    const { token, memberId } = await invite(app, account, "approver");
    const fields = consentFields(await open(app, "/settings/security", owner), "consent");
    await operate(app, "PATCH", `/accounts/${account}/members/${memberId}`, { role: "owner" });
    const answer = await submit(app, "/settings/security/consent", fields, owner);
    expect(answer.headers.location).toContain("said=over");
    expect((await open(app, `/invite?token=${token}`)).text).toContain("must agree first");
    const page = await open(app, "/settings/security", owner);
    const again = await submit(app, "/settings/security/consent", consentFields(page, "consent"), owner);
    expect(again.headers.location).toContain("said=consented");
  });

  test("only an owner of the account can consent to an invitation", async () => {
    const { account } = await createFixture(app);
    const other = await createFixture(app);
    const owner = await createHuman(app, account);
    const approver = await createHuman(app, other.account, "approver");
    const stranger = await createHuman(app, other.account, "owner");
    const { token } = await invite(app, account, "owner");
    const seen = consentFields(await open(app, "/settings/security", owner), "consent");
    // Each person's own invitation gives a form whose token is valid for that one only.
    await invite(app, other.account, "owner");
    const own = consentFields(await open(app, "/settings/security", stranger), "consent");
    expect((await open(app, "/settings/security", approver)).text).not.toContain("Waiting for your consent");
    const forge = async (email: string) => {
      const { rows } = await sql<{ id: string }>`select s.id from auth.sessions s
        join auth.users u on u.id = s.user_id where u.email = ${email}`.execute(db);
      const session = { sessionId: rows[0]?.id ?? "" };
      const purpose = `security:consent:${seen.invitation_id}:${seen.role}`;
      return { ...seen, form_token: formToken(deriveKeys(config.sessionSecrets), session, purpose) };
    };
    for (const { email, cookie } of [stranger, approver]) {
      // The last token is as if the service's page had rendered it for them.
      for (const fields of [seen, { ...own, account_id: seen.account_id }, await forge(email)])
        await submit(app, "/settings/security/consent", fields, { cookie });
    }
    expect((await open(app, `/invite?token=${token}`)).text).toContain("must agree first");
  });
});
