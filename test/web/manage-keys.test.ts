import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { openSessions } from "../../src/passkeys/session-deps.ts";
import { formToken } from "../../src/sign-in/form-token.ts";
import { readSession } from "../../src/sign-in/service.ts";
import { deriveKeys } from "../../src/sign-in/session-keys.ts";
import { digestRows } from "../http/rows.ts";
import { auditOf } from "../support/audit.ts";
import { type Answer, call, createFixture, type Fixture, operate } from "../support/fixtures.ts";
import {
  cookieNow,
  createHuman,
  type HumanFixture,
  hiddenValue,
  landing,
  open,
  PASSWORD,
  refusalOf,
  submit,
} from "../support/humans.ts";
import { mailsTo } from "../support/mails.ts";
import { startService } from "../support/service.ts";
import { FEATURES, subscribe } from "../support/webhooks.ts";

const { app, db, config } = await startService();

const HERE = "/settings/keys";
const MAKE = `${HERE}/make`;

type Scene = Fixture & HumanFixture;
type Fields = [string, string][];

async function begin(role: "owner" | "approver" | "viewer" = "owner"): Promise<Scene> {
  const fixture = await createFixture(app);
  return { ...fixture, ...(await createHuman(app, fixture.account, role)) };
}

/** The form to make a key, as the page of this moment would send it. */
async function makeForm(
  { cookie }: Scene,
  { name = "Buyer", scopes = ["payments:write", "jobs:read"], lifetime = "90" } = {},
): Promise<Fields> {
  const page = await open(app, HERE, { cookie });
  const hidden = ["account_id", "token_id", "form_token"].map((field): [string, string] => [
    field,
    hiddenValue(page, MAKE, field),
  ]);
  const ticked = scopes.map((scope): [string, string] => ["scopes", scope]);
  return [...hidden, ["name", name], ...ticked, ["lifetime", lifetime]];
}

const make = async (scene: Scene, fields: Fields) => submit(app, MAKE, fields, scene);
const secretIn = (text: string): string => /ot_pat_[A-Za-z0-9_-]{65}/.exec(text)?.[0] ?? "";
const works = async (token: string) =>
  (await call(app, "GET", "/api/public/v1/auth/me", { token })).status === 200;
const list = async ({ token }: Fixture) =>
  (await call(app, "GET", "/api/public/v1/tokens", { token })).body.tokens;

/** Revokes by the form that the page of a key leads to. */
async function revoke({ cookie }: Scene, id: string): Promise<Answer> {
  const path = `${HERE}/${id}/revoke`;
  const form_token = hiddenValue(await open(app, path, { cookie }), path);
  return submit(app, path, { form_token }, { cookie });
}

async function letProofAge({ account }: Fixture): Promise<void> {
  await sql`
    update auth.sessions set proved_at = proved_at - interval '6 minutes'
    where user_id in (select user_id from members where account_id = ${accountKey(account)})`.execute(db);
}

/** The token that the form would have, had the page drawn one for this person. */
async function tokenFor({ cookie }: HumanFixture, form: Fields): Promise<string> {
  const value = (name: string) => form.find(([field]) => field === name)?.[1];
  const deps = openSessions(db, config, createLogger("silent"));
  const human = await readSession(deps, cookieNow(cookie), { address: "127.0.0.1", requestId: "r" });
  const purpose = `keys:make:${value("account_id")}:${value("token_id")}`;
  return formToken(deriveKeys(config.sessionSecrets), { sessionId: human?.sessionId ?? "" }, purpose);
}

