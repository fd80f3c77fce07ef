import { describe, expect, test } from "vitest";
import { PRE_CLAIM_SCOPES } from "../../src/agent-auth/schemas.ts";
import {
  type Claim,
  claim,
  claimAsNewPerson,
  claimSignedIn,
  createAgent,
  fromNewAddress,
  letClaimAge,
  letRegistrationAge,
  MAILING,
  nameHuman,
  startClaim,
} from "../support/agents.ts";
import { auditOf } from "../support/audit.ts";
import { type Answer, call, createFixture, operate } from "../support/fixtures.ts";
import {
  cookieOf,
  createHuman,
  type HumanFixture,
  invite,
  newEmail,
  open,
  PASSWORD,
  setCookies,
  signIn,
  submit,
} from "../support/humans.ts";
import { countWaiting, holdLock } from "../support/locks.ts";
import { waitUntil } from "../support/process.ts";
import { startService } from "../support/service.ts";

const service = await startService(MAILING);
const { app, db, connection } = service;

const OVER = "This link has expired";

/** A claim that waits for a new person. */
async function begin(email = newEmail()): Promise<Claim> {
  return startClaim(service, await createAgent(app), email);
}

async function createPerson(): Promise<HumanFixture> {
  return createHuman(app, (await createFixture(app)).account);
}

async function isClaimed({ agent }: Pick<Claim, "agent">): Promise<boolean> {
  return (await operate(app, "GET", `/accounts/${agent.id}`)).account.claimed;
}

/** Six digits that are not the code. */
const wrong = ({ code }: Claim): string => String((Number(code) + 1) % 1_000_000).padStart(6, "0");

const withSortedScopes = (entry: { detail: Record<string, unknown> }) => ({
  ...entry,
  detail: { ...entry.detail, scopes: [...(entry.detail.scopes as string[])].sort() },
});

const said = ({ text }: Answer): string => text.replaceAll(/<[^>]*>/g, " ").replaceAll(/\s+/g, " ");

