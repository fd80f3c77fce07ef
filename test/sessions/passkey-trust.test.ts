import { hash, verify } from "node:crypto";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { openPasskey } from "../../src/app/open-passkey.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { listPasskeys } from "../../src/sessions/passkey-store.ts";
import { openPasskeys } from "../../src/sessions/passkey-trust.ts";
import { createResetLink } from "../../src/sessions/resets.ts";
import { Authenticator, type Lies } from "../support/authenticator.ts";
import {
  anotherApproval,
  askChallenge,
  beginCoSign,
  type CoSignStory,
  readForm,
  refused,
  sendForm,
  signForm,
  statusOf,
} from "../support/co-sign.ts";
import { createFixture, operate } from "../support/fixtures.ts";
import {
  cookieOf,
  createHuman,
  type HumanFixture,
  hiddenValue,
  invite,
  newEmail,
  open,
  PASSWORD,
  signIn,
  submit,
} from "../support/humans.ts";
import { givePasskey, userIdOf } from "../support/passkeys.ts";
import { startService } from "../support/service.ts";

const service = await startService();
const { app, db, config } = service;
const SECURITY = "/settings/security";
const PASSKEYS = `${SECURITY}/passkeys`;
const CONSENTS = `${SECURITY}/passkey-consents`;
const NEXT = "another long password";

type Owner = HumanFixture & { userId: string };
type Scene = { story: CoSignStory; owner: Owner };

/**
 * An account that confirms with passkeys only: Ada, who has one, and whose approval waits; and Bob, an owner too.
 * Anybody who reads Ada's mail can do what `comeByLink` does.
 */
async function begin(options: { coSign?: "session" | "passkey" } = {}): Promise<Scene> {
  const story = await beginCoSign(service, options);
  return { story, owner: await addOwner(story) };
}

async function addOwner(story: CoSignStory): Promise<Owner> {
  const other = await invite(app, story.account, "approver");
  await sql`update invitations set consented_at = now(), consented_by = ${story.userId}
    where account_id = ${accountKey(story.account)} and used_at is null`.execute(db);
  const answer = await submit(app, "/invite", { token: other.token, password: PASSWORD });
  await sql`update members set role = 'owner' where id = ${other.memberId}`.execute(db);
  const userId = await userIdOf(db, other.email);
  return { ...other, name: "Ada Owner", cookie: cookieOf(answer), userId };
}

/** Sets a new password by a link, and signs in with it. */
async function comeByLink<T extends { email: string }>(person: T): Promise<T & { cookie: string }> {
  const link = (await createResetLink({ db, config }, person.email)) ?? "";
  const token = new URL(link).searchParams.get("token") ?? "";
  expect((await submit(app, "/reset/new", { token, password: NEXT })).status).toBe(303);
  return { ...person, cookie: cookieOf(await signIn(app, person.email, NEXT)) };
}

/** Adds a passkey, as a browser does. */
async function add({ cookie }: { cookie: string }, authenticator = new Authenticator()) {
  const form_token = hiddenValue(await open(app, `${PASSKEYS}/new`, { cookie }), PASSKEYS);
  const { body } = await submit(app, `${PASSKEYS}/options`, { form_token }, { cookie });
  const credential = JSON.stringify(authenticator.register(body.challenge));
  const answer = await submit(app, PASSKEYS, { form_token, credential }, { cookie });
  expect(answer.status, answer.text).toBe(303);
  return { answer, authenticator };
}

async function signInWith(authenticator: Authenticator, userId: string): Promise<string> {
  const { body } = await submit(app, "/sign-in/passkey/options", {});
  const userHandle = Buffer.from(userId).toString("base64url");
  const credential = JSON.stringify(authenticator.assert(body.challenge, { userHandle }));
  return cookieOf(await submit(app, "/sign-in/passkey", { credential }));
}

const idOf = async (authenticator: Authenticator) =>
  (
    await db
      .selectFrom("auth.passkeys")
      .where("credential_id", "=", authenticator.credentialId)
      .select("id")
      .executeTakeFirst()
  )?.id ?? "";