describe("a person who makes a key", () => {
  test.each(["owner", "approver"] as const)(
    "as %s, is shown it this once, with what it may do and until when",
    async (role) => {
      const scene = await begin(role);
      const answer = await make(scene, await makeForm(scene));
      expect(answer.status, answer.text).toBe(201);
      expect(answer.headers["cache-control"]).toBe("no-store");
      const token = secretIn(answer.text);
      const me = (await call(app, "GET", "/api/public/v1/auth/me", { token })).body;
      expect(me.token).toMatchObject({ label: "Buyer", scopes: ["payments:write", "jobs:read"] });
      const [key] = await list(scene);
      expect(Date.parse(key.expiresAt) - Date.parse(key.createdAt)).toBe(90 * 86_400_000);
      const page = await open(app, HERE, scene);
      expect(page.text).not.toContain(token);
      for (const said of [key.preview, "May ask for payments and see jobs", "by <bdi>Ada Owner</bdi>"])
        expect(page.text).toContain(said);
    },
  );

  test("may have it last until it is revoked, and name what the API calls with it", async () => {
    const scene = await begin();
    const answer = await make(scene, await makeForm(scene, { lifetime: "none", name: "  Two \n words " }));
    expect(answer.status).toBe(201);
    expect((await list(scene))[0]).toMatchObject({ name: "Two words", expiresAt: null });
  });

  test("is mailed, as are the other owners, and leaves a trace", async () => {
    // No consent is needed while there is no owner.
    const approver = await begin("approver");
    const scene = { ...approver, ...(await createHuman(app, approver.account)) };
    await make(approver, await makeForm(approver));
    const [key] = await list(scene);
    for (const { email } of [scene, approver]) {
      const mail = (await mailsTo(db, email)).at(-1);
      expect(mail?.subject).toBe("Countersign: a new API key for “Acme”");
      expect(mail?.body).toContain(`“Buyer” (${key.preview})`);
      expect(mail?.body).toContain("It may ask for payments and see jobs.");
    }
    expect((await auditOf(db, approver.email)).at(-1)).toMatchObject({
      action: "key_minted",
      subjectId: key.id,
      after: { name: "Buyer", scopes: key.scopes },
    });
  });

  test("makes one of a form that is sent twice, one after the other or at once", async () => {
    const scene = await begin();
    const form = await makeForm(scene);
    const both = await Promise.all([make(scene, form), make(scene, form)]);
    expect(both.map(({ status }) => status).sort()).toEqual([201, 403]);
    expect((await make(scene, form)).status).toBe(403);
    expect(await list(scene)).toHaveLength(2);
  });

  test.each<[string, Parameters<typeof makeForm>[1], string]>([
    ["has no name", { name: " " }, "Give the key a name."],
    ["has a long name", { name: "x".repeat(121) }, "Use at most 120 characters."],
    ["may do nothing", { scopes: [] }, "Choose at least one permission."],
  ])("is told when it %s, and keeps what was typed and ticked", async (_what, given, message) => {
    const scene = await begin();
    const { text } = await landing(app, await make(scene, await makeForm(scene, given)), scene);
    expect(text).toContain(message);
    expect(text).toContain('<option value="90" selected>');
    if (given?.name === undefined) expect(text).toContain('value="Buyer"');
    else expect(text).toMatch(/value="jobs:read" checked/);
    expect(await list(scene)).toHaveLength(1);
  });

  test("must prove that they are there, if they have not for 5 minutes", async () => {
    const scene = await begin();
    await letProofAge(scene);
    const form = await makeForm(scene);
    const before = await digestRows(db);
    const asked = await make(scene, form);
    expect(refusalOf(asked)).toContain("Enter your password to continue.");
    expect(await digestRows(db)).toEqual(before);
    const wrong = await make(scene, [...form, ["password", "not this one"]]);
    expect(refusalOf(wrong)).toContain("That password isn’t right.");
    expect(await list(scene)).toHaveLength(1);
    expect((await make(scene, [...form, ["password", PASSWORD]])).status).toBe(201);
    expect((await make(scene, await makeForm(scene))).status).toBe(201);
  });

  test("is told when the account has 25, and finds no form then", async () => {
    const scene = await begin();
    const form = await makeForm(scene);
    // Tokens mint 20 of them at most; the operator may mint them all.
    const key = { name: "One of many", scopes: [] };
    for (let i = 1; i < 25; i++) await operate(app, "POST", `/accounts/${scene.account}/tokens`, key);
    expect(refusalOf(await make(scene, form))).toContain("reached its limit of active API keys");
    const page = await open(app, HERE, scene);
    expect(page.text).toContain("An account can have 25 active keys.");
    expect(page.text).not.toContain(MAKE);
  });
});

