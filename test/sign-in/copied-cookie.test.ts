import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { newToken, sessionCookie } from "../../src/sign-in/cookie.ts";
import { sweepResets } from "../../src/sign-in/jobs.ts";
import { deriveKeys } from "../../src/sign-in/session-keys.ts";
import { readSession } from "../../src/sign-in/session-service.ts";
import { auditOf } from "../support/audit.ts";
import { beginCoSign, readForm, sendForm, statusOf } from "../support/co-sign.ts";
import { createFixture, operate } from "../support/fixtures.ts";
import {
  cookieNow,
  createHuman,
  type HumanFixture,
  hiddenValue,
  open,
  PASSWORD,
  signIn,
  submit,
} from "../support/humans.ts";
import { mailsTo } from "../support/mails.ts";
import { addPasskey, givePasskey, PASSKEYS, SECURITY, userIdOf } from "../support/passkeys.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const { app, db, config } = await startService();
const NEXT = "another long password";
const [KEY = ""] = deriveKeys(config.sessionSecrets).cookies;

async function begin(): Promise<HumanFixture> {
  return createHuman(app, (await createFixture(app)).account);
}

const isSignedIn = async (cookie: string) =>
  (await open(app, SECURITY, { cookie, copied: true })).status === 200;

/** Proves presence by password, by creating a key. */
async function prove(human: HumanFixture): Promise<void> {
  const page = await open(app, "/settings/keys", human);
  const value = (name: string) => hiddenValue(page, "/settings/keys/make", name);
  const answer = await submit(
    app,
    "/settings/keys/make",
    {
      form_token: value("form_token"),
      account_id: value("account_id"),
      token_id: value("token_id"),
      name: "A key",
      scopes: "payments:read",
      lifetime: "30",
      password: PASSWORD,
    },
    human,
  );
  expect(answer.status, answer.text).toBe(201);
}

/** Moves the replacement of the session's token into the past. */
const ageReplacement = (email: string, span: string) =>
  sql`update auth.sessions set replaced_at = replaced_at - ${span}::interval
    where user_id = (select id from auth.users where email = ${email})`.execute(db);

async function endOthers(cookie: string, form_token: string, copied: boolean): Promise<number> {
  return (await submit(app, `${SECURITY}/sessions`, { form_token }, { cookie, copied })).status;
}

