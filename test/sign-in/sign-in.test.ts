import { randomBytes } from "node:crypto";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { createFixture } from "../support/fixtures.ts";
import {
  cookieOf,
  createHuman,
  hiddenValue,
  newEmail,
  open,
  PASSWORD,
  setCookies,
  signIn,
  submit,
} from "../support/humans.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();
const https = await startService({ PUBLIC_URL: "https://pay.example.com" });

async function signedInName(cookie: string | undefined): Promise<string | undefined> {
  return /<span title="([^"]*)"/.exec((await open(app, "/approvals", { cookie })).text)?.[1];
}

describe("/sign-in", () => {
  test("a member signs in with email, in any case, and password, and goes to the inbox", async () => {
    const { account } = await createFixture(app);
    const { email } = await createHuman(app, account);
    const answer = await signIn(app, ` ${email.toUpperCase()} `);
    expect(answer.status).toBe(303);
    expect(answer.headers.location).toBe("/approvals");
    expect(await signedInName(cookieOf(answer))).toBe(email);
  });

  test("an unknown email, a wrong password and no email give one answer and no cookie", async () => {
    const { account } = await createFixture(app);
    const { email } = await createHuman(app, account);
    const answers = [
      await signIn(app, email, "not the password at all"),
      await signIn(app, newEmail(), "not the password at all"),
      await signIn(app, newEmail(), PASSWORD),
    ];
    const bodies = answers.map(({ text }) => text.replace(/ value="[^"]*@[^"]*"/, ""));
    expect(answers.map(({ status }) => status)).toEqual([422, 422, 422]);
    expect(new Set(bodies).size).toBe(1);
    expect(answers.flatMap(setCookies)).toEqual([]);
    expect(bodies[0]).toContain("That email and password don’t match");
  });

  test("an unknown email costs a password hash, as a known one does", async () => {
    const { account } = await createFixture(app);
    const { email } = await createHuman(app, account);
    const time = async (who: string) => {
      const start = performance.now();
      await signIn(app, who, "not the password at all");
      return performance.now() - start;
    };
    await time(email);
    const known: number[] = [];
    const unknown: number[] = [];
    for (let i = 0; i < 5; i++) {
      known.push(await time(email));
      unknown.push(await time(newEmail()));
    }
    const median = (values: number[]) => values.toSorted((a, b) => a - b)[2] ?? 0;
    // Without the hash it would be a twentieth.
    expect(median(unknown)).toBeGreaterThan(median(known) / 3);
  });

  test("the sign-in page suits password managers, marks wrong fields and cannot be framed", async () => {
    const page = await open(app, "/sign-in");
    expect(page.text).toMatch(/<input id="email" name="email" type="email" autocomplete="username webauthn"/);
    expect(page.text).toMatch(/autocomplete="current-password"/);
    const refused = await signIn(app, newEmail(), "wrong");
    expect(refused.text).toContain('aria-describedby="password-fault"');
    expect(refused.text).toContain('id="password-fault"');
    expect(refused.text).not.toContain("wrong");
    expect(page.headers["content-security-policy"]).toContain("frame-ancestors 'none'");
    expect(page.headers["content-security-policy"]).toContain("default-src 'none'");
  });

  test("the sign-in page shows the typed email again, escaped", async () => {
    const answer = await signIn(app, '"><script>alert(1)</script>', "wrong");
    expect(answer.text).not.toContain("<script>");
  });

  test("a signed-in person is redirected from the sign-in page at once", async () => {
    const { account } = await createFixture(app);
    const { cookie } = await createHuman(app, account);
    const page = await open(app, "/sign-in?return_to=/billing", { cookie });
    expect(page.status).toBe(303);
    expect(page.headers.location).toBe("/billing");
  });
});

