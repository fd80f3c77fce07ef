import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { createResetLink } from "../../src/sign-in/reset-service.ts";
import { Authenticator } from "../support/authenticator.ts";
import { alertOf, anotherApproval, landForm, refused, signForm, statusOf } from "../support/co-sign.ts";
import { createFixture, operate } from "../support/fixtures.ts";
import {
  cookieOf,
  createHuman,
  hiddenValue,
  invite,
  newEmail,
  open,
  PASSWORD,
  refusalOf,
  signIn,
  submit,
} from "../support/humans.ts";
import { subjectsTo } from "../support/mails.ts";
import { givePasskey, PASSKEYS, SECURITY, userIdOf } from "../support/passkeys.ts";
import { startService } from "../support/service.ts";
import { NEXT, trustScenes } from "./trust-scenes.ts";

const service = await startService();
const { app, db, config } = service;
const { begin, comeByLink, add, signInWith, idOf, countsFor, tracesOf, confirms } = trustScenes(service);

const INVITE = "/settings/members/invite";

/** The members page's form that invites an accomplice. */
async function inviteForm(person: { cookie: string }): Promise<Record<string, string>> {
  const page = await open(app, "/settings/members", person);
  const account_id = hiddenValue(page, INVITE, "account_id");
  const form_token = hiddenValue(page, INVITE);
  return { account_id, form_token, email: newEmail(), name: "An accomplice", role: "approver" };
}

describe("a person who came in by a mailed link", () => {
  test("a person who came in by a link cannot confirm with a passkey that they add", async () => {
    const { story, owner } = await begin();
    const thief = await comeByLink(story);
    const added = await add(thief);
    expect(added.answer.headers.location).toBe(`${SECURITY}?said=passkey-waits`);
    expect(await countsFor(story.userId, added.authenticator)).toBe(false);
    expect(await confirms(thief, added.authenticator)).toBe(false);

    // Neither in a session that it opened itself, nor by answering the challenge for Ada's own passkey.
    const again = { ...story, cookie: await signInWith(added.authenticator, story.userId) };
    expect(await confirms(again, added.authenticator)).toBe(false);
    const second = await add(again);
    expect(await confirms(again, second.authenticator)).toBe(false);
    const fields = await signForm(app, again, { passkey: added.authenticator });
    const answer = await refused(db, () => landForm(app, again, fields));
    expect(alertOf(answer)).toContain("Nothing was confirmed. That passkey wasn’t accepted.");
    expect(await statusOf(app, story)).toBe("pending");

    expect(await subjectsTo(db, owner.email)).toContain(
      "Countersign: a new passkey in “Acme” needs your consent",
    );
    expect((await open(app, `${PASSKEYS}/new`, again)).text).toContain("Use a passkey that you have first");
  });

  test("a person who came in by a link joins no account until passkeys they have not used are removed", async () => {
    // Mallory accepted an invitation in Ada's name, and left an active passkey.
    const elsewhere = await createFixture(app);
    const mallory = await createHuman(app, elsewhere.account, "viewer");
    const { authenticator: planted } = await add(mallory);
    const userId = await userIdOf(db, mallory.email);
    expect(await countsFor(userId, planted)).toBe(true);

    const ada = await comeByLink(mallory);
    const { story } = await begin();
    const { token } = await invite(app, story.account, "viewer", ada.email);
    const accept = async () => {
      const form_token = hiddenValue(await open(app, `/invite?token=${token}`, ada), "/invite");
      return () => submit(app, "/invite", { token, form_token }, ada);
    };
    const answer = await refused(db, await accept());
    expect([answer.status, answer.text.includes("remove those that you don’t recognise")]).toEqual([
      409,
      true,
    ]);

    const page = `${PASSKEYS}/${await idOf(planted)}`;
    const form_token = hiddenValue(await open(app, page, ada), `${page}/remove`);
    expect((await submit(app, `${page}/remove`, { form_token }, ada)).status).toBe(303);
    expect((await (await accept())()).headers.location).toBe("/invite?said=joined");
  });

  test("a person who came in by a link cannot confirm with their first passkey", async () => {
    const { story } = await begin();
    await sql`delete from auth.passkeys where user_id = ${story.userId}`.execute(db);
    const thief = await comeByLink(story);
    const { authenticator } = await add(thief);
    expect(await confirms(thief, authenticator)).toBe(false);
    expect((await open(app, story.path, thief)).text).toContain("Your passkey cannot confirm yet");
    expect((await open(app, `${PASSKEYS}/new`, thief)).text).toContain(
      "You already have a passkey that is waiting for an owner",
    );
  });

  test("a new password or a later demand for passkeys does not activate a link's passkey", async () => {
    const { story } = await begin({ coSign: "session" });
    await sql`delete from auth.passkeys where user_id = ${story.userId}`.execute(db);
    const thief = await comeByLink(story);
    const page = await open(app, SECURITY, thief);
    const form_token = hiddenValue(page, `${SECURITY}/password`);
    const change = { form_token, current: NEXT, next: PASSWORD };
    expect((await submit(app, `${SECURITY}/password`, change, thief)).status).toBe(303);
    const { authenticator } = await add(thief);
    await sql`update accounts set co_sign = 'passkey' where account_id = ${accountKey(story.account)}`.execute(
      db,
    );
    await operate(app, "PUT", `/accounts/${story.account}/milestones/${story.milestone}`, { amountUsd: 451 });
    const later = await anotherApproval(app, { ...story, cookie: thief.cookie });
    expect(await confirms(later, authenticator)).toBe(false);
  });

  test("a person who came in by a link cannot change members where passkeys are demanded", async () => {
    const { story } = await begin();
    const waiting = await invite(app, story.account, "approver");
    const thief = await comeByLink(story);
    const form = await inviteForm(thief);
    const invited = await refused(db, () => submit(app, INVITE, form, thief));
    expect(refusalOf(invited)).toContain("you must sign this change with your passkey");

    const consent = `${SECURITY}/consent`;
    const security = await open(app, SECURITY, thief);
    const agreeing = {
      form_token: hiddenValue(security, consent),
      account_id: hiddenValue(security, consent, "account_id"),
      invitation_id: hiddenValue(security, consent, "invitation_id"),
      role: hiddenValue(security, consent, "role"),
      decision: "consent",
    };
    expect(refusalOf(await refused(db, () => submit(app, consent, agreeing, thief)))).toBeDefined();
    expect((await open(app, `/invite?token=${waiting.token}`)).text).toContain("must agree first");

    // The same change succeeds with an active passkey's signature.
    const ada = { ...story, cookie: await signInWith(story.passkey, story.userId) };
    const signing = await inviteForm(ada);
    const { challenge } = (await submit(app, `${INVITE}/sign`, signing, ada)).body;
    const credential = JSON.stringify(story.passkey.assert(challenge));
    expect((await submit(app, INVITE, { ...signing, credential }, ada)).status).toBe(201);
  });

  test("a person who came in by a link may change members where a password confirms", async () => {
    const { story } = await begin({ coSign: "session" });
    const thief = await comeByLink(story);
    expect((await submit(app, INVITE, await inviteForm(thief), thief)).status).toBe(201);
  });

  test("the next reset link removes the passkeys that a link's session added, and keeps older ones", async () => {
    const { story } = await begin();
    const thief = await comeByLink(story);
    const { authenticator } = await add(thief);
    const ada = await comeByLink(story);
    expect(await idOf(authenticator)).toBe("");
    expect((await open(app, SECURITY, thief)).status).toBe(303);
    expect((await open(app, SECURITY, ada)).text).toContain("Test passkey");
  });
});

