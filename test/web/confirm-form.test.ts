import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import {
  anotherApproval,
  askChallenge,
  beginCoSign,
  type CoSignOptions,
  dropPasskeys,
  type Fields,
  landForm,
  letProofAge,
  readForm,
  readSignatures,
  refused,
  sendForm,
  signForm,
  statusOf,
} from "../support/co-sign.ts";
import { hiddenValue, open, PASSWORD, submit } from "../support/humans.ts";
import { startService } from "../support/service.ts";

const service = await startService();
const { app, db } = service;

const begin = (options?: CoSignOptions) => beginCoSign(service, options);

describe("how a page lets its person confirm", () => {
  test("where passkeys are demanded: by passkey alone, which needs JavaScript, as it says", async () => {
    const story = await begin();
    await letProofAge(db, story);
    const page = await open(app, story.path, story);
    expect(page.text).toContain(`data-co-sign="${story.path}/challenge"`);
    expect(page.text).toContain("Confirming here needs JavaScript.");
    expect(page.text).not.toContain('name="password"');
    expect(page.headers["content-security-policy"]).toContain("script-src 'self'; connect-src 'self'");
  });

  test("where they are demanded and the person has none: by adding one, and back; declining works", async () => {
    const story = await begin();
    await dropPasskeys(db, story);
    const { text } = await open(app, story.path, story);
    expect(text).toContain(`href="/settings/security/passkeys/new?return_to=${story.path}"`);
    expect(text).not.toContain(`action="${story.path}/confirm"`);
    expect(text).toContain(`action="${story.path}/decline"`);
  });

  test("where they are demanded and theirs does not count yet: not at all, as it says; declining works", async () => {
    const story = await begin();
    await sql`update auth.passkeys set active_from = null where user_id = ${story.userId}`.execute(db);
    const { text } = await open(app, story.path, story);
    expect(text).toContain("Your passkey cannot confirm yet.");
    expect(text).not.toContain(`action="${story.path}/confirm"`);
    expect(text).toContain(`action="${story.path}/decline"`);
  });

  test("where they have signed in lately and have no passkey: by the button alone, as what it was is kept", async () => {
    const story = await begin({ coSign: "session" });
    await dropPasskeys(db, story);
    expect((await sendForm(app, story, await readForm(app, story))).status).toBe(303);
    expect((await readSignatures(db, story))[0]?.proof).toMatchObject({ kind: "session" });
  });

  test("where a password may do: by passkey, or by the password, which is checked", async () => {
    const story = await begin({ coSign: "session" });
    const page = await open(app, story.path, story);
    expect(page.text).toContain("data-co-sign");
    expect(page.text).toContain("Use your password instead");
    const fields = await readForm(app, story);
    const wrong = await refused(db, () => landForm(app, story, { ...fields, password: "wrong" }));
    expect(wrong.text).toContain("<details open>");
    expect((await sendForm(app, story, { ...fields, password: PASSWORD })).status).toBe(303);
    expect(await statusOf(app, story)).toBe("confirmed");
    expect((await readSignatures(db, story))[0]?.proof).toMatchObject({ kind: "password" });
  });

  test("a passkey that has not answered is no password: a fresh sign-in does not stand in for it", async () => {
    const story = await begin({ coSign: "session" });
    const fields = await readForm(app, story);
    for (const assertion of ["", "{}"])
      expect((await refused(db, () => landForm(app, story, { ...fields, assertion }))).text).toContain(
        "Nothing was confirmed.",
      );
    await letProofAge(db, story);
    await sendForm(app, story, await signForm(app, story));
    expect(await statusOf(app, story)).toBe("confirmed");
  });

  test("nor does it where nothing is sent in the passkey's place: the password is asked for", async () => {
    const story = await begin({ coSign: "session" });
    const fields = await readForm(app, story);
    const answer = await refused(db, () => landForm(app, story, fields));
    expect(answer.text).toContain("Type your password to confirm.");
    expect(await statusOf(app, story)).toBe("pending");
  });

  test("declining asks for no passkey, and keeps as it is", async () => {
    const story = await begin();
    const page = await open(app, story.path, story);
    const form = `${story.path}/decline`;
    const fields = Object.fromEntries(
      ["nonce", "digest", "form_token"].map((name) => [name, hiddenValue(page, form, name)]),
    );
    expect((await submit(app, form, fields, story)).status).toBe(303);
    expect(await statusOf(app, story)).toBe("declined");
    expect((await readSignatures(db, story))[0]?.proof).toMatchObject({ kind: "session" });
  });
});