const countsFor = async (userId: string, { id }: Authenticator) =>
  (await listPasskeys(db, userId)).some((one) => one.credential_id.toString("base64url") === id);
const tracesOf = (userId: string) =>
  db
    .selectFrom("auth.audit")
    .where("user_id", "=", userId)
    .select(["action", "detail"])
    .orderBy("created_at")
    .execute();
const subjectsTo = async (email: string) =>
  (
    await db
      .selectFrom("mails")
      .where("recipient", "=", email)
      .select("subject")
      .orderBy("created_at")
      .execute()
  ).map(({ subject }) => subject);

/** Tries to confirm with this passkey, and says whether that paid. */
async function confirms(story: CoSignStory, passkey: Authenticator): Promise<boolean> {
  const page = await open(app, story.path, story);
  if (!page.text.includes("/challenge")) return false;
  const fields = await readForm(app, story);
  const asked = await askChallenge(app, story, fields);
  if (asked.status !== 200) return false;
  await sendForm(app, story, { ...fields, assertion: JSON.stringify(passkey.assert(asked.body.challenge)) });
  return (await statusOf(app, story)) === "confirmed";
}

async function consentForm({ cookie }: { cookie: string }, passkeyId: string) {
  const { text, ...page } = await open(app, SECURITY, { cookie });
  const forms = text.split("<li>").filter((part) => part.includes(`value="${passkeyId}"`));
  const part = { ...page, text: forms.find((one) => one.includes(`action="${CONSENTS}"`)) ?? "" };
  return {
    account_id: hiddenValue(part, CONSENTS, "account_id"),
    passkey_id: passkeyId,
    form_token: hiddenValue(part, CONSENTS),
  };
}