describe("a person who knows the password of a passkey's owner", () => {
  test("a password alone adds no active passkey, also after the owner's passkey was removed", async () => {
    const { story } = await begin();
    const thief = { ...story, cookie: cookieOf(await signIn(app, story.email)) };
    const { answer, authenticator } = await add(thief);
    expect(answer.headers.location).toBe(`${SECURITY}?said=passkey-waits`);
    expect(await confirms(thief, authenticator)).toBe(false);

    const page = `${PASSKEYS}/${await idOf(story.passkey)}`;
    const form_token = hiddenValue(await open(app, page, thief), `${page}/remove`);
    expect((await submit(app, `${page}/remove`, { form_token }, thief)).status).toBe(303);
    const { authenticator: second } = await add(thief);
    expect(await confirms(thief, second)).toBe(false);
  });

  test("passkeys added by password alone end when the owner changes the password", async () => {
    const { story } = await begin();
    const { authenticator } = await add({ cookie: cookieOf(await signIn(app, story.email)) });
    const ada = { ...story, cookie: await signInWith(story.passkey, story.userId) };
    const form_token = hiddenValue(await open(app, SECURITY, ada), `${SECURITY}/password`);
    await submit(app, `${SECURITY}/password`, { form_token, current: PASSWORD, next: NEXT }, ada);
    await expect(signInWith(authenticator, story.userId)).rejects.toThrow();
    expect((await tracesOf(story.userId)).at(-1)).toMatchObject({
      action: "password_changed",
      detail: { passkeysRemoved: 1 },
    });
    expect(await countsFor(story.userId, story.passkey)).toBe(true);
  });

  test("where passkeys are demanded, a session alone changes no members", async () => {
    const { story } = await begin();
    const invited = async (cookie: string) =>
      refusalOf(await submit(app, INVITE, await inviteForm({ cookie }), { cookie }));
    expect(await invited(cookieOf(await signIn(app, story.email)))).toBeDefined();
    expect(await invited(await signInWith(story.passkey, story.userId))).toBeDefined();
  });

  test("the first passkey of a person is active, and so are others added beside it", async () => {
    const { story } = await begin();
    await sql`delete from auth.passkeys where user_id = ${story.userId}`.execute(db);
    const { authenticator } = await add(story);
    const { authenticator: second } = await add(story, { signer: authenticator });
    expect(await countsFor(story.userId, second)).toBe(true);
    expect(await confirms(story, authenticator)).toBe(true);
  });
});