describe("the page behind the mailed link", () => {
  test("says which agent came, when, from where, and what it may do, and uses nothing up by GET or HEAD", async () => {
    const headers = { ...fromNewAddress(), "user-agent": "claude-cli/2.1 (external)" };
    const names = { agent_name: "Claude Code", organization_name: "Acme Research" };
    const started = await startClaim(service, await createAgent(app, names, headers));
    const url = `/claim?token=${started.link}`;
    for (const method of ["GET", "HEAD", "GET"] as const) {
      const preview = { accept: "text/html", "user-agent": "Slackbot-LinkExpanding 1.0" };
      expect((await call(app, method, url, { headers: preview })).status).toBe(200);
    }
    const page = await open(app, url);
    const shown = [started.email, ...Object.values(names), ...Object.values(headers)];
    for (const text of [...shown, "It isn’t verified", "Only if you allow it"])
      expect(said(page)).toContain(text);
    expect(page.text).not.toContain("checked>");
    expect(page.text).not.toContain(started.code);
    await claim(app, started);
  });

  test("makes a new person the owner, and signs them in, once", async () => {
    const started = await begin();
    const cookie = await claim(app, started, { payments_write: "yes" });
    expect(said(await open(app, "/claim?said=claimed", { cookie }))).toContain("You’re now its owner");
    expect((await open(app, "/settings/security", { cookie })).status).toBe(200);
    const members = await operate(app, "GET", `/accounts/${started.agent.id}/members`);
    expect(members.members).toMatchObject([{ email: started.email, role: "owner", status: "active" }]);
    expect((await signIn(app, started.email)).status).toBe(303);
  });

  test("leaves a trace, and a mail to the person", async () => {
    const started = await begin();
    await claim(app, started, { webhooks_manage: "yes" });
    const trace = (await auditOf(db, started.email)).map(({ action, detail, address }) => ({
      action,
      detail,
      address,
    }));
    const detail = expect.objectContaining({
      registrationId: started.agent.id,
      scopes: [
        ...PRE_CLAIM_SCOPES,
        "proposals:write",
        "messages:write",
        "team:write",
        "webhooks:manage",
      ].sort(),
    });
    expect(trace.map(withSortedScopes)).toEqual([
      { action: "account_claimed", detail, address: expect.stringMatching(/^10\./) },
    ]);
    const mails = await db.selectFrom("mails").where("recipient", "=", started.email).selectAll().execute();
    expect(mails.map(({ subject }) => subject)).toEqual([
      expect.stringContaining("asks you to take on"),
      expect.stringContaining("You own an account"),
    ]);
  });

  test("ends every token that the account had, the operator's too", async () => {
    const started = await begin();
    const path = `/accounts/${started.agent.id}/tokens`;
    const { token } = await operate(app, "POST", path, { name: "Theirs", scopes: ["payments:write"] });
    await claim(app, started);
    for (const dead of [token, started.agent.token])
      expect((await call(app, "GET", "/api/public/v1/auth/me", { token: dead })).status).toBe(401);
  });

  test("by an invitation ends what the agent registered with, and what that minted; the operator's go on", async () => {
    const agent = await createAgent(app);
    const { body } = await call(app, "POST", "/api/public/v1/tokens", { token: agent.token });
    const path = `/accounts/${agent.id}/tokens`;
    const { token } = await operate(app, "POST", path, { name: "Theirs", scopes: ["payments:write"] });
    const statuses = async () =>
      Promise.all(
        [agent.token, body.token, token].map(
          async (one) => (await call(app, "GET", "/api/public/v1/auth/me", { token: one })).status,
        ),
      );
    const viewer = await invite(app, agent.id, "viewer");
    await submit(app, "/invite", { token: viewer.token, password: PASSWORD });
    expect(await statuses()).toEqual([200, 200, 200]);
    const owner = await invite(app, agent.id, "owner");
    expect((await submit(app, "/invite", { token: owner.token, password: PASSWORD })).status).toBe(303);
    expect(await statuses()).toEqual([401, 401, 200]);
  });

  test("takes the digits as people type them", async () => {
    const started = await begin();
    const { code } = started;
    await claim(app, started, { code: ` ${code.slice(0, 3)} ${code.slice(3)} ` });
  });

  test("keeps what was typed, and asks again, when a name or a password will not do; no try is lost", async () => {
    const started = await begin();
    const cases: [Record<string, string>, string][] = [
      [{ name: " " }, "Enter your name."],
      [{ name: "x".repeat(201) }, "Use at most 200 characters."],
      [{ password: "short" }, "Use at least 12 characters"],
      [{ password: "x".repeat(129) }, "Use at most 128 characters"],
      [{ code: "12345" }, "Enter the six-digit code"],
      [{ code: "" }, "Enter the six-digit code"],
      [{ code: "abcdef" }, "Enter the six-digit code"],
    ];
    for (const [fields, message] of cases) {
      const answer = await claimAsNewPerson(app, started, { payments_write: "yes", ...fields });
      expect([answer.status, setCookies(answer)], message).toEqual([422, []]);
      expect(said(answer)).toContain(message);
      expect(answer.text).toMatch(/name="payments_write"[^>]* checked>/);
    }
    await claim(app, started);
  });
});

describe("a person who has a sign-in already", () => {
  test("is asked to sign in, comes back, and claims with nothing but the code", async () => {
    const human = await createPerson();
    const started = await begin(human.email);
    const page = await open(app, `/claim?token=${started.link}`);
    const back = /href="(\/sign-in\?return_to=[^"]+)"/.exec(page.text)?.[1] ?? "";
    expect(page.text).not.toContain('name="password"');
    const signedIn = await submit(app, "/sign-in", {
      email: human.email,
      password: PASSWORD,
      return_to: new URL(back, "http://x").searchParams.get("return_to") ?? "",
    });
    expect(signedIn.headers.location).toBe(`/claim?token=${started.link}`);
    const answer = await claimSignedIn(app, started, cookieOf(signedIn));
    expect([answer.status, answer.headers.location, setCookies(answer)]).toEqual([
      303,
      "/claim?said=claimed",
      [],
    ]);
    expect(await isClaimed(started)).toBe(true);
    expect((await signIn(app, human.email)).status).toBe(303);
  });

  test("cannot be taken over by holding the link: no password is set", async () => {
    const human = await createPerson();
    const started = await begin(human.email);
    const answer = await claimAsNewPerson(app, started, { password: "another long password" });
    expect(answer.status).toBe(200);
    expect(said(answer)).toContain("Sign in to claim the account");
    expect(await isClaimed(started)).toBe(false);
    expect((await signIn(app, human.email, "another long password")).status).toBe(422);
  });

  test("under another e-mail is told so, and nothing is done", async () => {
    const [other, started] = [await createPerson(), await begin()];
    const page = await open(app, `/claim?token=${started.link}`, other);
    expect(said(page)).toContain(`You’re signed in as ${other.email}`);
    expect(page.text).not.toContain('name="code"');
    const form = { token: started.link, code: started.code };
    const answer = await submit(app, "/claim", form, other);
    expect(said(answer)).toContain("Sign out, then open the link");
    expect(await isClaimed(started)).toBe(false);
  });

  test("must send the form from their own page", async () => {
    const human = await createPerson();
    const started = await begin(human.email);
    for (const form_token of ["", "x".repeat(43)]) {
      const form = { token: started.link, code: started.code, form_token };
      expect((await submit(app, "/claim", form, human)).status).toBe(403);
    }
    for (const headers of [{ "sec-fetch-site": "cross-site" }, { origin: "https://evil.example" }, {}]) {
      const form = { token: started.link, code: started.code, name: "Ada", password: PASSWORD };
      expect((await submit(app, "/claim", form, { headers })).status).toBe(403);
    }
    expect(await isClaimed(started)).toBe(false);
  });

  test("as a viewer whom the operator had invited becomes the owner", async () => {
    const agent = await createAgent(app);
    const { email, token } = await invite(app, agent.id, "viewer");
    await submit(app, "/invite", { token, password: PASSWORD });
    const cookie = cookieOf(await signIn(app, email));
    const answer = await claimSignedIn(app, await startClaim(service, agent, email), cookie);
    expect(answer.headers.location).toBe("/claim?said=claimed");
    const { members } = await operate(app, "GET", `/accounts/${agent.id}/members`);
    expect(members).toMatchObject([{ email, role: "owner", status: "active" }]);
  });
});