/** An owner agrees, as the page's script does it. */
async function agree(owner: { cookie: string }, passkeyId: string, own: Authenticator, lies: Lies = {}) {
  const fields = await consentForm(owner, passkeyId);
  const { body } = await submit(app, `${CONSENTS}/options`, fields, owner);
  const credential = JSON.stringify(own.assert(body.challenge, lies));
  return submit(app, CONSENTS, { ...fields, credential }, owner);
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

    expect(await subjectsTo(owner.email)).toContain("Countersign: a new passkey in Acme waits for you");
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
    expect([answer.status, answer.text.includes("remove those that you do not know")]).toEqual([409, true]);

    const page = `${PASSKEYS}/${await idOf(planted)}`;
    const form_token = hiddenValue(await open(app, page, ada), `${page}/remove`);
    expect((await submit(app, `${page}/remove`, { form_token }, ada)).status).toBe(303);
    expect((await (await accept())()).headers.location).toBe("/approvals");
  });

  test("nor with the first one that the person ever has", async () => {
    const { story } = await begin();
    await sql`delete from auth.passkeys where user_id = ${story.userId}`.execute(db);
    const thief = await comeByLink(story);
    const { authenticator } = await add(thief);
    expect(await confirms(thief, authenticator)).toBe(false);
    expect((await open(app, story.path, thief)).text).toContain("Your passkey cannot confirm yet");
    expect((await open(app, `${PASSKEYS}/new`, thief)).text).toContain(
      "You have added one already, which waits",
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
    await operate(app, "PUT", `/accounts/${story.account}`, { coSign: "passkey" });
    await operate(app, "PUT", `/accounts/${story.account}/milestones/${story.milestone}`, { amountUsd: 451 });
    const later = await anotherApproval(app, { ...story, cookie: thief.cookie });
    expect(await confirms(later, authenticator)).toBe(false);
  });

  test("cannot bring somebody in who confirms in their place: members are not theirs to change", async () => {
    const { story } = await begin();
    const waiting = await invite(app, story.account, "approver");
    const thief = await comeByLink(story);
    const members = "/settings/members";
    const page = await open(app, members, thief);
    const form = {
      account_id: hiddenValue(page, `${members}/invite`, "account_id"),
      form_token: hiddenValue(page, `${members}/invite`),
      email: newEmail(),
      name: "An accomplice",
      role: "approver",
    };
    const invited = await refused(db, () => submit(app, `${members}/invite`, form, thief));
    expect([invited.status, invited.text.includes("sign in with a passkey that counts")]).toEqual([
      409,
      true,
    ]);

    const consent = `${SECURITY}/consent`;
    const security = await open(app, SECURITY, thief);
    const agreeing = {
      form_token: hiddenValue(security, consent),
      account_id: hiddenValue(security, consent, "account_id"),
      invitation_id: hiddenValue(security, consent, "invitation_id"),
      decision: "consent",
    };
    expect((await refused(db, () => submit(app, consent, agreeing, thief))).status).toBe(409);
    expect((await open(app, `/invite?token=${waiting.token}`)).text).toContain("must agree first");

    // With a passkey that counts, they are.
    const ada = { ...story, cookie: await signInWith(story.passkey, story.userId) };
    const own = await open(app, members, ada);
    const again = { ...form, form_token: hiddenValue(own, `${members}/invite`) };
    expect((await submit(app, `${members}/invite`, again, ada)).status).toBe(201);
  });

  test("may change members where a password confirms anyway", async () => {
    const { story } = await begin({ coSign: "session" });
    const thief = await comeByLink(story);
    const members = "/settings/members";
    const page = await open(app, members, thief);
    const form = {
      account_id: hiddenValue(page, `${members}/invite`, "account_id"),
      form_token: hiddenValue(page, `${members}/invite`),
      email: newEmail(),
      name: "Somebody",
      role: "viewer",
    };
    expect((await submit(app, `${members}/invite`, form, thief)).status).toBe(201);
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

  test("changes no members where passkeys are demanded, until they use one that counts", async () => {
    const { story } = await begin();
    const members = "/settings/members";
    const invited = async (cookie: string) => {
      const page = await open(app, members, { cookie });
      const form = {
        account_id: hiddenValue(page, `${members}/invite`, "account_id"),
        form_token: hiddenValue(page, `${members}/invite`),
        email: newEmail(),
        name: "Somebody",
        role: "approver",
      };
      return (await submit(app, `${members}/invite`, form, { cookie })).status;
    };
    expect(await invited(cookieOf(await signIn(app, story.email)))).toBe(409);
    expect(await invited(await signInWith(story.passkey, story.userId))).toBe(201);
  });

  test("while the first passkey that one ever adds counts, and then others beside it", async () => {
    const { story } = await begin();
    await sql`delete from auth.passkeys where user_id = ${story.userId}`.execute(db);
    const { authenticator } = await add(story);
    const { authenticator: second } = await add(story);
    expect(await countsFor(story.userId, second)).toBe(true);
    expect(await confirms(story, authenticator)).toBe(true);
  });
});

describe("a person who has another passkey", () => {
  test("adds one that counts at once, in a session that it has opened", async () => {
    const { story } = await begin();
    await comeByLink(story);
    const ada = { ...story, cookie: await signInWith(story.passkey, story.userId) };
    const { authenticator } = await add(ada);
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
    const { authenticator: early } = await addWithPassword(ada);
    expect(await countsFor(story.userId, early)).toBe(false);
    expect(await prove(early)).toBe(204);
    const { authenticator: still } = await add(ada);
    expect(await countsFor(story.userId, still)).toBe(false);
    expect(await prove(story.passkey)).toBe(204);
    const { authenticator } = await add(ada);
    expect(await countsFor(story.userId, authenticator)).toBe(true);
  });

  test("makes the password their own again by changing it there", async () => {
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
    expect(await confirms(plain, authenticator)).toBe(true);
  });
});

describe("an owner's consent", () => {
  test("lets the passkey count, is signed by the owner's own, and can be checked for ever", async () => {
    const { story, owner } = await begin();
    const own = await givePasskey(db, owner.userId);
    const ada = await comeByLink(story);
    const { authenticator } = await add(ada);
    const id = await idOf(authenticator);
    const page = await open(app, SECURITY, owner);
    expect(page.text).toContain("Passkeys that wait for you");
    const answer = await agree(owner, id, own);
    expect(answer.headers.location).toBe(`${SECURITY}?said=passkey-agreed`);
    expect(await confirms(ada, authenticator)).toBe(true);
    expect((await subjectsTo(story.email)).at(-1)).toBe("Your passkey for Countersign counts now");

    const [trace] = (await tracesOf(owner.userId)).filter(({ action }) => action === "passkey_consented");
    if (trace === undefined) throw new Error("it left no trace");
    const { proof, ...detail } = trace.detail as { proof: Record<string, string> };
    expect(detail).toEqual({ accountId: accountKey(story.account), passkeyId: id, ofUser: story.userId });
    const bytes = (text = "") => Buffer.from(text, "base64url");
    const signed = Buffer.concat([
      bytes(proof.authenticatorData),
      hash("sha256", bytes(proof.clientDataJSON), "buffer"),
    ]);
    expect(verify("sha256", signed, own.publicKey, bytes(proof.signature))).toBe(true);
    const { challenge } = JSON.parse(bytes(proof.clientDataJSON).toString());
    expect(proof.purpose).toBe(`passkey:consent:${accountKey(story.account)}:${id}`);
    expect(bytes(challenge).includes(hash("sha256", proof.purpose ?? "", "buffer"))).toBe(true);
  });

  test("is given with a fresh password by an owner who has no passkey", async () => {
    const { story, owner } = await begin();
    const { authenticator } = await add(await comeByLink(story));
    const id = await idOf(authenticator);
    await sql`update auth.sessions set proved_at = now() - interval '5 minutes'
      where user_id = ${owner.userId}`.execute(db);
    const fields = await consentForm(owner, id);
    const late = await submit(app, CONSENTS, fields, owner);
    expect([late.status, late.text.includes("Type your password")]).toEqual([422, true]);
    expect(await countsFor(story.userId, authenticator)).toBe(false);
    await submit(app, CONSENTS, { ...fields, password: PASSWORD }, owner);
    expect(await countsFor(story.userId, authenticator)).toBe(true);
  });

  test("is not given without their passkey by an owner who has one, nor by an answer to something else", async () => {
    const { story, owner } = await begin();
    const own = await givePasskey(db, owner.userId);
    const ada = await comeByLink(story);
    const { authenticator } = await add(ada);
    const { authenticator: second } = await add(ada);
    const [id, other] = [await idOf(authenticator), await idOf(second)];
    const fields = await consentForm(owner, id);
    const elsewhere = await consentForm(owner, other);
    const { body } = await submit(app, `${CONSENTS}/options`, elsewhere, owner);
    const wrong: Record<string, Record<string, string>> = {
      "the password": { password: PASSWORD },
      nothing: { credential: "" },
      "an answer for another passkey": { credential: JSON.stringify(own.assert(body.challenge)) },
      "the passkey in question": { credential: JSON.stringify(authenticator.assert(body.challenge)) },
    };
    for (const [what, answer] of Object.entries(wrong)) {
      const sent = await refused(db, () => submit(app, CONSENTS, { ...fields, ...answer }, owner));
      expect(sent.status, what).toBe(409);
    }
    expect((await agree(owner, id, own, { userVerified: false })).status).toBe(409);
    const { authenticator: waiting } = await add({ cookie: cookieOf(await signIn(app, owner.email)) });
    const again = { ...owner, cookie: await signInWith(own, owner.userId) };
    expect(await countsFor(owner.userId, waiting)).toBe(false);
    expect((await agree(again, id, waiting)).status).toBe(409);
    expect(await countsFor(story.userId, authenticator)).toBe(false);
    expect((await agree(again, id, own)).status).toBe(303);
    expect(await countsFor(story.userId, second)).toBe(false);
  });

  test("is not an approver's, a stranger's, one's own, or that of an owner who came in by a link too", async () => {
    const { story, owner } = await begin();
    const ada = await comeByLink(story);
    const { authenticator } = await add(ada);
    const id = await idOf(authenticator);
    const fields = await consentForm(owner, id);
    expect((await open(app, SECURITY, ada)).text).not.toContain("Passkeys that wait for you");

    const stranger = await createHuman(app, (await createFixture(app)).account);
    for (const who of [ada, stranger])
      expect((await refused(db, () => submit(app, CONSENTS, fields, who))).status).toBe(403);

    const linked = await comeByLink(owner);
    expect((await open(app, SECURITY, linked)).text).not.toContain(`action="${CONSENTS}"`);
    await sql`update members set role = 'approver' where user_id = ${owner.userId}`.execute(db);
    const approver = { ...owner, cookie: cookieOf(await signIn(app, owner.email, NEXT)) };
    expect((await open(app, SECURITY, approver)).text).not.toContain("Passkeys that wait for you");
    expect(await countsFor(story.userId, authenticator)).toBe(false);
  });

  test("is not one's who has taken their own passkey away by the password, with the page still open", async () => {
    const { story, owner } = await begin();
    const own = await givePasskey(db, owner.userId);
    const { authenticator } = await add(await comeByLink(story));
    const bob = { ...owner, cookie: cookieOf(await signIn(app, owner.email)) };
    const fields = await consentForm(bob, await idOf(authenticator));
    const page = `${PASSKEYS}/${await idOf(own)}`;
    const form_token = hiddenValue(await open(app, page, bob), `${page}/remove`);
    expect((await submit(app, `${page}/remove`, { form_token }, bob)).status).toBe(303);
    const answer = await refused(db, () => submit(app, CONSENTS, fields, bob));
    expect([answer.status, await countsFor(story.userId, authenticator)]).toEqual([409, false]);
  });

  test("ends with the owner's own ownership: another owner gives it anew", async () => {
    const { story, owner } = await begin();
    const elsewhere = await createFixture(app);
    const other = await createHuman(app, elsewhere.account);
    const { token } = await invite(app, elsewhere.account, "viewer", story.email);
    const accepting = await open(app, `/invite?token=${token}`, story);
    await submit(app, "/invite", { token, form_token: hiddenValue(accepting, "/invite") }, story);
    const { authenticator } = await add(await comeByLink(story));
    const id = await idOf(authenticator);
    await submit(app, CONSENTS, await consentForm(owner, id), owner);

    const role = (to: string) =>
      sql`update members set role = ${to} where id = ${owner.memberId}`.execute(db);
    await role("approver");
    const partly = await submit(app, CONSENTS, await consentForm(other, id), other);
    expect(partly.headers.location).toBe(`${SECURITY}?said=passkey-agreed-here`);
    expect(await countsFor(story.userId, authenticator)).toBe(false);
    const successor = await addOwner(story);
    await submit(app, CONSENTS, await consentForm(successor, id), successor);
    expect(await countsFor(story.userId, authenticator)).toBe(true);
  });

  test("is needed in each account that the person belongs to, given at once or not", async () => {
    const { story, owner } = await begin();
    const elsewhere = await createFixture(app);
    const other = { ...(await createHuman(app, elsewhere.account)) };
    const { token } = await invite(app, elsewhere.account, "viewer", story.email);
    const accepting = await open(app, `/invite?token=${token}`, story);
    await submit(app, "/invite", { token, form_token: hiddenValue(accepting, "/invite") }, story);

    const ada = await comeByLink(story);
    const { authenticator: first } = await add(ada);
    const one = await idOf(first);
    const partly = await submit(app, CONSENTS, await consentForm(other, one), other);
    expect(partly.headers.location).toBe(`${SECURITY}?said=passkey-agreed-here`);
    expect(await countsFor(story.userId, first)).toBe(false);
    expect((await open(app, SECURITY, other)).text).toContain("Another account’s has not yet");
    await submit(app, CONSENTS, await consentForm(owner, one), owner);
    expect(await countsFor(story.userId, first)).toBe(true);

    for (let i = 0; i < 3; i++) {
      const { authenticator } = await add(ada);
      const id = await idOf(authenticator);
      const forms = [await consentForm(owner, id), await consentForm(other, id)];
      const answers = await Promise.all([
        submit(app, CONSENTS, forms[0] ?? {}, owner),
        submit(app, CONSENTS, forms[1] ?? {}, other),
      ]);
      const said = answers.map(({ headers }) => headers.location).toSorted();
      expect(said).toEqual([`${SECURITY}?said=passkey-agreed`, `${SECURITY}?said=passkey-agreed-here`]);
      expect(await countsFor(story.userId, authenticator)).toBe(true);
    }
  });
});

describe("the operator's way", () => {
  const openFrom = (userId: string, span: string) =>
    sql`update auth.passkeys set trusted_from = trusted_from - ${span}::interval
      where user_id = ${userId} and trusted_from > now()`.execute(db);

  test("counts after 24 hours, with mail to all owners at once", async () => {
    const { story, owner } = await begin();
    const ada = await comeByLink(story);
    expect(await openPasskeys({ db, config }, story.email)).toBeUndefined();
    const { authenticator } = await add(ada);
    const opened = await openPasskeys({ db, config }, ` ${story.email.toUpperCase()} `);
    expect(opened?.passkeys).toEqual(["Passkey"]);
    expect(opened?.told.toSorted()).toEqual([story.email, owner.email].toSorted());
    expect((await subjectsTo(owner.email)).at(-1)).toContain("the operator lets Ada Owner confirm");
    expect((await subjectsTo(story.email)).at(-1)).toContain("counts from tomorrow");
    expect(await openPasskeys({ db, config }, story.email)).toBeUndefined();
    expect((await tracesOf(story.userId)).at(-1)).toMatchObject({ action: "passkeys_opened" });

    await openFrom(story.userId, "23 hours 59 minutes");
    expect(await confirms(ada, authenticator)).toBe(false);
    expect((await open(app, SECURITY, ada)).text).toContain("Confirms from");
    await openFrom(story.userId, "1 minute 1 second");
    expect(await confirms(ada, authenticator)).toBe(true);
  });

  test("is a command, which says from when on, and whom to tell", async () => {
    const { story, owner } = await begin();
    const run = (email?: string) => openPasskey(config, email);
    await expect(run()).rejects.toThrow("Say whose: open-passkey person@example.com");
    await expect(run(newEmail())).rejects.toThrow("waits");
    await expect(run(story.email)).rejects.toThrow("waits");
    await add(await comeByLink(story));
    const said = await run(story.email);
    expect(said).toMatch(/^From \d+ \w+ \d{4} at \d\d:\d\d UTC on it confirms: Passkey\./);
    expect(said).toContain("No mail goes out here: tell them yourself: ");
    expect(said).toContain(owner.email);
  });

  test("is stopped by any owner before that, and by nobody else", async () => {
    const { story, owner } = await begin();
    const { authenticator } = await add(await comeByLink(story));
    await openPasskeys({ db, config }, story.email);
    const page = await open(app, SECURITY, owner);
    const stop = `${CONSENTS}/stop`;
    const fields = {
      form_token: hiddenValue(page, stop),
      account_id: hiddenValue(page, stop, "account_id"),
      passkey_id: hiddenValue(page, stop, "passkey_id"),
    };
    const stranger = await createHuman(app, (await createFixture(app)).account);
    expect((await submit(app, stop, fields, stranger)).status).toBe(403);
    const done = await submit(app, stop, fields, owner);
    expect(done.headers.location).toBe(`${SECURITY}?said=passkey-stopped`);
    await openFrom(story.userId, "25 hours");
    expect(await countsFor(story.userId, authenticator)).toBe(false);
    const again = await submit(app, stop, fields, owner);
    expect(again.headers.location).toBe(`${SECURITY}?said=passkey-over`);
    expect((await tracesOf(owner.userId)).at(-1)).toMatchObject({ action: "passkey_stopped" });
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

/** Adds a passkey by typing the password, as the last proof is old. */
async function addWithPassword({ cookie }: { cookie: string }) {
  const form_token = hiddenValue(await open(app, `${PASSKEYS}/new`, { cookie }), PASSKEYS);
  const { body } = await submit(app, `${PASSKEYS}/options`, { form_token, password: NEXT }, { cookie });
  const authenticator = new Authenticator();
  const credential = JSON.stringify(authenticator.register(body.challenge));
  await submit(app, PASSKEYS, { form_token, credential }, { cookie });
  return { authenticator };
}

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