describe("A cookie that was copied before its owner", () => {
  test("a cookie copied before the owner's proof by password changes nothing, while the owner's form works", async () => {
    const human = await begin();
    const form_token = hiddenValue(await open(app, SECURITY, human), `${SECURITY}/password`);
    await signIn(app, human.email);
    const sessions = hiddenValue(await open(app, SECURITY, human), `${SECURITY}/sessions`);
    await prove(human);
    const fields = { form_token, current: PASSWORD, next: NEXT };
    const copy = await submit(app, `${SECURITY}/password`, fields, { ...human, copied: true });
    expect([copy.status, copy.headers["set-cookie"]]).toEqual([409, undefined]);
    expect(copy.text).toContain("Reload the page and try again");
    expect(await endOthers(human.cookie, sessions, true)).toBe(409);
    expect((await signIn(app, human.email, NEXT)).status).toBe(422);
    // The session keeps its id, so a form rendered before the proof still works in the owner's browser.
    expect(await endOthers(human.cookie, sessions, false)).toBe(303);
  });

  test("a cookie copied before the owner confirmed with a passkey confirms nothing", async () => {
    const story = await beginCoSign({ app, db }, { coSign: "session" });
    const fields = await readForm(app, story);
    const asked = await submit(app, `${story.path}/challenge`, fields, story);
    const assertion = JSON.stringify(story.passkey.assert(asked.body.challenge));
    const before = cookieNow(story.cookie);
    expect((await sendForm(app, story, { ...fields, assertion })).status).toBe(303);
    expect(await statusOf(app, story)).toBe("confirmed");
    expect(cookieNow(story.cookie)).not.toBe(before);
    const sessions = hiddenValue(await open(app, SECURITY, story), `${SECURITY}/password`);
    const fieldsOfCopy = { form_token: sessions, current: PASSWORD, next: NEXT };
    const copy = await submit(app, `${SECURITY}/password`, fieldsOfCopy, { cookie: before, copied: true });
    expect(copy.status).toBe(409);
  });

  test("a cookie copied before a change of password or passkeys is no longer the person's session", async () => {
    const changes: ((human: HumanFixture) => Promise<unknown>)[] = [
      async (human) => {
        const form_token = hiddenValue(await open(app, SECURITY, human), `${SECURITY}/password`);
        return submit(app, `${SECURITY}/password`, { form_token, current: PASSWORD, next: NEXT }, human);
      },
      (human) => addPasskey(app, human),
      async (human) => {
        const userId = await userIdOf(db, human.email);
        await givePasskey(db, userId);
        const row = db.selectFrom("auth.passkeys").where("user_id", "=", userId).select("id");
        const url = `${PASSKEYS}/${(await row.executeTakeFirstOrThrow()).id}`;
        const form_token = hiddenValue(await open(app, url, human), `${url}/remove`);
        return submit(app, `${url}/remove`, { form_token }, human);
      },
    ];
    for (const change of changes) {
      const human = await begin();
      const form_token = hiddenValue(await open(app, `${PASSKEYS}/new`, human), PASSKEYS);
      await change(human);
      expect(cookieNow(human.cookie)).not.toBe(human.cookie);
      const copy = { cookie: human.cookie, copied: true };
      expect((await submit(app, `${PASSKEYS}/options`, { form_token }, copy)).status).toBe(409);
      expect((await open(app, SECURITY, human)).status).toBe(200);
    }
  });

  test("a cookie copied before a password reset belongs to no session", async () => {
    const human = await begin();
    await submit(app, "/reset", { email: human.email });
    await sweepResets({ db, config });
    const token = /token=(\S+)/.exec((await mailsTo(db, human.email)).at(-1)?.body ?? "")?.[1] ?? "";
    expect((await submit(app, "/reset/new", { token, password: NEXT })).status).toBe(303);
    expect(await isSignedIn(human.cookie)).toBe(false);
  });
});

describe("A person who lost the response with their session's new cookie", () => {
  test("a person who lost the new cookie sees the outcome, and is told to sign in again and why", async () => {
    const story = await beginCoSign({ app, db }, { coSign: "session" });
    const fields = await readForm(app, story);
    const asked = await submit(app, `${story.path}/challenge`, fields, story);
    const assertion = JSON.stringify(story.passkey.assert(asked.body.challenge));
    const before = { cookie: cookieNow(story.cookie), copied: true };
    // The response is lost, so the browser keeps its old cookie.
    expect((await submit(app, `${story.path}/confirm`, { ...fields, assertion }, before)).status).toBe(303);
    const page = await open(app, story.path, before);
    expect([page.status, page.text.includes("Confirmed by")]).toEqual([200, true]);
    expect(page.text).toContain("Sign in again to continue");
    const [, link = ""] = /href="(\/sign-in\?return_to=[^"]*)"/.exec(page.text) ?? [];
    const form = await open(app, link, before);
    expect([form.status, form.text.includes('action="/sign-in"')]).toEqual([200, true]);
    const again = await submit(
      app,
      "/sign-in",
      { email: story.email, password: PASSWORD, return_to: story.path },
      before,
    );
    expect(again.headers.location).toBe(story.path);

    await ageReplacement(story.email, "1 hour");
    const late = await open(app, story.path, before);
    expect(late.headers.location).toBe(
      `/sign-in?return_to=${encodeURIComponent(story.path)}&said=session-ended`,
    );
    expect((await open(app, String(late.headers.location))).text).toContain("You were signed out");
  });

  test("a person who was never signed in is sent to sign-in without a notice", async () => {
    const { headers } = await open(app, SECURITY);
    expect(headers.location).toBe(`/sign-in?return_to=${encodeURIComponent(SECURITY)}`);
  });
});