describe("guessing", () => {
  test("ends the claim at the fifth wrong code, also for the right code afterwards", async () => {
    const started = await begin();
    const left = ["4 tries left", "3 tries left", "2 tries left", "1 try left"];
    for (const text of left) {
      const answer = await claimAsNewPerson(app, started, { code: wrong(started) });
      expect(answer.status).toBe(422);
      expect(said(answer)).toContain(text);
    }
    const last = await claimAsNewPerson(app, started, { code: wrong(started) });
    expect([last.status, said(last)]).toEqual([410, expect.stringContaining("Five wrong codes")]);
    expect((await claimAsNewPerson(app, started)).status).toBe(410);
    expect(await isClaimed(started)).toBe(false);
  });

  test("is counted exactly, however many come at once: none looks before the one before it is counted", async () => {
    const human = await createPerson();
    const started = await begin(human.email);
    const { accountId } = started.agent;
    await using lock = await holdLock(
      connection,
      `select from claim_attempts where account_id = '${accountId}' for update`,
    );
    const sent = Promise.all(
      Array.from({ length: 8 }, () => claimSignedIn(app, started, human.cookie, { code: wrong(started) })),
    );
    await waitUntil(async () => (await countWaiting(db)) > 6, "the guesses wait");
    await lock.letGo();
    const answers = await sent;
    const counted = await db
      .selectFrom("claim_attempts")
      .select("wrong_codes")
      .where("account_id", "=", accountId)
      .executeTakeFirstOrThrow();
    expect(counted.wrong_codes).toBe(5);
    // A guess that was counted may find its page over by the time that it is shown.
    const told = answers.filter(({ status }) => status === 422).map(said);
    expect(told.length).toBeLessThanOrEqual(4);
    expect(new Set(told).size).toBe(told.length);
    expect(new Set(answers.map(({ status }) => status))).toContain(410);
    expect(
      (await claimSignedIn(app, await startClaim(service, started.agent, human.email), human.cookie)).status,
    ).toBe(303);
  });

  test("of links is limited by address, before any is looked up", async () => {
    const headers = { "sec-fetch-site": "same-origin", ...fromNewAddress() };
    const started = await begin();
    const guess = () =>
      submit(
        app,
        "/claim",
        { token: started.link, code: wrong(started), name: "Ada", password: PASSWORD },
        { headers },
      );
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++) statuses.push((await guess()).status);
    const others = await Promise.all(Array.from({ length: 4 }, () => begin()));
    for (const { link, code } of others)
      for (let i = 0; i < 5; i++) {
        const form = { token: link, code: wrong({ code } as Claim), name: "Ada", password: PASSWORD };
        statuses.push((await submit(app, "/claim", form, { headers })).status);
      }
    expect(statuses.slice(0, 20)).not.toContain(429);
    expect(statuses.slice(20)).toEqual([429, 429, 429, 429]);
  }, 60_000);
});

