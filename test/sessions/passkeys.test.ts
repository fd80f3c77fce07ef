import { generateKeyPairSync } from "node:crypto";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { readClock } from "../../src/database/clock.ts";
import { addSeconds } from "../../src/lib/time.ts";
import { newChallenge } from "../../src/sessions/challenge.ts";
import { deriveKeys } from "../../src/sessions/keys.ts";
import { Authenticator, type Lies } from "../support/authenticator.ts";
import { createFixture, fund } from "../support/fixtures.ts";
import {
  cookieOf,
  createHuman,
  type HumanFixture,
  hiddenValue,
  open,
  PASSWORD,
  setCookies,
  signIn,
  submit,
} from "../support/humans.ts";
import { givePasskey, userIdOf } from "../support/passkeys.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const { app, db, config } = await startService();
const SECURITY = "/settings/security";
const PASSKEYS = `${SECURITY}/passkeys`;

async function begin(): Promise<HumanFixture & { userId: string }> {
  const { account } = await createFixture(app);
  const human = await createHuman(app, account);
  return { ...human, userId: await userIdOf(db, human.email) };
}

const age = (email: string, span: string) =>
  sql`update auth.sessions set proved_at = proved_at - ${span}::interval
    where user_id = (select id from auth.users where email = ${email})`.execute(db);
const passkeysOf = (userId: string) =>
  db.selectFrom("auth.passkeys").where("user_id", "=", userId).selectAll().execute();
const tracesOf = async (userId: string) =>
  (
    await db
      .selectFrom("auth.audit")
      .where("user_id", "=", userId)
      .where("action", "like", "passkey%")
      .select(["action", "detail"])
      .orderBy("created_at")
      .execute()
  ).map(({ action, detail }) => ({ action, detail: detail as Record<string, unknown> }));
const subjectsTo = async (email: string) =>
  (
    await db
      .selectFrom("mails")
      .where("recipient", "=", email)
      .select("subject")
      .orderBy("created_at")
      .execute()
  ).map(({ subject }) => subject);

/** What the page's script asks before it asks the browser. */
async function askToAdd({ cookie }: { cookie: string }, fields: Record<string, string> = {}) {
  const form_token = hiddenValue(await open(app, `${PASSKEYS}/new`, { cookie }), PASSKEYS);
  const answer = await submit(app, `${PASSKEYS}/options`, { form_token, ...fields }, { cookie });
  return { form_token, answer, options: answer.body };
}

/** Adds a passkey as a browser does. */
async function add(
  human: { cookie: string },
  {
    authenticator = new Authenticator(),
    lies,
    ...fields
  }: {
    authenticator?: Authenticator;
    lies?: Lies;
    [field: string]: unknown;
  } = {},
) {
  const { form_token, options } = await askToAdd(human);
  const credential = JSON.stringify(authenticator.register(options.challenge, lies));
  const answer = await submit(
    app,
    PASSKEYS,
    { form_token, credential, ...(fields as Record<string, string>) },
    human,
  );
  return { answer, authenticator, credential, form_token };
}

async function askToSignIn(): Promise<string> {
  const answer = await submit(app, "/sign-in/passkey/options", {});
  expect(answer.status, answer.text).toBe(200);
  return answer.body.challenge;
}

const handleOf = (userId: string) => Buffer.from(userId).toString("base64url");

async function signInWith(
  authenticator: Authenticator,
  userId: string,
  {
    lies = {},
    challenge,
    cookie,
    returnTo,
  }: {
    lies?: Lies;
    challenge?: string;
    cookie?: string;
    returnTo?: string;
  } = {},
) {
  const assertion = authenticator.assert(challenge ?? (await askToSignIn()), {
    userHandle: handleOf(userId),
    ...lies,
  });
  const fields = { credential: JSON.stringify(assertion), return_to: returnTo ?? "" };
  return submit(app, "/sign-in/passkey", fields, { cookie });
}

const isSignedIn = async (cookie: string) => (await open(app, SECURITY, { cookie })).status === 200;

