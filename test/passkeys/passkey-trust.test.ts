import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { createResetLink } from "../../src/sign-in/reset-service.ts";
import { Authenticator } from "../support/authenticator.ts";
import { anotherApproval, refused, sendForm, signForm, statusOf } from "../support/co-sign.ts";
import { createFixture, operate } from "../support/fixtures.ts";
import {
  cookieOf,
  createHuman,
  hiddenValue,
  invite,
  newEmail,
  open,
  PASSWORD,
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

/** What the page on members would send to bring an accomplice in. */
async function inviteForm(person: { cookie: string }): Promise<Record<string, string>> {
  const page = await open(app, "/settings/members", person);
  const account_id = hiddenValue(page, INVITE, "account_id");
  const form_token = hiddenValue(page, INVITE);
  return { account_id, form_token, email: newEmail(), name: "An accomplice", role: "approver" };
}

describe("whoever has come in by a mailed link", () => {
  test("cannot confirm with a passkey that they add, in one tab or another", async () => {
    const { story, owner } = await begin();
    const thief = await comeByLink(story);
    const added = await add(thief);
    expect(added.answer.headers.location).toBe(`${SECURITY}?said=passkey-waits`);
    expect(await countsFor(story.userId, added.authenticator)).toBe(false);
    expect(await confirms(thief, added.authenticator)).toBe(false);

    // Nor in a session that it has opened itself, nor by the answer to what Ada's own was asked.
    const again = { ...story, cookie: await signInWith(added.authenticator, story.userId) };
    expect(await confirms(again, added.authenticator)).toBe(false);
    const second = await add(again);
    expect(await confirms(again, second.authenticator)).toBe(false);
    const fields = await signForm(app, again, { passkey: added.authenticator });
    const answer = await refused(db, () => sendForm(app, again, fields));
    expect(answer.status).toBe(409);
    expect(await statusOf(app, story)).toBe("pending");

    expect(await subjectsTo(db, owner.email)).toContain("Countersign: a new passkey in “Acme” waits for you");
    expect((await open(app, `${PASSKEYS}/new`, again)).text).toContain("Use a passkey that you have first");
  });

  test("joins no account while somebody else's passkey may stand in their name, and does once that is removed", async () => {
    // Mallory took an invitation in Ada's name, and has left a passkey that counts.
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

  test("nor with the first one that the person ever has", async () => {
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

  test("nor after they have changed that password, or the account has come to demand passkeys since", async () => {
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

  test("cannot bring somebody in who confirms in their place: members are not theirs to change", async () => {
    const { story } = await begin();
    const waiting = await invite(app, story.account, "approver");
    const thief = await comeByLink(story);
    const form = await inviteForm(thief);
    const invited = await refused(db, () => submit(app, INVITE, form, thief));
    expect([invited.status, invited.text.includes("you must sign this change with your passkey")]).toEqual([
      409,
      true,
    ]);

    const consent = `${SECURITY}/consent`;
    const security = await open(app, SECURITY, thief);
    const agreeing = {
      form_token: hiddenValue(security, consent),
      account_id: hiddenValue(security, consent, "account_id"),
      invitation_id: hiddenValue(security, consent, "invitation_id"),
      role: hiddenValue(security, consent, "role"),
      decision: "consent",
    };
    expect((await refused(db, () => submit(app, consent, agreeing, thief))).status).toBe(409);
    expect((await open(app, `/invite?token=${waiting.token}`)).text).toContain("must agree first");

    // Signed with a passkey that counts, they are.
    const ada = { ...story, cookie: await signInWith(story.passkey, story.userId) };
    const signing = await inviteForm(ada);
    const { challenge } = (await submit(app, `${INVITE}/sign`, signing, ada)).body;
    const credential = JSON.stringify(story.passkey.assert(challenge));
    expect((await submit(app, INVITE, { ...signing, credential }, ada)).status).toBe(201);
  });

  test("may change members where a password confirms anyway", async () => {
    const { story } = await begin({ coSign: "session" });
    const thief = await comeByLink(story);
    expect((await submit(app, INVITE, await inviteForm(thief), thief)).status).toBe(201);
  });

  test("is thrown out by the next link: what they added goes, and what Ada had stays", async () => {
    const { story } = await begin();
    const thief = await comeByLink(story);
    const { authenticator } = await add(thief);
    const ada = await comeByLink(story);
    expect(await idOf(authenticator)).toBe("");
    expect((await open(app, SECURITY, thief)).status).toBe(303);
    expect((await open(app, SECURITY, ada)).text).toContain("Test passkey");
  });
});

describe("whoever knows the password of somebody who has a passkey", () => {
  test("adds none that counts with it, nor after they have removed Ada's", async () => {
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

  test("leaves no passkey behind that would sign in after Ada has changed it", async () => {
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

  test("changes no members where passkeys are demanded, nor does a session that a passkey has opened", async () => {
    const { story } = await begin();
    const invited = async (cookie: string) =>
      (await submit(app, INVITE, await inviteForm({ cookie }), { cookie })).status;
    expect(await invited(cookieOf(await signIn(app, story.email)))).toBe(409);
    expect(await invited(await signInWith(story.passkey, story.userId))).toBe(409);
  });

  test("while the first passkey that one ever adds counts, and then others beside it", async () => {
    const { story } = await begin();
    await sql`delete from auth.passkeys where user_id = ${story.userId}`.execute(db);
    const { authenticator } = await add(story);
    const { authenticator: second } = await add(story, { signer: authenticator });
    expect(await countsFor(story.userId, second)).toBe(true);
    expect(await confirms(story, authenticator)).toBe(true);
  });
});

describe("a person who has another passkey", () => {
  test("adds one that counts at once, in a session that it has opened", async () => {
    const { story } = await begin();
    await comeByLink(story);
    const ada = { ...story, cookie: await signInWith(story.passkey, story.userId) };
    const { authenticator } = await add(ada, { signer: story.passkey });
    expect(await confirms(ada, authenticator)).toBe(true);
  });

  test("or in one that they have proved it in; a stranger's proves nothing", async () => {
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

  test("vouches for no other by removing it in a session alone, as its cookie may be a copy", async () => {
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

test("a reset and a passkey that is being added at once: what is added after it does not count", async () => {
  for (let i = 0; i < 4; i++) {
    const { story } = await begin();
    const form_token = hiddenValue(await open(app, `${PASSKEYS}/new`, story), PASSKEYS);
    const { body } = await submit(app, `${PASSKEYS}/options`, { form_token }, story);
    const authenticator = new Authenticator();
    const credential = JSON.stringify(authenticator.register(body.challenge));
    const link = (await createResetLink({ db, config }, story.email)) ?? "";
    const token = new URL(link).searchParams.get("token") ?? "";
    const [added] = await Promise.all([
      // The reset hashes a password first.
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