describe("a claim works once", () => {
  test("of many at once exactly one wins, and makes one owner", async () => {
    const started = await begin();
    const answers = await Promise.all(
      Array.from({ length: 6 }, (_, i) => claimAsNewPerson(app, started, { password: `${PASSWORD} ${i}` })),
    );
    expect(answers.filter(({ status }) => status === 303)).toHaveLength(1);
    const winner = answers.findIndex(({ status }) => status === 303);
    expect((await signIn(app, started.email, `${PASSWORD} ${winner}`)).status).toBe(303);
    const { members } = await operate(app, "GET", `/accounts/${started.agent.id}/members`);
    expect(members).toHaveLength(1);
  });

  test("one person may claim two accounts at once: the second is asked to sign in", async () => {
    const email = newEmail();
    const [first, second] = [await begin(email), await begin(email)];
    const answers = await Promise.all([claimAsNewPerson(app, first), claimAsNewPerson(app, second)]);
    const claimed = answers.filter(({ status }) => status === 303);
    expect(claimed.length).toBeGreaterThan(0);
    for (const answer of answers.filter(({ status }) => status !== 303))
      expect(said(answer)).toContain("Sign in to claim the account");
    const cookie = cookieOf(await signIn(app, email));
    for (const started of [first, second])
      if (!(await isClaimed(started))) await claimSignedIn(app, started, cookie);
    expect([await isClaimed(first), await isClaimed(second)]).toEqual([true, true]);
  });

  test("replayed, replaced, expired or unknown: refused, with the reason", async () => {
    const used = await begin();
    await claim(app, used);
    const replaced = await begin();
    await startClaim(service, replaced.agent);
    const late = await begin();
    await letClaimAge(db, late.agent, 31);
    const expired = await begin();
    await letRegistrationAge(db, expired.agent, 24.1);
    const cases: [string, string][] = [
      [used.link, "has already been claimed"],
      [used.page, "has already been claimed"],
      [replaced.link, "a newer one replaces it"],
      [late.link, "works for 30 minutes"],
      [late.page, "works for 30 minutes"],
      [expired.link, "within 24 hours"],
      [`${replaced.link.slice(0, -1)}A`, "works once"],
      ["ot_clk_", "works once"],
      ["", "works once"],
    ];
    for (const [token, why] of cases) {
      const page = await open(app, `/claim?token=${token}`);
      const form = { token, code: "123456", name: "Ada", password: PASSWORD };
      const post = await submit(app, "/claim", form);
      for (const answer of [page, post]) {
        expect([answer.status, setCookies(answer)], token).toEqual([410, []]);
        expect(said(answer)).toContain(OVER);
        expect(said(answer)).toContain(why);
      }
    }
    for (const { agent } of [replaced, late, expired]) expect(await isClaimed({ agent })).toBe(false);
  });
});

describe("where no mail goes out", () => {
  test("no one can claim, and API and pages say so", async () => {
    const mute = await startService({ TRUST_PROXY: "1" }, service.config.databaseUrl);
    const agent = await createAgent(mute.app);
    const email = newEmail();
    const { status, body } = await nameHuman(mute.app, agent.claimToken, email);
    expect([status, body.email_sent]).toEqual([200, false]);
    expect(await db.selectFrom("mails").where("recipient", "=", email).selectAll().execute()).toEqual([]);
    const page = await open(mute.app, body.verification_uri.slice(mute.config.publicUrl.length));
    expect(said(page)).toContain("Accounts can’t be claimed here");
    expect(said(await open(mute.app, "/claim"))).toContain("you can’t claim an account this way here");
    const metadata = await call(mute.app, "GET", "/.well-known/oauth-authorization-server");
    expect(metadata.body.agent_auth.claiming_supported).toBe(false);
  });
});

describe("what people find who bring no token", () => {
  test("/claim explains both ways, and /sign-up leads to them", async () => {
    const page = await open(app, "/claim");
    expect(page.status).toBe(200);
    for (const text of ["Your agent has registered the account", "invite you as its first owner"])
      expect(said(page)).toContain(text);
    const signUp = await open(app, "/sign-up");
    expect(signUp.status).toBe(200);
    for (const link of ["/claim", "/sign-in"]) expect(signUp.text).toContain(`href="${link}"`);
    expect((await open(app, "/sign-in")).text).toContain('href="/sign-up"');
  });
});