describe("adding a passkey", () => {
  test("keeps it, ends the other sessions, mails the member and leaves a trace", async () => {
    const human = await begin();
    const other = cookieOf(await signIn(app, human.email));
    const { answer, authenticator } = await add(human);
    expect([answer.status, answer.headers.location]).toEqual([303, `${SECURITY}?said=passkey`]);
    const [kept] = await passkeysOf(human.userId);
    expect(kept).toMatchObject({
      name: "Passkey",
      credential_id: authenticator.credentialId,
      public_key: authenticator.coseKey,
      counter: 0,
      transports: ["internal"],
      device_type: "singleDevice",
      last_used_at: null,
    });
    expect(kept?.trusted_from).toEqual(kept?.created_at);
    expect([await isSignedIn(human.cookie), await isSignedIn(other)]).toEqual([true, false]);
    expect(await subjectsTo(human.email)).toEqual(["A passkey for Countersign was added"]);
    expect(await tracesOf(human.userId)).toEqual([
      {
        action: "passkey_added",
        detail: { passkeyId: kept?.id, name: "Passkey", trusted: true, sessionsEnded: 1 },
      },
    ]);
  });

  test("asks for one that signs in without an e-mail, recognises its person, and is not there yet", async () => {
    const human = await begin();
    const { authenticator } = await add(human);
    const { options } = await askToAdd(human);
    expect(options).toMatchObject({
      rp: { id: "localhost" },
      user: { id: handleOf(human.userId), name: human.email },
      attestation: "none",
      authenticatorSelection: { residentKey: "required", userVerification: "required" },
      excludeCredentials: [{ id: authenticator.id }],
      timeout: 300_000,
    });
    expect(options.pubKeyCredParams.map(({ alg }: { alg: number }) => alg)).toEqual([-7, -8, -257]);
  });

  test("is named after the machine", async () => {
    const human = await begin();
    const { form_token, options } = await askToAdd(human);
    const credential = JSON.stringify(new Authenticator().register(options.challenge));
    await submit(
      app,
      PASSKEYS,
      { form_token, credential },
      {
        cookie: human.cookie,
        headers: {
          "sec-fetch-site": "same-origin",
          "user-agent": "Mozilla/5.0 (Linux; Android 16; Pixel 10) AppleWebKit/537.36",
        },
      },
    );
    expect((await passkeysOf(human.userId)).map(({ name }) => name)).toEqual(["Passkey on Android"]);
  });

  test("leads back to where it was wanted, and to nowhere else", async () => {
    const human = await begin();
    const back = await add(human, { return_to: "/approvals/x" });
    expect(back.answer.headers.location).toBe("/approvals/x");
    const away = await add(human, { return_to: "//evil.example/x" });
    expect(away.answer.headers.location).toBe("/approvals");
    const page = await open(app, `${PASSKEYS}/new?return_to=https://evil.example`, human);
    expect(hiddenValue(page, PASSKEYS, "return_to")).toBe("/approvals");
  });

  test("needs a proof younger than 5 minutes, or the password now", async () => {
    const human = await begin();
    const { form_token, options } = await askToAdd(human);
    const credential = JSON.stringify(new Authenticator().register(options.challenge));
    await age(human.email, "5 minutes");
    const late = await submit(app, PASSKEYS, { form_token, credential }, human);
    expect([late.status, late.text.includes("Type your password")]).toEqual([422, true]);
    const asked = await askToAdd(human);
    expect([asked.answer.status, asked.options]).toEqual([
      422,
      { error: "Type your password, to show that it is you." },
    ]);
    const wrong = await askToAdd(human, { password: "not the password" });
    expect(wrong.options).toEqual({ error: "This is not your password. Nothing was done." });
    expect(await passkeysOf(human.userId)).toEqual([]);
    expect((await askToAdd(human, { password: PASSWORD })).answer.status).toBe(200);
    const done = await submit(app, PASSKEYS, { form_token, credential }, human);
    expect(done.status).toBe(303);
  });

  test("is refused for another origin, another host, without user verification or presence, in a frame", async () => {
    const human = await begin();
    const wrong: Record<string, Lies> = {
      "another origin": { origin: "https://evil.example" },
      "a longer origin": { origin: `${PUBLIC_URL}.evil.example` },
      "another host": { rpId: "evil.example" },
      "no user verification": { userVerified: false },
      "nobody there": { userPresent: false },
      "an assertion's type": { type: "webauthn.get" },
      "a frame of another site": { crossOrigin: true },
    };
    for (const [what, lies] of Object.entries(wrong)) {
      const { answer } = await add(human, { lies });
      expect([answer.status, answer.text.includes("No passkey was added")], what).toEqual([422, true]);
    }
    expect(await passkeysOf(human.userId)).toEqual([]);
    expect(await subjectsTo(human.email)).toEqual([]);
  });

  test("takes a challenge of this session for this purpose, within 5 minutes, once", async () => {
    const human = await begin();
    const stranger = await begin();
    const form_token = hiddenValue(await open(app, `${PASSKEYS}/new`, human), PASSKEYS);
    const attempt = async (challenge: string) => {
      const credential = JSON.stringify(new Authenticator().register(challenge));
      return (await submit(app, PASSKEYS, { form_token, credential }, human)).status;
    };
    const second = { cookie: cookieOf(await signIn(app, human.email)) };
    const wrong = {
      "another person's": (await askToAdd(stranger)).options.challenge,
      "another session's": (await askToAdd(second)).options.challenge,
      "a sign-in's": await askToSignIn(),
      "one of nobody": Buffer.alloc(54, 7).toString("base64url"),
      "an empty one": "",
    };
    for (const [what, challenge] of Object.entries(wrong)) expect(await attempt(challenge), what).toBe(422);

    const { options } = await askToAdd(human);
    expect(await attempt(options.challenge)).toBe(303);
    expect(await attempt(options.challenge)).toBe(422);
    expect(await passkeysOf(human.userId)).toHaveLength(1);
  });

  test("takes one answer once, however many tabs send it at once", async () => {
    const human = await begin();
    const { form_token, options } = await askToAdd(human);
    const statuses = await Promise.all(
      Array.from({ length: 6 }, async () => {
        const credential = JSON.stringify(new Authenticator().register(options.challenge));
        return (await submit(app, PASSKEYS, { form_token, credential }, human)).status;
      }),
    );
    expect(statuses.toSorted()).toEqual([303, 422, 422, 422, 422, 422]);
    expect(await passkeysOf(human.userId)).toHaveLength(1);
  });

  test("refuses a credential that is known, to its own person and to another", async () => {
    const [human, stranger] = [await begin(), await begin()];
    const { authenticator } = await add(human);
    for (const who of [human, stranger]) expect((await add(who, { authenticator })).answer.status).toBe(422);
    expect(await passkeysOf(stranger.userId)).toEqual([]);
    expect(await passkeysOf(human.userId)).toHaveLength(1);
  });

  test("stops at 20, however many come at once", async () => {
    const human = await begin();
    for (let i = 0; i < 18; i++) await givePasskey(db, human.userId);
    const asked = await Promise.all(Array.from({ length: 4 }, () => askToAdd(human)));
    const statuses = await Promise.all(
      asked.map(async ({ form_token, options }) => {
        const credential = JSON.stringify(new Authenticator().register(options.challenge));
        return (await submit(app, PASSKEYS, { form_token, credential }, human)).status;
      }),
    );
    expect(statuses.toSorted()).toEqual([303, 303, 409, 409]);
    expect(await passkeysOf(human.userId)).toHaveLength(20);
    expect((await open(app, `${PASSKEYS}/new`, human)).text).toContain("as many passkeys as you may have");
  });

  test("whatever else comes as a passkey is refused, and nothing breaks", async () => {
    const human = await begin();
    const { form_token, options } = await askToAdd(human);
    const good = new Authenticator().register(options.challenge);
    const { response } = good;
    const bad = [
      undefined,
      "",
      "null",
      "[]",
      "{",
      "{}",
      JSON.stringify({ ...good, id: "AAAA" }),
      JSON.stringify({ ...good, response: { ...response, attestationObject: "AAAA" } }),
      JSON.stringify({ ...good, response: { ...response, clientDataJSON: "bnVsbA" } }),
      JSON.stringify({ ...good, response: { ...response, clientDataJSON: "AAAA" } }),
      JSON.stringify({ ...good, response: { ...response, transports: ["x".repeat(40)] } }),
      JSON.stringify(good).slice(0, -1),
      JSON.stringify(new Authenticator().assert(options.challenge)),
    ];
    for (const credential of bad) {
      const fields = credential === undefined ? { form_token } : { form_token, credential };
      expect((await submit(app, PASSKEYS, fields, human)).status, credential).toBe(422);
    }
    expect(await passkeysOf(human.userId)).toEqual([]);
  });
});