describe("a service at whose address browsers use no passkeys", async () => {
  const bare = await startService({ PUBLIC_URL: "http://127.0.0.1:3000" });

  test("says so where an account demands them, offers none, and lets people decline", async () => {
    const story = await beginCoSign(bare);
    const { text } = await open(bare.app, story.path, story);
    expect(text).toContain("This cannot be confirmed here.");
    expect(text).not.toContain(`action="${story.path}/confirm"`);
    expect(text).not.toContain("/settings/security/passkeys");
    expect(text).toContain(`action="${story.path}/decline"`);
  });

  test("goes on with passwords where a password does", async () => {
    const story = await beginCoSign(bare, { coSign: "session" });
    const { text } = await open(bare.app, story.path, story);
    expect(text).not.toContain("data-co-sign");
    expect((await sendForm(bare.app, story, await readForm(bare.app, story))).status).toBe(303);
  });
});

describe("a large amount", () => {
  test("is typed in full before it is confirmed, by passkey", async () => {
    const story = await begin({ amountUsd: 1000 });
    const { text } = await open(app, story.path, story);
    expect(hintOf(text)).toBe("From $1,000.00 on, the amount is typed.");
    const fields = await readForm(app, story);
    for (const amount of [undefined, "", "100", "1.000", "1000.01"]) {
      const typed: Fields = amount === undefined ? fields : { ...fields, amount };
      expect((await refused(db, () => askChallenge(app, story, typed))).status, amount).toBe(400);
    }
    // By a script that does not care what it is told.
    const signed = await signForm(app, story, { more: { amount: "1,000.00" } });
    const wrong = await refused(db, () => landForm(app, story, { ...signed, amount: "100" }));
    expect(wrong.text).toContain("You typed $100.00 USD, and this payment is $1,000.00 USD.");
    expect(wrong.text).toContain('value="100"');
    expect(await statusOf(app, story)).toBe("pending");
    expect((await sendForm(app, story, signed)).status).toBe(303);
    expect(await statusOf(app, story)).toBe("confirmed");
  });

  test("is typed without a script too, and one below it is not asked for", async () => {
    const story = await begin({ amountUsd: 1000, coSign: "session" });
    await dropPasskeys(db, story);
    const wrong = await refused(db, async () => landForm(app, story, await readForm(app, story)));
    expect(wrong.text).toContain("Type the amount in full");
    const fields = await readForm(app, story);
    expect((await sendForm(app, story, { ...fields, amount: "$1.000,00" })).status).toBe(303);
    expect(await statusOf(app, story)).toBe("confirmed");
    const below = await begin({ amountUsd: 999.99, coSign: "session" });
    expect((await open(app, below.path, below)).text).not.toContain('name="amount"');
  });

  test("typed wrong costs no password: what was right of the form counts, and what was typed comes back", async () => {
    const story = await begin({ amountUsd: 1000, coSign: "session" });
    await dropPasskeys(db, story);
    await letProofAge(db, story);
    const fields = await readForm(app, story);
    const wrong = await landForm(app, story, { ...fields, password: PASSWORD, amount: "<b>1</b>" });
    expect(wrong.text).not.toContain('name="password"');
    expect(wrong.text).toContain('value="&lt;b&gt;1&lt;/b&gt;"');
    expect(await statusOf(app, story)).toBe("pending");
    const next = { ...(await readForm(app, story)), amount: "1000" };
    expect((await sendForm(app, story, next)).status).toBe(303);
  });

  test("is typed from the account's own amount on, and once 24 hours reach it, and the page says why", async () => {
    const story = await begin({ coSign: "session" });
    await dropPasskeys(db, story);
    const second = await anotherApproval(app, story);
    const own = { amount_typed_from_cents: 60_000 };
    await db.updateTable("accounts").set(own).where("account_id", "=", accountKey(story.account)).execute();
    const early = await readForm(app, second);
    expect((await open(app, second.path, second)).text).not.toContain('name="amount"');
    expect((await sendForm(app, story, await readForm(app, story))).status).toBe(303);
    const refusal = await landForm(app, second, early);
    expect(refusal.text).toContain("Type the amount in full");
    expect(refusal.text).toContain('name="amount"');
    expect(hintOf(refusal.text)).toBe(
      "With this it’s $900.00 in 24 hours. From $600.00 on, the amount is typed.",
    );
    const typed = { ...(await readForm(app, second)), amount: "450" };
    expect((await sendForm(app, second, typed)).status).toBe(303);
  });

  test("is as large as the operator says", async () => {
    const strict = await startService({ CONFIRM_AMOUNT_FROM: "450" });
    const story = await beginCoSign(strict);
    expect((await open(strict.app, story.path, story)).text).toContain('name="amount"');
  });
});

/** What is said under the label of the amount's field, which is tied to it. */
function hintOf(page: string): string | undefined {
  expect(page).toMatch(/<input id="amount"[^>]*aria-describedby="amount-hint/);
  const [, hint] = /id="amount-hint">([\s\S]*?)<\/div>/.exec(page) ?? [];
  return hint?.replaceAll(/<[^>]*>/g, "").replaceAll(/\s+/g, " ");
}
