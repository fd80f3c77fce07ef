import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { auditOf } from "../support/audit.ts";
import { Authenticator, type Lies } from "../support/authenticator.ts";
import { createFixture } from "../support/fixtures.ts";
import {
  cookieOf,
  createHuman,
  type HumanFixture,
  hiddenValue,
  open,
  PASSWORD,
  refusalOf,
  signIn,
  submit,
} from "../support/humans.ts";
import { subjectsTo } from "../support/mails.ts";
import {
  addPasskey,
  askToAdd,
  givePasskey,
  handleOf,
  PASSKEYS,
  SECURITY,
  signInByPasskey,
  userIdOf,
} from "../support/passkeys.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const { app, db, config } = await startService();

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
const tracesOf = async (email: string) =>
  (await auditOf(db, email, ["passkey_added", "passkey_removed"])).map(
    ({ action, before, after, detail }) => ({ action, before, after, detail }),
  );
const isSignedIn = async (cookie: string) => (await open(app, SECURITY, { cookie })).status === 200;

const askToSignIn = async (): Promise<string> =>
  (await submit(app, "/sign-in/passkey/options", {})).body.challenge;

describe("adding a passkey", () => {
  test("adding a passkey stores it, ends the other sessions, mails the member and is audited", async () => {
    const human = await begin();
    const other = cookieOf(await signIn(app, human.email));
    const { answer, authenticator } = await addPasskey(app, human);
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
    expect(kept?.active_from).toEqual(kept?.created_at);
    expect([await isSignedIn(human.cookie), await isSignedIn(other)]).toEqual([true, false]);
    expect(await subjectsTo(db, human.email)).toEqual(["A passkey for Countersign was added"]);
    expect(await tracesOf(human.email)).toEqual([
      {
        action: "passkey_added",
        before: null,
        after: { name: "Passkey", trusted: true },
        detail: { sessionsEnded: 1 },
      },
    ]);
  });

  test("adding a passkey asks for a new, discoverable one with user verification", async () => {
    const human = await begin();
    const { authenticator } = await addPasskey(app, human);
    const { options } = await askToAdd(app, human);
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

  test("a new passkey is named after the system that it is created on", async () => {
    const human = await begin();
    const { form_token, options } = await askToAdd(app, human);
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

  test("adding a passkey returns to the page that asked for it, and never to another origin", async () => {
    const human = await begin();
    const back = await addPasskey(app, human, { fields: { return_to: "/approvals/x" } });
    expect(back.answer.headers.location).toBe("/approvals/x");
    const away = await addPasskey(app, human, { fields: { return_to: "//evil.example/x" } });
    expect(away.answer.headers.location).toBe("/approvals");
    const page = await open(app, `${PASSKEYS}/new?return_to=https://evil.example`, human);
    expect(hiddenValue(page, PASSKEYS, "return_to")).toBe("/approvals");
  });

  test("adding a passkey needs a proof younger than 5 minutes, or the password", async () => {
    const human = await begin();
    const { form_token, options } = await askToAdd(app, human);
    const credential = JSON.stringify(new Authenticator().register(options.challenge));
    await age(human.email, "5 minutes");
    const late = await submit(app, PASSKEYS, { form_token, credential }, human);
    expect(refusalOf(late)).toContain("Enter your password");
    const asked = await askToAdd(app, human);
    expect([asked.answer.status, asked.options]).toEqual([
      422,
      { error: "Enter your password to continue." },
    ]);
    const wrong = await askToAdd(app, human, { password: "not the password" });
    expect(wrong.options).toEqual({ error: "That password isn’t right. Nothing was done." });
    expect(await passkeysOf(human.userId)).toEqual([]);
    expect((await askToAdd(app, human, { password: PASSWORD })).answer.status).toBe(200);
    const done = await submit(app, PASSKEYS, { form_token, credential }, human);
    expect(done.status).toBe(303);
  });

  test("a new passkey of another origin or host, unverified or framed is refused", async () => {
    const human = await begin();
    const wrong: Record<string, Lies> = {
      "another origin": { origin: "https://evil.example" },
      "a longer origin": { origin: `${PUBLIC_URL}.evil.example` },
      "another host": { rpId: "evil.example" },
      "no user verification": { userVerified: false },
      "no user presence": { userPresent: false },
      "an assertion's type": { type: "webauthn.get" },
      "a frame of another site": { crossOrigin: true },
    };
    for (const [what, lies] of Object.entries(wrong)) {
      const { answer } = await addPasskey(app, human, { lies });
      expect(refusalOf(answer), what).toContain("No passkey was added");
    }
    expect(await passkeysOf(human.userId)).toEqual([]);
    expect(await subjectsTo(db, human.email)).toEqual([]);
  });

  test("adding a passkey takes a challenge of this session and purpose once, within 5 minutes", async () => {
    const human = await begin();
    const stranger = await begin();
    const form_token = hiddenValue(await open(app, `${PASSKEYS}/new`, human), PASSKEYS);
    const attempt = async (challenge: string) => {
      const credential = JSON.stringify(new Authenticator().register(challenge));
      return refusalOf(await submit(app, PASSKEYS, { form_token, credential }, human));
    };
    const second = { cookie: cookieOf(await signIn(app, human.email)) };
    const wrong = {
      "another person's": (await askToAdd(app, stranger)).options.challenge,
      "another session's": (await askToAdd(app, second)).options.challenge,
      "a sign-in's": await askToSignIn(),
      "one that was never issued": Buffer.alloc(54, 7).toString("base64url"),
      "an empty one": "",
    };
    for (const [what, challenge] of Object.entries(wrong))
      expect(await attempt(challenge), what).toContain("No passkey was added");

    const { options } = await askToAdd(app, human);
    expect(await attempt(options.challenge)).toBeUndefined();
    expect(await attempt(options.challenge)).toContain("No passkey was added");
    expect(await passkeysOf(human.userId)).toHaveLength(1);
  });

  test("of many tabs that send one new passkey at once, one adds it", async () => {
    const human = await begin();
    const { form_token, options } = await askToAdd(app, human);
    const statuses = await Promise.all(
      Array.from({ length: 6 }, async () => {
        const credential = JSON.stringify(new Authenticator().register(options.challenge));
        return (await submit(app, PASSKEYS, { form_token, credential }, human)).status;
      }),
    );
    expect(statuses.toSorted()).toEqual([303, 409, 409, 409, 409, 409]);
    expect(await passkeysOf(human.userId)).toHaveLength(1);
  });

  test("a known credential is refused, for its own person and for another", async () => {
    const [human, stranger] = [await begin(), await begin()];
    const { authenticator } = await addPasskey(app, human);
    for (const who of [human, stranger])
      expect(refusalOf((await addPasskey(app, who, { authenticator })).answer)).toBeDefined();
    expect(await passkeysOf(stranger.userId)).toEqual([]);
    expect(await passkeysOf(human.userId)).toHaveLength(1);
  });

  test("a person has at most 20 passkeys, also when many are added at once", async () => {
    const human = await begin();
    for (let i = 0; i < 19; i++) await givePasskey(db, human.userId);
    const asked = await Promise.all(Array.from({ length: 4 }, () => askToAdd(app, human)));
    const statuses = await Promise.all(
      asked.map(async ({ form_token, options }) => {
        const credential = JSON.stringify(new Authenticator().register(options.challenge));
        return (await submit(app, PASSKEYS, { form_token, credential }, human)).status;
      }),
    );
    expect(statuses.toSorted()).toEqual([303, 409, 409, 409]);
    expect(await passkeysOf(human.userId)).toHaveLength(20);
    expect((await open(app, `${PASSKEYS}/new`, human)).text).toContain("reached the limit of passkeys");
  });

  test("malformed passkeys are refused without an error", async () => {
    const human = await begin();
    const { form_token, options } = await askToAdd(app, human);
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
      expect(refusalOf(await submit(app, PASSKEYS, fields, human)), credential).toBeDefined();
    }
    expect(await passkeysOf(human.userId)).toEqual([]);
  });
});

describe("a passkey of one's own", () => {
  test("a passkey can be renamed and is shown under its new name", async () => {
    const human = await begin();
    await addPasskey(app, human);
    const [{ id } = { id: "" }] = await passkeysOf(human.userId);
    const page = `${PASSKEYS}/${id}`;
    const rename = async (name: string) => {
      const form_token = hiddenValue(await open(app, page, human), `${page}/name`);
      return submit(app, `${page}/name`, { form_token, name }, human);
    };
    expect(refusalOf(await rename("  "))).toBeDefined();
    expect(refusalOf(await rename("x".repeat(61)))).toBeDefined();
    expect((await rename(" My <b>blue</b>\n key ")).headers.location).toBe(
      `${SECURITY}?said=passkey-renamed`,
    );
    expect((await open(app, SECURITY, human)).text).toContain("My &lt;b&gt;blue&lt;/b&gt; key");
  });

  test("removing a passkey needs a fresh proof, ends other sessions, mails and is audited", async () => {
    const human = await begin();
    const { authenticator } = await addPasskey(app, human);
    const [{ id } = { id: "" }] = await passkeysOf(human.userId);
    const other = cookieOf(await signInByPasskey(app, authenticator, human.userId));
    const page = `${PASSKEYS}/${id}`;
    await age(human.email, "5 minutes");
    const form_token = hiddenValue(await open(app, page, human), `${page}/remove`);
    expect(refusalOf(await submit(app, `${page}/remove`, { form_token }, human))).toBeDefined();
    const wrong = { form_token, password: "not the password" };
    expect(refusalOf(await submit(app, `${page}/remove`, wrong, human))).toBeDefined();
    expect(await passkeysOf(human.userId)).toHaveLength(1);

    const done = await submit(app, `${page}/remove`, { form_token, password: PASSWORD }, human);
    expect(done.headers.location).toBe(`${SECURITY}?said=passkey-removed`);
    expect(await passkeysOf(human.userId)).toEqual([]);
    expect([await isSignedIn(human.cookie), await isSignedIn(other)]).toEqual([true, false]);
    expect((await signInByPasskey(app, authenticator, human.userId)).status).toBe(422);
    expect((await subjectsTo(db, human.email)).at(-1)).toBe("A passkey for Countersign was removed");
    expect((await tracesOf(human.email)).at(-1)).toMatchObject({
      action: "passkey_removed",
      detail: { sessionsEnded: 1 },
    });
  });

  test("another person's passkey cannot be seen, renamed or removed", async () => {
    const [human, stranger] = [await begin(), await begin()];
    await addPasskey(app, human);
    await addPasskey(app, stranger);
    const [{ id } = { id: "" }] = await passkeysOf(human.userId);
    const [{ id: own } = { id: "" }] = await passkeysOf(stranger.userId);
    expect((await open(app, `${PASSKEYS}/${id}`, stranger)).status).toBe(404);
    const page = await open(app, `${PASSKEYS}/${own}`, stranger);
    for (const [what, more] of Object.entries({ name: { name: "Mine" }, remove: {} })) {
      const form_token = hiddenValue(page, `${PASSKEYS}/${own}/${what}`);
      const fields = { form_token, ...more };
      // The token of another passkey's form is refused.
      expect((await submit(app, `${PASSKEYS}/${id}/${what}`, fields, stranger)).status).toBe(403);
    }
    expect(await passkeysOf(human.userId)).toMatchObject([{ id, name: "Passkey" }]);
    expect((await open(app, `${PASSKEYS}/no-uuid`, human)).status).toBe(404);
  });

  test("the page warns before a passkey is removed where the account demands one", async () => {
    const { account } = await createFixture(app);
    const human = await createHuman(app, account);
    const userId = await userIdOf(db, human.email);
    await givePasskey(db, userId);
    const warned = async () => {
      const [{ id } = { id: "" }] = await passkeysOf(userId);
      return (await open(app, `${PASSKEYS}/${id}`, human)).text.includes(
        "the only passkey you can confirm with",
      );
    };
    expect(await warned()).toBe(false);
    await sql`update accounts set co_sign = 'passkey' where id = ${account}`.execute(db);
    expect(await warned()).toBe(true);
    await givePasskey(db, userId);
    expect(await warned()).toBe(false);
  });
});

describe("a passkey in place of the password", () => {
  /** Does what the page's script does on a click. */
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

  test("a passkey proves presence for 5 minutes", async () => {
    const human = await begin();
    const { authenticator } = await addPasskey(app, human);
    expect((await open(app, `${PASSKEYS}/new`, human)).text).not.toContain("data-presence");
    await age(human.email, "5 minutes");
    const { status } = await prove(human, (challenge) => authenticator.assert(challenge));
    expect(status).toBe(204);
    expect((await addPasskey(app, human)).answer.status).toBe(303);
  });

  test("a proof by passkey needs the person's own, this session and user verification", async () => {
    const [human, stranger] = [await begin(), await begin()];
    const [{ authenticator }, { authenticator: foreign }] = [
      await addPasskey(app, human),
      await addPasskey(app, stranger),
    ];
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
    expect((await askToAdd(app, human)).answer.status).toBe(422);
  });
});

test("where browsers create no passkeys, none is offered and each page says so", async () => {
  const plain = await startService({ PUBLIC_URL: "http://127.0.0.1:3000" }, config.databaseUrl);
  const human = await begin();
  expect((await open(plain.app, "/sign-in")).text).not.toContain("passkey");
  const page = await open(plain.app, SECURITY, human);
  expect(page.text).toContain("Passkeys don’t work at this service’s address");
  expect((await open(plain.app, `${PASSKEYS}/new`, human)).status).toBe(409);
  expect((await submit(plain.app, "/sign-in/passkey/options", {})).status).toBe(409);
  expect((await submit(plain.app, "/sign-in/passkey", { credential: "{}" })).status).toBe(422);
});