describe("a passkey of one's own", () => {
  test("is renamed, and stands under its name", async () => {
    const human = await begin();
    await add(human);
    const [{ id } = { id: "" }] = await passkeysOf(human.userId);
    const page = `${PASSKEYS}/${id}`;
    const rename = async (name: string) => {
      const form_token = hiddenValue(await open(app, page, human), `${page}/name`);
      return submit(app, `${page}/name`, { form_token, name }, human);
    };
    expect((await rename("  ")).status).toBe(422);
    expect((await rename("x".repeat(61))).status).toBe(422);
    expect((await rename(" My <b>blue</b>\n key ")).headers.location).toBe(
      `${SECURITY}?said=passkey-renamed`,
    );
    expect((await open(app, SECURITY, human)).text).toContain("My &lt;b&gt;blue&lt;/b&gt; key");
  });

  test("is removed with a fresh proof: it signs nobody in, other sessions end, a mail and a trace tell of it", async () => {
    const human = await begin();
    const { authenticator } = await add(human);
    const [{ id } = { id: "" }] = await passkeysOf(human.userId);
    const other = cookieOf(await signInWith(authenticator, human.userId));
    const page = `${PASSKEYS}/${id}`;
    await age(human.email, "5 minutes");
    const form_token = hiddenValue(await open(app, page, human), `${page}/remove`);
    expect((await submit(app, `${page}/remove`, { form_token }, human)).status).toBe(422);
    const wrong = { form_token, password: "not the password" };
    expect((await submit(app, `${page}/remove`, wrong, human)).status).toBe(422);
    expect(await passkeysOf(human.userId)).toHaveLength(1);

    const done = await submit(app, `${page}/remove`, { form_token, password: PASSWORD }, human);
    expect(done.headers.location).toBe(`${SECURITY}?said=passkey-removed`);
    expect(await passkeysOf(human.userId)).toEqual([]);
    expect([await isSignedIn(human.cookie), await isSignedIn(other)]).toEqual([true, false]);
    expect((await signInWith(authenticator, human.userId)).status).toBe(422);
    expect((await subjectsTo(human.email)).at(-1)).toBe("A passkey for Countersign was removed");
    expect((await tracesOf(human.userId)).at(-1)).toMatchObject({
      action: "passkey_removed",
      detail: { passkeyId: id, sessionsEnded: 1 },
    });
  });

  test("is nobody else's to see, rename or remove", async () => {
    const [human, stranger] = [await begin(), await begin()];
    await add(human);
    await add(stranger);
    const [{ id } = { id: "" }] = await passkeysOf(human.userId);
    const [{ id: own } = { id: "" }] = await passkeysOf(stranger.userId);
    expect((await open(app, `${PASSKEYS}/${id}`, stranger)).status).toBe(404);
    const page = await open(app, `${PASSKEYS}/${own}`, stranger);
    for (const what of ["name", "remove"]) {
      const form_token = hiddenValue(page, `${PASSKEYS}/${own}/${what}`);
      const fields = { form_token, name: "Mine" };
      // Made for another passkey, the form's token does not count for this one.
      expect((await submit(app, `${PASSKEYS}/${id}/${what}`, fields, stranger)).status).toBe(403);
    }
    expect(await passkeysOf(human.userId)).toMatchObject([{ id, name: "Passkey" }]);
    expect((await open(app, `${PASSKEYS}/no-uuid`, human)).status).toBe(404);
  });

  test("is warned about before it goes, where the account demands one", async () => {
    const { account } = await createFixture(app);
    const human = await createHuman(app, account);
    const userId = await userIdOf(db, human.email);
    await givePasskey(db, userId);
    const warned = async () => {
      const [{ id } = { id: "" }] = await passkeysOf(userId);
      return (await open(app, `${PASSKEYS}/${id}`, human)).text.includes(
        "the only one that you confirm with",
      );
    };
    expect(await warned()).toBe(false);
    await sql`update accounts set co_sign = 'passkey' where id = ${account}`.execute(db);
    expect(await warned()).toBe(true);
    await givePasskey(db, userId);
    expect(await warned()).toBe(false);
  });
});