describe("A token that was replaced", () => {
  test("a replaced token reads for a minute; after that it ends the session", async () => {
    const human = await begin();
    await prove(human);
    expect(await isSignedIn(human.cookie)).toBe(true);
    await ageReplacement(human.email, "40 seconds");
    expect(await isSignedIn(human.cookie)).toBe(true);
    expect((await auditOf(db, human.email, ["session_copied"])).length).toBe(0);
    await ageReplacement(human.email, "20 seconds");
    expect(await isSignedIn(human.cookie)).toBe(false);
    expect(await isSignedIn(cookieNow(human.cookie))).toBe(false);
    expect(await auditOf(db, human.email, ["session_copied"])).toMatchObject([{ address: "127.0.0.1" }]);
    expect((await mailsTo(db, human.email)).at(-1)?.subject).toContain("an old cookie was used");
    // The session is deleted, so this happens once.
    expect(await isSignedIn(human.cookie)).toBe(false);
    expect(await auditOf(db, human.email, ["session_copied"])).toHaveLength(1);
  });

  test("a replaced cookie beside the current one, in any order, ends no session", async () => {
    const human = await begin();
    const stale = human.cookie;
    await prove(human);
    await ageReplacement(human.email, "1 hour");
    const good = cookieNow(stale);
    const unknown = sessionCookie(PUBLIC_URL, newToken().token, KEY, 1).split(";", 1)[0] ?? "";
    for (const cookies of [
      [stale, good],
      [good, stale],
      [unknown, stale, "countersign=x.y", good],
    ])
      expect(await isSignedIn(cookies.join("; "))).toBe(true);
    expect(await auditOf(db, human.email, ["session_copied"])).toEqual([]);
  });

  test("proofs in two tabs at once replace the token once; one tab is told to try again", async () => {
    const human = await begin();
    const form_token = hiddenValue(await open(app, `${PASSKEYS}/new`, human), PASSKEYS);
    const fields = { form_token, password: PASSWORD };
    const tabs = Array.from({ length: 4 }, () =>
      submit(app, `${PASSKEYS}/options`, fields, { ...human, copied: true }),
    );
    const answers = await Promise.all(tabs);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409, 409]);
    const set = answers.filter(({ headers }) => headers["set-cookie"] !== undefined);
    expect(set).toHaveLength(1);
    const good = String(set[0]?.headers["set-cookie"]).split(";", 1)[0] ?? "";
    expect(await isSignedIn(good)).toBe(true);
  });
});

test("a cookie without a valid signature costs no query", async () => {
  const noDb = {} as typeof db;
  const deps = { db: noDb, config, keys: deriveKeys(config.sessionSecrets) };
  const origin = { address: "127.0.0.1", requestId: "r" };
  const cookies = [`countersign=${newToken().token}.${"A".repeat(43)}`, "countersign=", "other=1", undefined];
  for (const cookie of cookies) expect(await readSession(deps, cookie, origin)).toBeUndefined();
});

test("a member removed from one account stays signed in and acts in the others", async () => {
  const [one, other] = [await createFixture(app), await createFixture(app)];
  const human = await createHuman(app, one.account, "viewer");
  await operate(app, "POST", `/accounts/${other.account}/members`, {
    email: human.email,
    name: human.name,
    role: "owner",
  }).then(async ({ inviteUrl }) => {
    const token = new URL(inviteUrl).searchParams.get("token") ?? "";
    const form_token = hiddenValue(await open(app, `/invite?token=${token}`, human), "/invite");
    expect((await submit(app, "/invite", { token, form_token }, human)).status).toBe(303);
  });
  const owner = await createHuman(app, one.account, "owner");
  const url = `/settings/members/${human.memberId}/remove`;
  const form_token = hiddenValue(await open(app, url, owner), url);
  expect((await submit(app, url, { form_token }, owner)).status).toBe(303);
  await prove(human);
});