describe("a person who revokes a key", () => {
  test("is asked first, and then ends it at once, with all that it has made; a trace stays", async () => {
    const scene = await begin();
    const { body } = await call(app, "POST", "/api/public/v1/tokens", scene);
    const child = await call(app, "POST", "/api/public/v1/tokens", { token: body.token });
    const { id } = body.metadata;
    const page = await open(app, `${HERE}/${id}/revoke`, scene);
    expect(page.text).toContain(body.metadata.preview);
    expect(await works(body.token)).toBe(true);
    const answer = await revoke(scene, id);
    expect([answer.status, answer.headers.location]).toEqual([303, `${HERE}?said=revoked`]);
    for (const token of [body.token, child.body.token]) expect(await works(token)).toBe(false);
    expect(await works(scene.token)).toBe(true);
    expect((await auditOf(db, scene.email)).at(-1)).toMatchObject({
      action: "key_revoked",
      subjectId: id,
      detail: { ended: 2, webhooksEnded: 0 },
    });
    expect((await open(app, HERE, scene)).text).toContain("Recently ended");
  });

  test.each([
    ["keeps", undefined],
    ["deletes", "yes"],
  ])(
    "is shown the webhooks that it and its descendants have made, and %s them, as they say",
    async (_what, said) => {
      const scene = await begin();
      await operate(app, "PUT", `/accounts/${scene.account}`, { features: FEATURES });
      const mint = async (token: string) =>
        (await call(app, "POST", "/api/public/v1/tokens", { token })).body as {
          token: string;
          metadata: { id: string };
        };
      const key = await mint(scene.token);
      await subscribe(app, key.token, "https://example.com/key");
      await subscribe(app, (await mint(key.token)).token, "https://example.com/child");
      await subscribe(app, scene.token, "https://example.com/other");
      const path = `${HERE}/${key.metadata.id}/revoke`;
      const page = await open(app, path, scene);
      for (const url of ["https://example.com/key", "https://example.com/child"])
        expect(page.text).toContain(url);
      expect(page.text).not.toContain("https://example.com/other");
      expect(page.text).not.toMatch(/name="delete_webhooks" value="yes" checked/);
      const form_token = hiddenValue(page, path);
      await submit(app, path, { form_token, ...(said && { delete_webhooks: said }) }, scene);
      const { body } = await call(app, "GET", "/api/public/v1/webhooks", scene);
      expect(body.webhooks).toHaveLength(said === undefined ? 3 : 1);
      expect((await auditOf(db, scene.email)).at(-1)?.detail).toMatchObject({
        ended: 2,
        webhooksEnded: said === undefined ? 0 : 2,
      });
    },
  );

  test("is mailed, with the account's owners, which key ended and what ended with it, once", async () => {
    const scene = await begin("approver");
    const owner = await createHuman(app, scene.account);
    const { body } = await call(app, "POST", "/api/public/v1/tokens", { ...scene, body: { name: "Leaked" } });
    await call(app, "POST", "/api/public/v1/tokens", { token: body.token });
    const told = async (email: string) =>
      (await mailsTo(db, email)).filter(({ subject }) => subject.includes("was revoked"));
    for (let i = 0; i < 2; i++) {
      await revoke(scene, body.metadata.id);
      for (const { email } of [owner, scene]) {
        const mails = await told(email);
        expect(mails).toHaveLength(1);
        expect(mails[0]?.body).toContain("“Leaked”");
        expect(mails[0]?.body).toContain(body.metadata.preview);
        expect(mails[0]?.body).toContain("2 in all");
      }
    }
  });

  test("needs no proof for it: what leaks is ended fast", async () => {
    const scene = await begin("approver");
    const { id } = (await call(app, "POST", "/api/public/v1/tokens", scene)).body.metadata;
    await letProofAge(scene);
    expect((await revoke(scene, id)).status).toBe(303);
  });
});