describe("signing in with a passkey", () => {
  test("needs no e-mail, makes a new session that counts as a proof, and goes where one wanted to", async () => {
    const human = await begin();
    const { authenticator } = await add(human);
    const answer = await signInWith(authenticator, human.userId, {
      cookie: human.cookie,
      returnTo: "/billing",
    });
    expect([answer.status, answer.headers.location]).toEqual([303, "/billing"]);
    expect(setCookies(answer)).toHaveLength(1);
    expect(setCookies(answer)[0]).toMatch(
      /^countersign=[^;]+; Max-Age=604800; Path=\/; HttpOnly; SameSite=Lax$/,
    );
    const cookie = cookieOf(answer);
    const page = await open(app, `${PASSKEYS}/new`, { cookie });
    expect(page.text).toContain(`title="${human.email}"`);
    expect(page.text).not.toContain("Your password, to show that it is you");
    // The one that the browser brought has ended.
    expect(await isSignedIn(human.cookie)).toBe(false);
    expect((await passkeysOf(human.userId))[0]?.last_used_at).toBeInstanceOf(Date);
  });

  test("goes nowhere else", async () => {
    const human = await begin();
    const { authenticator } = await add(human);
    const answer = await signInWith(authenticator, human.userId, { returnTo: "//evil.example" });
    expect(answer.headers.location).toBe("/approvals");
  });

  test("keeps a digest of the session's token, and its cookie is like that of a password", async () => {
    const https = await startService({ PUBLIC_URL: "https://pay.example.com" }, config.databaseUrl);
    const human = await begin();
    const authenticator = await givePasskey(db, human.userId, { origin: "https://pay.example.com" });
    const { body } = await submit(https.app, "/sign-in/passkey/options", {});
    expect(body.rpId).toBe("pay.example.com");
    const assertion = authenticator.assert(body.challenge, { userHandle: handleOf(human.userId) });
    const answer = await submit(https.app, "/sign-in/passkey", { credential: JSON.stringify(assertion) });
    expect(setCookies(answer)[0]).toMatch(
      /^__Host-countersign=[^;]+; Max-Age=604800; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
    );
    const value = decodeURIComponent(cookieOf(answer).slice("__Host-countersign=".length));
    const token = value.slice(0, value.lastIndexOf("."));
    expect(token).toMatch(/^[\w-]{43}$/);
    const { rows } = await sql<{ found: number }>`select count(*) as found from auth.sessions s
      where s::text like ${`%${token}%`}`.execute(db);
    expect(rows).toEqual([{ found: 0 }]);
    expect((await open(https.app, SECURITY, { cookie: cookieOf(answer) })).status).toBe(200);
  });

  test("is refused without user verification, from elsewhere, by another key, and for another person", async () => {
    const [human, stranger] = [await begin(), await begin()];
    const { authenticator } = await add(human);
    const wrong: Record<string, Lies> = {
      "no user verification": { userVerified: false },
      "nobody there": { userPresent: false },
      "another origin": { origin: "https://evil.example" },
      "another host": { rpId: "evil.example" },
      "another type": { type: "webauthn.create" },
      "a frame of another site": { crossOrigin: true },
      "another key": { key: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey },
      "another person's handle": { userHandle: handleOf(stranger.userId) },
    };
    for (const [what, lies] of Object.entries(wrong)) {
      const answer = await signInWith(authenticator, human.userId, { lies });
      expect([answer.status, setCookies(answer)], what).toEqual([422, []]);
      expect(answer.text, what).toContain("This passkey does not sign you in here");
    }
    const unknown = await signInWith(new Authenticator(), human.userId);
    expect(unknown.status).toBe(422);
    // Without a handle nobody has said who it is.
    const assertion = authenticator.assert(await askToSignIn());
    const silent = await submit(app, "/sign-in/passkey", { credential: JSON.stringify(assertion) });
    expect(silent.status).toBe(422);
  });

  test("takes a challenge for it, once, and writes no row for one that nobody has answered", async () => {
    const human = await begin();
    const { authenticator } = await add(human);
    const count = async () =>
      (await sql<{ n: number }>`select count(*) as n from auth.answered_challenges`.execute(db)).rows[0]?.n ??
      0;
    const before = await count();
    const challenge = await askToSignIn();
    for (let i = 0; i < 20; i++) await askToSignIn();
    await signInWith(new Authenticator(), human.userId, { challenge });
    expect(await count()).toBe(before);
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => signInWith(authenticator, human.userId, { challenge })),
    );
    expect(answers.map(({ status }) => status).toSorted()).toEqual([303, 422, 422, 422, 422, 422]);
    expect(await count()).toBe(before + 1);
    const ofAdding = (
      await askToAdd({ cookie: cookieOf(answers.find(({ status }) => status === 303) as any) })
    ).options.challenge;
    expect((await signInWith(authenticator, human.userId, { challenge: ofAdding })).status).toBe(422);
  });

  test("lapses 5 minutes after it was asked, by the database's clock", async () => {
    const human = await begin();
    const { authenticator } = await add(human);
    const signIn = { sessionId: undefined, purpose: "passkey:sign-in" };
    const asked = async (secondsAgo: number) => {
      const at = addSeconds(await readClock(db), -secondsAgo);
      return newChallenge(deriveKeys(config.sessionSecrets), signIn, at).toString("base64url");
    };
    const late = await signInWith(authenticator, human.userId, { challenge: await asked(300) });
    expect(late.status).toBe(422);
    const inTime = await signInWith(authenticator, human.userId, { challenge: await asked(290) });
    expect(inTime.status).toBe(303);
  });

  test("refuses a counter that goes back, or stands still once it has moved", async () => {
    const human = await begin();
    const authenticator = await givePasskey(db, human.userId, { counter: 5 });
    for (const counter of [4, 5, 0])
      expect((await signInWith(authenticator, human.userId, { lies: { counter } })).status).toBe(422);
    expect((await signInWith(authenticator, human.userId, { lies: { counter: 6 } })).status).toBe(303);
    expect((await signInWith(authenticator, human.userId, { lies: { counter: 6 } })).status).toBe(422);
  });

  test("still lets somebody in whose password others have failed 10 times, but is limited by address", async () => {
    const human = await begin();
    const { authenticator } = await add(human);
    for (let i = 0; i < 11; i++) await signIn(app, human.email, "not the password");
    expect((await signIn(app, human.email)).status).toBe(429);
    expect((await signInWith(authenticator, human.userId)).status).toBe(303);
  });

  test("shows somebody who was removed from their account nothing of it", async () => {
    const fixture = await createFixture(app);
    const other = await createHuman(app, fixture.account, "approver");
    await createHuman(app, fixture.account);
    const userId = await userIdOf(db, other.email);
    const { authenticator } = await add(other);
    await sql`update members set status = 'removed' where id = ${other.memberId}`.execute(db);
    const { body } = await fund(app, fixture.token, fixture.milestone);
    const cookie = cookieOf(await signInWith(authenticator, userId));
    expect((await open(app, `/approvals/${body.approval.id}`, { cookie })).status).toBe(404);
  });
});

