import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { auditOf } from "../support/audit.ts";
import { createFixture } from "../support/fixtures.ts";
import {
  cookieOf,
  createHuman,
  hiddenValue,
  landing,
  open,
  PASSWORD,
  refusalOf,
  signIn,
  submit,
} from "../support/humans.ts";
import { subjectsTo } from "../support/mails.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();
const NEXT = "another long password";
const PAGE = "/settings/security";

async function changePassword(cookie: string, fields: { current: string; next: string }) {
  const form_token = hiddenValue(await open(app, PAGE, { cookie }), `${PAGE}/password`);
  return submit(app, `${PAGE}/password`, { form_token, ...fields }, { cookie });
}

describe("changing the password", () => {
  test("changing the password needs the current one, ends other sessions, mails and is audited", async () => {
    const { account } = await createFixture(app);
    const { email, cookie } = await createHuman(app, account);
    const other = cookieOf(await signIn(app, email));
    const wrong = await changePassword(cookie, { current: "not the password", next: NEXT });
    expect(refusalOf(wrong)).toContain("That password isn’t right");
    expect((await open(app, PAGE, { cookie: other })).status).toBe(200);

    const done = await changePassword(cookie, { current: PASSWORD, next: NEXT });
    expect(done.headers.location).toBe(`${PAGE}?said=password`);
    expect((await open(app, PAGE, { cookie })).status).toBe(200);
    expect((await open(app, PAGE, { cookie: other })).status).toBe(303);
    expect((await signIn(app, email, PASSWORD)).status).toBe(422);
    expect((await signIn(app, email, NEXT)).status).toBe(303);

    expect(await subjectsTo(db, email)).toEqual(["Your password for Countersign was changed"]);
    const audit = await auditOf(db, email);
    expect(audit.at(-1)).toMatchObject({
      action: "password_changed",
      detail: { sessionsEnded: 1, passkeysRemoved: 0 },
    });
  });

  test("a new password that is too short is refused at its field", async () => {
    const { account } = await createFixture(app);
    const { cookie } = await createHuman(app, account);
    const answer = await changePassword(cookie, { current: PASSWORD, next: "eleven char" });
    expect((await landing(app, answer, { cookie })).text).toContain('id="next-fault"');
  });

  test("changing the password is a proof of presence", async () => {
    const { account } = await createFixture(app);
    const { email, cookie } = await createHuman(app, account);
    const age = () =>
      sql<{ seconds: number }>`select extract(epoch from now() - proved_at) as seconds from auth.sessions
        where user_id = (select id from auth.users where email = ${email})`.execute(db);
    await sql`update auth.sessions set proved_at = now() - interval '1 hour'
      where user_id = (select id from auth.users where email = ${email})`.execute(db);
    await changePassword(cookie, { current: "not the password", next: NEXT });
    expect((await age()).rows[0]?.seconds).toBeGreaterThan(3_500);
    await changePassword(cookie, { current: PASSWORD, next: NEXT });
    expect((await age()).rows[0]?.seconds).toBeLessThan(60);
  });
});

const CHROME_ON_MAC =
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36";

describe("sessions", () => {
  test("a browser that names itself to mislead is shown as text", async () => {
    const { account } = await createFixture(app);
    const { email, cookie } = await createHuman(app, account);
    const hostile = `<b>\u202eYours</b>${"w".repeat(200)}/1.0 (x)`;
    await signIn(app, email, PASSWORD, {
      headers: { "sec-fetch-site": "same-origin", "user-agent": encodeURI(hostile) },
    });
    const { text } = await open(app, PAGE, { cookie });
    expect(text).not.toContain("w".repeat(100));
    expect(text.match(/<li>/g)).toHaveLength(2);
  });

  test("sessions are listed, and all but the current one can be ended", async () => {
    const { account } = await createFixture(app);
    const { email, cookie } = await createHuman(app, account);
    const other = cookieOf(
      await signIn(app, email, PASSWORD, {
        headers: { "sec-fetch-site": "same-origin", "user-agent": CHROME_ON_MAC },
      }),
    );
    const page = await open(app, PAGE, { cookie });
    expect(page.text).toContain("Chrome on a Mac");
    expect(page.text).toContain("Last active just now · from 127.0.0.1");
    expect(page.text.match(/This browser/g)).toHaveLength(1);
    const form_token = hiddenValue(page, `${PAGE}/sessions`);
    await submit(app, `${PAGE}/sessions`, { form_token }, { cookie });
    expect((await open(app, PAGE, { cookie: other })).status).toBe(303);
    expect((await open(app, PAGE, { cookie })).status).toBe(200);
  });

  test("another person's sessions are neither listed nor ended", async () => {
    const { account } = await createFixture(app);
    const one = await createHuman(app, account);
    const other = await createHuman(app, account, "viewer");
    const page = await open(app, PAGE, one);
    await signIn(app, one.email);
    const form_token = hiddenValue(await open(app, PAGE, one), `${PAGE}/sessions`);
    await submit(app, `${PAGE}/sessions`, { form_token }, { cookie: one.cookie });
    expect(page.text).not.toContain(other.email);
    expect((await open(app, PAGE, other)).status).toBe(200);
  });
});
