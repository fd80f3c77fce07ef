import { hash, verify } from "node:crypto";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { openPasskey } from "../../src/app/open-passkey.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { openPasskeys } from "../../src/passkeys/activation-service.ts";
import { refused } from "../support/co-sign.ts";
import { createFixture } from "../support/fixtures.ts";
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
import { givePasskey, PASSKEYS, SECURITY } from "../support/passkeys.ts";
import { startService } from "../support/service.ts";
import { CONSENTS, NEXT, trustScenes } from "./trust-scenes.ts";

const service = await startService();
const { app, db, config } = service;
const {
  begin,
  addOwner,
  comeByLink,
  add,
  signInWith,
  idOf,
  countsFor,
  tracesOf,
  confirms,
  consentForm,
  agree,
} = trustScenes(service);

describe("an owner's consent", () => {
  test("an owner's consent, signed by their passkey, activates a member's and stays verifiable", async () => {
    const { story, owner } = await begin();
    const own = await givePasskey(db, owner.userId);
    const ada = await comeByLink(story);
    const { authenticator } = await add(ada);
    const id = await idOf(authenticator);
    const page = await open(app, SECURITY, owner);
    expect(page.text).toContain("Passkeys waiting for your consent");
    const answer = await agree(owner, id, own);
    expect(answer.headers.location).toBe(`${SECURITY}?said=passkey-agreed`);
    expect((await subjectsTo(db, story.email)).at(-1)).toBe("Your passkey for Countersign is active");
    expect(await confirms(ada, authenticator)).toBe(true);

    const [trace] = (await tracesOf(owner.userId)).filter(({ action }) => action === "passkey_consented");
    if (trace === undefined) throw new Error("it left no trace");
    const { proof, ...detail } = trace.detail as { proof: Record<string, string> };
    expect(detail).toEqual({ ofUser: story.userId });
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

  test("an owner without a passkey consents with a fresh password", async () => {
    const { story, owner } = await begin();
    const { authenticator } = await add(await comeByLink(story));
    const id = await idOf(authenticator);
    await sql`update auth.sessions set proved_at = now() - interval '5 minutes'
      where user_id = ${owner.userId}`.execute(db);
    const fields = await consentForm(owner, id);
    const late = await submit(app, CONSENTS, fields, owner);
    expect(refusalOf(late)).toContain("Enter your password");
    expect(await countsFor(story.userId, authenticator)).toBe(false);
    await submit(app, CONSENTS, { ...fields, password: PASSWORD }, owner);
    expect(await countsFor(story.userId, authenticator)).toBe(true);
  });

  test("an owner with a passkey cannot consent without it, or with an answer to something else", async () => {
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
      expect(refusalOf(sent), what).toBeDefined();
    }
    expect(refusalOf(await agree(owner, id, own, { userVerified: false }))).toBeDefined();
    const { authenticator: waiting } = await add({ cookie: cookieOf(await signIn(app, owner.email)) });
    const again = { ...owner, cookie: await signInWith(own, owner.userId) };
    expect(await countsFor(owner.userId, waiting)).toBe(false);
    expect(refusalOf(await agree(again, id, waiting))).toBeDefined();
    expect(await countsFor(story.userId, authenticator)).toBe(false);
    expect((await agree(again, id, own)).status).toBe(303);
    expect(await countsFor(story.userId, second)).toBe(false);
  });

  test("approvers, strangers, the person and owners who came by a link cannot consent", async () => {
    const { story, owner } = await begin();
    const ada = await comeByLink(story);
    const { authenticator } = await add(ada);
    const id = await idOf(authenticator);
    const fields = await consentForm(owner, id);
    expect((await open(app, SECURITY, ada)).text).not.toContain("Passkeys waiting for your consent");

    const stranger = await createHuman(app, (await createFixture(app)).account);
    for (const who of [ada, stranger])
      expect((await refused(db, () => submit(app, CONSENTS, fields, who))).status).toBe(403);

    const linked = await comeByLink(owner);
    expect((await open(app, SECURITY, linked)).text).not.toContain(`action="${CONSENTS}"`);
    await sql`update members set role = 'approver' where user_id = ${owner.userId}`.execute(db);
    const approver = { ...owner, cookie: cookieOf(await signIn(app, owner.email, NEXT)) };
    expect((await open(app, SECURITY, approver)).text).not.toContain("Passkeys waiting for your consent");
    expect(await countsFor(story.userId, authenticator)).toBe(false);
  });

  test("an owner who removed their passkey by password cannot consent from an open page", async () => {
    const { story, owner } = await begin();
    const own = await givePasskey(db, owner.userId);
    const { authenticator } = await add(await comeByLink(story));
    const bob = { ...owner, cookie: cookieOf(await signIn(app, owner.email)) };
    const fields = await consentForm(bob, await idOf(authenticator));
    const page = `${PASSKEYS}/${await idOf(own)}`;
    const form_token = hiddenValue(await open(app, page, bob), `${page}/remove`);
    expect((await submit(app, `${page}/remove`, { form_token }, bob)).status).toBe(303);
    const answer = await refused(db, () => submit(app, CONSENTS, fields, bob));
    expect([refusalOf(answer), await countsFor(story.userId, authenticator)]).toEqual([
      expect.any(String),
      false,
    ]);
  });

  test("a consent ends when its owner is no longer one, and another owner can give it", async () => {
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

  test("a passkey needs consent in each account of its person, also when given at once", async () => {
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
    expect((await open(app, SECURITY, other)).text).toContain("An owner of another account must agree too");
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
    sql`update auth.passkeys set active_from = active_from - ${span}::interval
      where user_id = ${userId} and active_from > now()`.execute(db);

  test("a passkey that the operator opens is active after 24 hours, and all owners are mailed at once", async () => {
    const { story, owner } = await begin();
    const ada = await comeByLink(story);
    expect(await openPasskeys({ db, config }, story.email)).toBeUndefined();
    const { authenticator } = await add(ada);
    const opened = await openPasskeys({ db, config }, ` ${story.email.toUpperCase()} `);
    expect(opened?.passkeys).toEqual(["Passkey"]);
    expect(opened?.told.toSorted()).toEqual([story.email, owner.email].toSorted());
    expect((await subjectsTo(db, owner.email)).at(-1)).toContain(
      "“Ada Owner” can confirm with a new passkey from tomorrow",
    );
    expect((await subjectsTo(db, story.email)).at(-1)).toContain("becomes active tomorrow");
    expect(await openPasskeys({ db, config }, story.email)).toBeUndefined();
    expect((await tracesOf(story.userId)).at(-1)).toMatchObject({ action: "passkeys_opened" });

    await openFrom(story.userId, "23 hours 59 minutes");
    expect(await confirms(ada, authenticator)).toBe(false);
    expect((await open(app, SECURITY, ada)).text).toContain("You can confirm with it from");
    await openFrom(story.userId, "1 minute 1 second");
    expect(await confirms(ada, authenticator)).toBe(true);
  });

  test("the command that opens a passkey prints when it becomes active and whom to tell", async () => {
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

  test("any owner, and only an owner, can stop an opened passkey", async () => {
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