describe("a passkey in place of the password", () => {
  /** What the page's script does behind the button. */
  async function prove(
    { cookie }: HumanFixture,
    answer: (challenge: string) => object,
  ): Promise<{ status: number; form_token: string; challenge: string }> {
    const page = await open(app, `${PASSKEYS}/new`, { cookie });
    const form_token = /data-presence="[^"]*" data-token="([^"]*)"/.exec(page.text)?.[1] ?? "";
    const { body } = await submit(app, `${SECURITY}/presence/options`, { form_token }, { cookie });
    const fields = { form_token, credential: JSON.stringify(answer(body.challenge)) };
    const { status } = await submit(app, `${SECURITY}/presence`, fields, { cookie });
    return { status, form_token, challenge: body.challenge };
  }

  test("shows that one is there, for 5 minutes", async () => {
    const human = await begin();
    const { authenticator } = await add(human);
    expect((await open(app, `${PASSKEYS}/new`, human)).text).not.toContain("data-presence");
    await age(human.email, "5 minutes");
    const { status } = await prove(human, (challenge) => authenticator.assert(challenge));
    expect(status).toBe(204);
    expect((await add(human)).answer.status).toBe(303);
  });

  test("must be one's own, asked in this session, and have recognised its person", async () => {
    const [human, stranger] = [await begin(), await begin()];
    const [{ authenticator }, { authenticator: foreign }] = [await add(human), await add(stranger)];
    await age(human.email, "5 minutes");
    const fails = async (answer: (challenge: string) => object) =>
      expect((await prove(human, answer)).status).toBe(422);
    await fails((challenge) => foreign.assert(challenge));
    await fails((challenge) => authenticator.assert(challenge, { userVerified: false }));
    await fails(() => ({}));
    const challenge = await askToSignIn();
    await fails(() => authenticator.assert(challenge));
    const once = await prove(human, (asked) => authenticator.assert(asked));
    expect(once.status).toBe(204);
    await age(human.email, "5 minutes");
    await fails(() => authenticator.assert(once.challenge));
    expect((await askToAdd(human)).answer.status).toBe(422);
  });
});

test("where browsers make no passkeys, none is offered, and each way to one says so", async () => {
  const plain = await startService({ PUBLIC_URL: "http://127.0.0.1:3000" }, config.databaseUrl);
  const human = await begin();
  expect((await open(plain.app, "/sign-in")).text).not.toContain("passkey");
  const page = await open(plain.app, SECURITY, human);
  expect(page.text).toContain("Browsers make no passkeys for the address of this service");
  expect((await open(plain.app, `${PASSKEYS}/new`, human)).status).toBe(409);
  expect((await submit(plain.app, "/sign-in/passkey/options", {})).status).toBe(409);
  expect((await submit(plain.app, "/sign-in/passkey", { credential: "{}" })).status).toBe(422);
});
