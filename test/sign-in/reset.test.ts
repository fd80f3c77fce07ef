import { setTimeout as delay } from "node:timers/promises";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { newId } from "../../src/lib/ids.ts";
import { sendDueMails } from "../../src/mail/jobs.ts";
import type { ClaimedMail } from "../../src/mail/store.ts";
import { sweepResets } from "../../src/sign-in/jobs.ts";
import { createResetLink } from "../../src/sign-in/reset-service.ts";
import { auditOf } from "../support/audit.ts";
import { call, createFixture } from "../support/fixtures.ts";
import { createHuman, newEmail, open, PASSWORD, setCookies, signIn, submit } from "../support/humans.ts";
import { mailsTo } from "../support/mails.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const { app, db, config } = await startService();
const NEXT = "another long password";

/** Requests a link as a person does, and reads it from the mail. */
async function askForLink(email: string): Promise<string> {
  await submit(app, "/reset", { email });
  await sweepResets({ db, config });
  const mail = (await mailsTo(db, email)).at(-1);
  const token = /\/reset\/new\?token=(\S+)/.exec(mail?.body ?? "")?.[1];
  expect(token).toMatch(/^ot_rst_[\w-]{43}$/);
  return token ?? "";
}

describe("/reset", () => {
  test("a reset request gives the same answer and does the same work for known and unknown emails", async () => {
    const { account } = await createFixture(app);
    const { email } = await createHuman(app, account);
    const stranger = newEmail();
    const count = async () =>
      (await sql<{ n: number }>`select count(*) as n from auth.resets`.execute(db)).rows[0]?.n ?? 0;
    const before = await count();
    const known = await submit(app, "/reset", { email });
    expect(await count()).toBe(before + 1);
    const unknown = await submit(app, "/reset", { email: stranger });
    expect(await count()).toBe(before + 2);
    const garbage = await submit(app, "/reset", { email: "not an e-mail" });
    expect([known.status, unknown.status, garbage.status]).toEqual([200, 200, 200]);
    expect(new Set([known.text, unknown.text, garbage.text]).size).toBe(1);

    await sweepResets({ db, config });
    expect(await mailsTo(db, email)).toHaveLength(1);
    expect(await mailsTo(db, stranger)).toEqual([]);
    expect(await count()).toBe(before + 1);
  });

  test("a reset link renders on every GET and HEAD, and is used up by POST", async () => {
    const { account } = await createFixture(app);
    const { email } = await createHuman(app, account);
    const token = await askForLink(email);
    const url = `/reset/new?token=${token}`;
    for (const method of ["HEAD", "GET", "GET"] as const)
      expect((await call(app, method, url, { headers: { accept: "text/html" } })).status).toBe(200);
    expect((await open(app, url)).text).toContain('autocomplete="new-password"');
    expect((await submit(app, "/reset/new", { token, password: "too short" })).status).toBe(422);
    const done = await submit(app, "/reset/new", { token, password: NEXT });
    expect(done.headers.location).toBe("/sign-in?said=reset");
    expect(setCookies(done)).toEqual([]);
    expect((await open(app, url)).status).toBe(410);
    expect((await submit(app, "/reset/new", { token, password: PASSWORD })).status).toBe(410);
    expect((await signIn(app, email, PASSWORD)).status).toBe(422);
    expect((await signIn(app, email, NEXT)).status).toBe(303);
  });

  test("a reset ends every session and link of the person, mails them and records an audit entry", async () => {
    const { account } = await createFixture(app);
    const { email, cookie } = await createHuman(app, account);
    const other = await askForLink(email);
    const token = await askForLink(email);
    await submit(app, "/reset/new", { token, password: NEXT });
    expect((await open(app, "/settings/security", { cookie })).status).toBe(303);
    expect((await open(app, `/reset/new?token=${other}`)).status).toBe(410);
    expect((await mailsTo(db, email)).at(-1)?.subject).toContain("was reset");
    const audit = await auditOf(db, email);
    expect(audit.map(({ action }) => action)).toEqual([
      "joined_account",
      "reset_requested",
      "reset_requested",
      "password_reset",
    ]);
    expect(audit.map(({ address }) => address)).toEqual(Array(4).fill("127.0.0.1"));
  });

  test("after 10 reset links in 24 hours none is sent while one is valid", async () => {
    const { account } = await createFixture(app);
    const { email } = await createHuman(app, account);
    const ask = async (times: number) => {
      for (let i = 0; i < times; i++)
        await sql`insert into auth.resets (id, email, requested_at) values (${newId()}, ${email}, now())`.execute(
          db,
        );
      await sweepResets({ db, config });
      return (await mailsTo(db, email)).length;
    };
    expect(await ask(14)).toBe(10);
    expect(await ask(3)).toBe(10);
    await sql`update auth.resets set expires_at = now() where email = ${email}`.execute(db);
    expect(await ask(3)).toBe(11);
    await sql`update auth.resets set requested_at = requested_at - interval '24 hours' where email = ${email}`.execute(
      db,
    );
    expect(await ask(3)).toBe(14);
  });

  test("a reset also ends a session that the old password is starting at that moment", async () => {
    const { account } = await createFixture(app);
    const { email } = await createHuman(app, account);
    const token = await askForLink(email);
    const reset = submit(app, "/reset/new", { token, password: NEXT });
    const signingIn = Array.from({ length: 8 }, (_, i) => delay(i * 20).then(() => signIn(app, email)));
    expect((await reset).status).toBe(303);
    await Promise.all(signingIn);
    const { rows } = await sql`
      select s.id from auth.sessions s join auth.users u on u.id = s.user_id where u.email = ${email}`.execute(
      db,
    );
    expect(rows).toEqual([]);
  });

  test("of many uses of a reset link at once, one succeeds", async () => {
    const { account } = await createFixture(app);
    const { email } = await createHuman(app, account);
    const token = await askForLink(email);
    const answers = await Promise.all(
      Array.from({ length: 5 }, (_, i) => submit(app, "/reset/new", { token, password: `${NEXT} ${i}` })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([303, 410, 410, 410, 410]);
  });

  test("a reset link expires after an hour, and then looks like an unknown one", async () => {
    const { account } = await createFixture(app);
    const { email } = await createHuman(app, account);
    const token = await askForLink(email);
    await sql`update auth.resets set expires_at = now() - interval '1 second' where email = ${email}`.execute(
      db,
    );
    const expired = await open(app, `/reset/new?token=${token}`);
    const unknown = await open(app, `/reset/new?token=ot_rst_${"x".repeat(43)}`);
    expect([expired.status, unknown.status]).toEqual([410, 410]);
    expect(expired.text).toBe(unknown.text);
    expect((await submit(app, "/reset/new", { token, password: NEXT })).status).toBe(410);
    expect((await open(app, "/reset/new")).status).toBe(410);
  });

  test("a reset link's secret is only in the mail, and leaves the database once that is sent", async () => {
    const { account } = await createFixture(app);
    const { email } = await createHuman(app, account);
    const token = await askForLink(email);
    const { rows } = await sql<{ n: number }>`select count(*) as n from auth.resets t
      where t::text like ${`%${token.slice(7)}%`}`.execute(db);
    expect(rows[0]?.n).toBe(0);
    const sent: ClaimedMail[] = [];
    const transport = { keepsBodies: false, send: async (mail: ClaimedMail) => void sent.push(mail) };
    await sendDueMails({ db, logger: createLogger("silent") }, transport);
    expect(sent.find(({ recipient }) => recipient === email)?.body).toContain(token);
    expect((await mailsTo(db, email)).map(({ body }) => body)).toEqual([null]);
  });

  test("an operator without mail creates a reset link at the terminal", async () => {
    const { account } = await createFixture(app);
    const { email } = await createHuman(app, account);
    const link = (await createResetLink({ db, config }, email)) ?? "";
    expect(link.startsWith(`${PUBLIC_URL}/reset/new?token=`)).toBe(true);
    const token = new URL(link).searchParams.get("token") ?? "";
    expect((await submit(app, "/reset/new", { token, password: NEXT })).status).toBe(303);
    expect(await createResetLink({ db, config }, newEmail())).toBeUndefined();
  });
});