describe("a person who has another passkey", () => {
  test("a session opened by an active passkey adds a passkey that is active at once", async () => {
    const { story } = await begin();
    await comeByLink(story);
    const ada = { ...story, cookie: await signInWith(story.passkey, story.userId) };
    const { authenticator } = await add(ada, { signer: story.passkey });
    expect(await confirms(ada, authenticator)).toBe(true);
  });

  test("a session with a passkey's proof adds an active passkey; a stranger's passkey proves nothing", async () => {
    const { story, owner } = await begin();
    const stranger = await givePasskey(db, owner.userId);
    const ada = await comeByLink(story);
    const prove = async (passkey: Authenticator) => {
      await sql`update auth.sessions set proved_at = now() - interval '5 minutes'
        where user_id = ${story.userId}`.execute(db);
      const page = await open(app, `${PASSKEYS}/new`, ada);
      const form_token = /data-token="([^"]*)"/.exec(page.text)?.[1] ?? "";
      const { body } = await submit(app, `${SECURITY}/presence/options`, { form_token }, ada);
      const credential = JSON.stringify(passkey.assert(body.challenge));
      return (await submit(app, `${SECURITY}/presence`, { form_token, credential }, ada)).status;
    };
    expect(await prove(stranger)).toBe(422);
    const { authenticator: early } = await add(ada, { password: NEXT });
    expect(await countsFor(story.userId, early)).toBe(false);
    expect(await prove(early)).toBe(204);
    const { authenticator: still } = await add(ada);
    expect(await countsFor(story.userId, still)).toBe(false);
    expect(await prove(story.passkey)).toBe(204);
    const { authenticator } = await add(ada, { signer: story.passkey });
    expect(await countsFor(story.userId, authenticator)).toBe(true);
  });

  test("removing a passkey in a session alone leaves the next one inactive, where they are demanded", async () => {
    const { story } = await begin();
    await comeByLink(story);
    const ada = { ...story, cookie: await signInWith(story.passkey, story.userId) };
    const form_token = hiddenValue(await open(app, SECURITY, ada), `${SECURITY}/password`);
    await submit(app, `${SECURITY}/password`, { form_token, current: NEXT, next: PASSWORD }, ada);
    const remove = async (passkey: Authenticator) => {
      const page = `${PASSKEYS}/${await idOf(passkey)}`;
      const form_token = hiddenValue(await open(app, page, ada), `${page}/remove`);
      await submit(app, `${page}/remove`, { form_token }, ada);
    };
    await remove(story.passkey);
    const plain = { ...story, cookie: cookieOf(await signIn(app, story.email)) };
    const { authenticator } = await add(plain);
    expect(await confirms(plain, authenticator)).toBe(false);
  });
});

test("a passkey that is added while a reset commits is inactive", async () => {
  for (let i = 0; i < 4; i++) {
    const { story } = await begin();
    const form_token = hiddenValue(await open(app, `${PASSKEYS}/new`, story), PASSKEYS);
    const { body } = await submit(app, `${PASSKEYS}/options`, { form_token }, story);
    const authenticator = new Authenticator();
    const credential = JSON.stringify(authenticator.register(body.challenge));
    const link = (await createResetLink({ db, config }, story.email)) ?? "";
    const token = new URL(link).searchParams.get("token") ?? "";
    const [added] = await Promise.all([
      // The reset hashes the password before it locks.
      delay(i * 40).then(() => submit(app, PASSKEYS, { form_token, credential }, story)),
      submit(app, "/reset/new", { token, password: NEXT }),
    ]);
    const kept = added.headers.location === `${SECURITY}?said=passkey`;
    expect(await countsFor(story.userId, authenticator), added.text).toBe(kept);
    expect((await open(app, SECURITY, story)).status).toBe(303);
  }
});

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