describe("who may", () => {
  test("a viewer sees the keys and can neither make nor revoke one", async () => {
    const scene = await begin("viewer");
    const owner = { ...scene, ...(await createHuman(app, scene.account)) };
    const [key] = await list(scene);
    const page = await open(app, HERE, scene);
    expect(page.text).toContain(key.preview);
    expect(page.text).not.toContain('<form method="post" action="/settings/keys');
    expect(page.text).not.toContain("/revoke");
    expect((await open(app, `${HERE}/${key.id}/revoke`, scene)).status).toBe(403);
    const before = await digestRows(db);
    const form = await makeForm(owner);
    const forged = await tokenFor(scene, form);
    const ownForm = form.map(([name, value]): [string, string] => [
      name,
      name === "form_token" ? forged : value,
    ]);
    expect((await make(scene, ownForm)).status).toBe(403);
    expect(await digestRows(db)).toEqual(before);
  });

  test("one who became a viewer after the page was opened makes and revokes nothing", async () => {
    const scene = await begin("approver");
    const { id } = (await call(app, "POST", "/api/public/v1/tokens", scene)).body.metadata;
    const [form, revoking] = [await makeForm(scene), `${HERE}/${id}/revoke`];
    const form_token = hiddenValue(await open(app, revoking, scene), revoking);
    await db.updateTable("members").set({ role: "viewer" }).where("id", "=", scene.memberId).execute();
    expect((await make(scene, form)).status).toBe(403);
    expect((await submit(app, revoking, { form_token }, scene)).status).toBe(403);
    expect((await list(scene)).map(({ status }: { status: string }) => status)).toEqual(["active", "active"]);
  });

  test("another account's key is not found, by its page and by its form", async () => {
    const [scene, other] = [await begin(), await begin()];
    const [key] = await list(other);
    const path = `${HERE}/${key.id}/revoke`;
    expect((await open(app, path, scene)).status).toBe(404);
    const form_token = hiddenValue(await open(app, path, other), path);
    expect((await submit(app, path, { form_token }, scene)).status).toBe(403);
    const form = await makeForm(other);
    expect((await make(scene, form)).status).toBe(403);
    expect(await works(other.token)).toBe(true);
    expect(await list(other)).toHaveLength(1);
  });

  test("no token does anything there, and a stranger is sent to sign in", async () => {
    const scene = await begin();
    const { token } = scene;
    for (const path of [HERE, "/settings/members"]) {
      const headers = { accept: "text/html" };
      expect((await call(app, "GET", path, { token, headers })).status).toBe(303);
      const { status, headers: answered } = await open(app, path);
      expect([status, answered.location]).toEqual([303, `/sign-in?return_to=${encodeURIComponent(path)}`]);
    }
    const form = await makeForm(scene);
    const answer = await submit(app, MAKE, form, {
      headers: { authorization: `Bearer ${token}`, "sec-fetch-site": "same-origin" },
    });
    expect([answer.status, String(answer.headers.location).startsWith("/sign-in")]).toEqual([303, true]);
    expect(
      (await submit(app, MAKE, form, { ...scene, headers: { "sec-fetch-site": "cross-site" } })).status,
    ).toBe(403);
    expect(await list(scene)).toHaveLength(1);
  });

  test("/settings leads to the keys", async () => {
    expect((await open(app, "/settings")).headers.location).toBe(HERE);
  });
});