describe("the session's cookie", () => {
  test("the session cookie is HttpOnly and SameSite=Lax, and not Secure over plain http", async () => {
    const { account } = await createFixture(app);
    const { email } = await createHuman(app, account);
    const cookies = setCookies(await signIn(app, email));
    expect(cookies).toHaveLength(1);
    expect(cookies[0]).toMatch(/^countersign=[^;]+; Max-Age=604800; Path=\/; HttpOnly; SameSite=Lax$/);
  });

  test("the session cookie is Secure and bound to the host under https", async () => {
    const { account } = await createFixture(https.app);
    const { email, cookie } = await createHuman(https.app, account);
    const cookies = setCookies(await signIn(https.app, email));
    expect(cookies).toHaveLength(1);
    expect(cookies[0]).toMatch(
      /^__Host-countersign=[^;]+; Max-Age=604800; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
    );
    const page = await open(https.app, "/approvals", { cookie });
    expect(page.status).toBe(200);
    const gone = await submit(
      https.app,
      "/sign-out",
      { form_token: hiddenValue(page, "/sign-out") },
      { cookie },
    );
    expect(setCookies(gone)[0]).toMatch(/^__Host-countersign=; Max-Age=0; Path=\/; HttpOnly; Secure/);
  });

  test("every sign-in sets a new session cookie and ends the session that the browser brought", async () => {
    const { account } = await createFixture(app);
    const { email, cookie: former } = await createHuman(app, account);
    const cookie = cookieOf(await signIn(app, email, PASSWORD, { cookie: former }));
    expect(cookie).not.toBe(former);
    expect(await signedInName(former)).toBeUndefined();
    expect(await signedInName(cookie)).toBe(email);
  });

  test("a wrong password ends no session", async () => {
    const { account } = await createFixture(app);
    const { email, cookie } = await createHuman(app, account);
    await signIn(app, email, "not the password at all", { cookie });
    expect(await signedInName(cookie)).toBe(email);
  });

  test("sign-out, by its own form only, ends the session and removes its cookie", async () => {
    const { account } = await createFixture(app);
    const { email, cookie } = await createHuman(app, account);
    const page = await open(app, "/approvals", { cookie });
    expect((await submit(app, "/sign-out", {}, { cookie })).status).toBe(403);
    expect(await signedInName(cookie)).toBe(email);
    const answer = await submit(app, "/sign-out", { form_token: hiddenValue(page, "/sign-out") }, { cookie });
    expect(answer.status).toBe(303);
    expect(setCookies(answer)[0]).toMatch(/^countersign=; Max-Age=0/);
    expect(await signedInName(cookie)).toBeUndefined();
  });

  test("a changed, foreign or unsigned session cookie is ignored", async () => {
    const { account } = await createFixture(app);
    const { email, cookie } = await createHuman(app, account);
    const value = cookie.slice("countersign=".length);
    const [token = "", signature = ""] = value.split(".");
    const asCookie = (text: string) => `countersign=${encodeURIComponent(text)}`;
    expect(await signedInName(asCookie(value))).toBe(email);
    const foreign = randomBytes(32).toString("base64");
    for (const bad of [token, `${token}.`, `${token}.${foreign}`, `x${token}.${signature}`, "%", "."]) {
      expect(await signedInName(asCookie(bad)), bad).toBeUndefined();
    }
    expect(await signedInName("countersign=%E0%A4%A")).toBeUndefined();
  });

  test("a session ends after 12 idle hours and after 7 days, by the database's clock", async () => {
    const { account } = await createFixture(app);
    for (const [column, still, over] of [
      ["seen_at", "11 hours 59 minutes", "12 hours 1 second"],
      ["started_at", "6 days 23 hours", "7 days 1 second"],
    ] as const) {
      const { email, cookie } = await createHuman(app, account, "viewer");
      const age = (span: string) =>
        sql`update auth.sessions set ${sql.ref(column)} = now() - ${span}::interval
          where user_id = (select id from auth.users where email = ${email})`.execute(db);
      await age(still);
      expect(await signedInName(cookie), still).toBe(email);
      await age(over);
      expect(await signedInName(cookie), over).toBeUndefined();
    }
  });

  test("using an idle session keeps it alive", async () => {
    const { account } = await createFixture(app);
    const { email, cookie } = await createHuman(app, account);
    await sql`update auth.sessions set seen_at = now() - interval '11 hours'
      where user_id = (select id from auth.users where email = ${email})`.execute(db);
    await open(app, "/approvals", { cookie });
    const { rows } = await sql<{ idle: boolean }>`select seen_at < now() - interval '1 minute' as idle
      from auth.sessions where user_id = (select id from auth.users where email = ${email})`.execute(db);
    expect(rows).toEqual([{ idle: false }]);
  });
});

describe("what the database holds", () => {
  test("no table holds a session cookie, its token or a password", async () => {
    const { account } = await createFixture(app);
    const { email, cookie } = await createHuman(app, account);
    const second = cookieOf(await signIn(app, email));
    const tables = await sql<{ name: string }>`select format('%I.%I', schemaname, tablename) as name
      from pg_tables where schemaname in ('public', 'auth', 'sandbox')`.execute(db);
    expect(tables.rows.length).toBeGreaterThan(15);
    for (const one of [cookie, second]) {
      const value = one.slice("countersign=".length);
      const [token = "", signature = ""] = value.split(".");
      expect(token).toMatch(/^[\w-]{43}$/);
      for (const { name } of tables.rows) {
        const { rows } = await sql<{ found: number }>`select count(*) as found from ${sql.raw(name)} t
          where t::text like any(${[token, signature, PASSWORD].map((secret) => `%${secret}%`)}::text[])`.execute(
          db,
        );
        expect(rows[0]?.found, name).toBe(0);
      }
    }
    const { rows } = await sql<{ id: string }>`select s.id from auth.sessions s
      join auth.users u on u.id = s.user_id where u.email = ${email}`.execute(db);
    expect(rows).toHaveLength(2);
  });
});
