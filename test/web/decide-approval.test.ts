import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { call, createFixture, type Fixture, fund, operate } from "../support/fixtures.ts";
import { createHuman, hiddenValue, landing, open, PASSWORD, refusalOf, submit } from "../support/humans.ts";
import { startService } from "../support/service.ts";
import { fundingOf } from "../support/terms.ts";

const { app, db } = await startService();

type Story = Fixture & { approvalId: string; path: string; cookie: string };

async function begin(
  paymentMethod = "pm_card_visa",
  role: "owner" | "approver" | "viewer" = "owner",
): Promise<Story> {
  const fixture = await createFixture(app, { card: false });
  await operate(app, "POST", `/accounts/${fixture.account}/payment-methods`, { paymentMethod });
  const { body } = await fund(app, fixture.token, fixture.milestone);
  const { cookie } = await createHuman(app, fixture.account, role);
  const approvalId: string = body.approval.id;
  return { ...fixture, approvalId, path: `/approvals/${approvalId}`, cookie };
}

async function fieldsOf(
  { path, cookie }: Story,
  decision: "confirm" | "decline",
): Promise<Record<string, string>> {
  const page = await open(app, path, { cookie });
  expect(page.status).toBe(200);
  const form = `${path}/${decision}`;
  return {
    nonce: hiddenValue(page, form, "nonce"),
    digest: hiddenValue(page, form, "digest"),
    ...(decision === "confirm" && { source: hiddenValue(page, form, "source") }),
    form_token: hiddenValue(page, form),
  };
}

async function statusOf({ token, approvalId }: Story): Promise<string> {
  return (await call(app, "GET", `/approvals/${approvalId}`, { token })).body.approval.status;
}

async function chargesOf({ account }: Story): Promise<unknown[]> {
  return (await operate(app, "GET", `/sandbox/charges?accountId=${account}`)).charges;
}

/** As if the person had signed in a while ago. */
async function letProofAge({ account }: Story): Promise<void> {
  await sql`
    update auth.sessions set proved_at = proved_at - interval '6 minutes'
    where user_id in (select user_id from members where account_id = ${accountKey(account)})`.execute(db);
}

describe("the page of an approval", () => {
  test("says who asks, for what, how much in full, from which card, to whom, until when", async () => {
    const story = await begin();
    const { text } = await open(app, story.path, { cookie: story.cookie });
    for (const said of [
      "Test agent",
      "$450.00 USD",
      "Maria G.",
      "Label 5,000 street scenes",
      "ending in 4242",
      "UTC",
    ]) {
      expect(text).toContain(said);
    }
    expect(text).toContain("ot_pat_");
    const words = text.replaceAll(/<[^>]*>/g, "").replaceAll(/\s+/g, " ");
    expect(words).toMatch(
      /Fund \$450\.00 USD for Maria G\.\? Decide by [A-Z][a-z]{2} \d{1,2} [A-Z][a-z]{2,3}, \d\d:\d\d UTC \(3 days left\)/,
    );
    // The reason goes with the decline, below what confirms.
    const places = ["Confirm and fund", ">Reason</label>", "Decline</button>", "References</summary>"].map(
      (one) => text.indexOf(one),
    );
    expect(places).toEqual(places.toSorted((one, other) => one - other));
    expect(places).not.toContain(-1);
  });

  test("shows all that is signed: the statement has no word that the page has not", async () => {
    const story = await begin();
    const { text } = await open(app, story.path, { cookie: story.cookie });
    await submit(app, `${story.path}/confirm`, await fieldsOf(story, "confirm"), story);
    const { statement } = await db
      .selectFrom("signatures")
      .where("account_id", "=", accountKey(story.account))
      .select("statement")
      .executeTakeFirstOrThrow();
    const { accountId, approvalId, terms, source } = statement;
    const { amountCents, currency, payee, ...rest } = fundingOf(terms);
    expect([amountCents, currency]).toEqual([45_000, "usd"]);
    const words = [
      accountId,
      approvalId,
      source?.last4 ?? "",
      ...Object.values(rest),
      ...Object.values(payee),
    ];
    for (const word of words.filter((one) => one !== null)) expect(text).toContain(word);
  });

  test("confirmed, the money has moved once and the agent learns of it", async () => {
    const story = await begin();
    const answer = await submit(app, `${story.path}/confirm`, await fieldsOf(story, "confirm"), story);
    expect(answer.status, answer.text).toBe(303);
    expect(answer.headers.location).toBe(story.path);
    expect(await statusOf(story)).toBe("confirmed");
    expect(await chargesOf(story)).toHaveLength(1);
    expect((await open(app, story.path, story)).text).toMatch(
      /Funded\.<\/strong> <span class="amount">\$450\.00 USD<\/span> is held in escrow for <bdi>Maria G\.<\/bdi> until the work is approved\. Confirmed by <bdi>Ada Owner<\/bdi>/,
    );
  });

  test("declined, nothing has moved", async () => {
    const story = await begin();
    const answer = await submit(app, `${story.path}/decline`, await fieldsOf(story, "decline"), story);
    expect(answer.status).toBe(303);
    expect(await statusOf(story)).toBe("declined");
    expect(await chargesOf(story)).toHaveLength(0);
  });

  test("a refused card: the page says why, and another card pays", async () => {
    const story = await begin("pm_card_chargeDeclinedInsufficientFunds");
    await submit(app, `${story.path}/confirm`, await fieldsOf(story, "confirm"), story);
    const page = await open(app, story.path, story);
    expect(page.text).toContain("insufficient funds");
    await operate(app, "POST", `/accounts/${story.account}/payment-methods`, {
      paymentMethod: "pm_card_visa",
    });
    await submit(app, `${story.path}/confirm`, await fieldsOf(story, "confirm"), story);
    expect(await statusOf(story)).toBe("confirmed");
  });

  test("a bank that asks: passed pays, failed stays pending, given up stays pending", async () => {
    for (const [answer, expected] of [
      ["pass", "confirmed"],
      ["fail", "pending"],
      ["give-up", "pending"],
    ] as const) {
      const story = await begin("pm_card_authenticationRequired");
      await submit(app, `${story.path}/confirm`, await fieldsOf(story, "confirm"), story);
      expect(await statusOf(story)).toBe("pending");
      const page = await open(app, story.path, story);
      const bank = /href="[^"]*(\/sandbox\/authenticate\/[^"]+)"/.exec(page.text)?.[1] ?? "";
      if (answer === "give-up") {
        const token = hiddenValue(page, `${story.path}/cancel-payment`);
        await submit(app, `${story.path}/cancel-payment`, { form_token: token }, story);
      } else {
        const form_token = hiddenValue(await open(app, bank, story), bank);
        await submit(app, bank, { answer, form_token }, story);
      }
      expect(await statusOf(story), answer).toBe(expected);
      expect(await chargesOf(story), answer).toHaveLength(expected === "confirmed" ? 1 : 0);
    }
  });

  test("a bank that asks hears the account's deciders alone", async () => {
    const story = await begin("pm_card_authenticationRequired");
    await submit(app, `${story.path}/confirm`, await fieldsOf(story, "confirm"), story);
    const page = await open(app, story.path, story);
    const bank = /href="[^"]*(\/sandbox\/authenticate\/[^"]+)"/.exec(page.text)?.[1] ?? "";
    for (const [account, role, status] of [
      [(await createFixture(app)).account, "owner", 404],
      [story.account, "viewer", 403],
    ] as const) {
      const { cookie } = await createHuman(app, account, role);
      const form_token = hiddenValue(await open(app, bank, { cookie }), bank);
      expect((await submit(app, bank, { answer: "pass", form_token }, { cookie })).status).toBe(status);
    }
    expect(await statusOf(story)).toBe("pending");
    expect(await chargesOf(story)).toHaveLength(0);
  });

  test("with a proof older than 5 minutes the password is asked for, and a wrong one confirms nothing", async () => {
    const story = await begin();
    await letProofAge(story);
    const fields = await fieldsOf(story, "confirm");
    expect((await open(app, story.path, story)).text).toContain('name="password"');
    const confirm = async (more: Record<string, string>) =>
      landing(app, await submit(app, `${story.path}/confirm`, { ...fields, ...more }, story), story);
    expect((await confirm({})).text).toContain("Type your password to confirm.");
    expect((await confirm({ password: "wrong" })).text).toContain("That password is wrong.");
    expect(await statusOf(story)).toBe("pending");
    await submit(app, `${story.path}/confirm`, { ...fields, password: PASSWORD }, story);
    expect(await statusOf(story)).toBe("confirmed");
  });

  test("a page that has become stale says so, shows what is now, and signs nothing", async () => {
    const story = await begin();
    const fields = await fieldsOf(story, "confirm");
    await operate(app, "POST", `/accounts/${story.account}/payment-methods`, {
      paymentMethod: "pm_sandbox_slow",
    });
    const answer = await submit(app, `${story.path}/confirm`, fields, story);
    expect([answer.status, answer.headers.location]).toEqual([303, story.path]);
    const { text } = await landing(app, answer, story);
    expect(text).toContain("Nothing was confirmed");
    expect(text).toContain("the Visa card ending in 0003 pays now, not the Visa card ending in 4242.");
    expect(await statusOf(story)).toBe("pending");
  });

  test("a page that is sent again after its card was refused counts once", async () => {
    const story = await begin("pm_card_chargeDeclined");
    const fields = await fieldsOf(story, "confirm");
    expect((await submit(app, `${story.path}/confirm`, fields, story)).status).toBe(303);
    const again = await landing(app, await submit(app, `${story.path}/confirm`, fields, story), story);
    expect(again.text).toContain("sent twice and recorded once");
  });

  test("a viewer sees it, without a form; a foreign member and a stranger get the page of an unknown id", async () => {
    const story = await begin("pm_card_visa", "viewer");
    const page = await open(app, story.path, story);
    expect(page.status).toBe(200);
    expect(page.text).not.toContain(`${story.path}/confirm`);
    const other = await begin();
    const foreign = await open(app, story.path, { cookie: other.cookie });
    const unknown = await open(app, "/approvals/01a20756-15d0-7382-baf7-0c713413241c", {
      cookie: other.cookie,
    });
    expect(foreign.status).toBe(404);
    // Whoever follows a colleague's link reads by which email they are here.
    expect(foreign.text).toMatch(/You’re signed in as <strong>person-[^<]+@example\.com<\/strong>/);
    const plain = (text: string): string => text.replaceAll(/form_token" value="[^"]*"/g, "");
    expect(plain(foreign.text)).toBe(plain(unknown.text));
  });

  test("no decision works without the page: GET, HEAD, another site, no token, a foreign or a decline's token", async () => {
    const story = await begin();
    const stranger = await begin();
    const fields = await fieldsOf(story, "confirm");
    const declining = await fieldsOf(story, "decline");
    const url = `${story.path}/confirm`;
    for (const method of ["GET", "HEAD"] as const) {
      expect((await call(app, method, url, { headers: { cookie: story.cookie } })).status).toBe(405);
    }
    const opened = await open(app, url, story);
    expect([opened.status, opened.headers.location]).toEqual([303, story.path]);
    const tries = [
      submit(app, url, fields, { ...story, headers: { "sec-fetch-site": "cross-site" } }),
      submit(app, url, fields, { ...story, headers: { origin: "null" } }),
      submit(app, url, fields, { ...story, headers: {} }),
      submit(app, url, { ...fields, form_token: "" }, story),
      submit(app, url, { ...fields, form_token: declining.form_token ?? "" }, story),
      submit(app, url, fields, { cookie: stranger.cookie }),
      submit(app, url, fields, {}),
      call(app, "POST", url, { token: story.token, body: fields }),
    ];
    for (const answer of await Promise.all(tries)) expect([303, 403, 415]).toContain(answer.status);
    expect(await statusOf(story)).toBe("pending");
    expect(await chargesOf(story)).toHaveLength(0);
  });

  test("what an agent or payee wrote is inert", async () => {
    const story = await begin();
    await operate(app, "PUT", `/accounts/${story.account}/milestones/${story.milestone}`, {
      description: '<script>alert(1)</script><a href="https://evil.example">Confirm here</a>',
    });
    const { body } = await fund(app, story.token, story.milestone);
    const { text } = await open(app, `/approvals/${body.approval.id}`, story);
    expect(text).not.toContain("<script>");
    expect(text).toContain("&lt;script&gt;");
  });
});

describe("the inbox and billing", () => {
  test("what waits stands first, what was decided after it", async () => {
    const story = await begin();
    const { text } = await open(app, "/approvals", story);
    expect(text).toContain("Waiting for you");
    expect(text).toContain(story.path);
  });

  test("a card is added by a test number, and removed; a real one is refused", async () => {
    const story = await begin();
    const page = await open(app, "/billing", story);
    const form_token = hiddenValue(page, "/billing/add-card");
    const accountId = hiddenValue(page, "/billing/add-card", "accountId");
    const refused = await submit(
      app,
      "/billing/add-card",
      { form_token, accountId, number: "5555555555554444" },
      story,
    );
    expect(refusalOf(refused)).toContain("not the number of a test card");
    const added = await submit(
      app,
      "/billing/add-card",
      { form_token, accountId, number: "4000 0000 0000 9995" },
      story,
    );
    expect(added.status).toBe(303);
    const after = await open(app, "/billing", story);
    expect(after.text).toContain("ending in 9995");
    const [, path = ""] = /href="(\/billing\/remove-card[^"]*)"/.exec(after.text) ?? [];
    const asked = await open(app, path.replaceAll("&amp;", "&"), story);
    expect(asked.text).toContain("Remove the Visa card ending in 9995?");
    const cardId = hiddenValue(asked, "/billing/remove-card", "cardId");
    await submit(app, "/billing/remove-card", { form_token, accountId, cardId }, story);
    expect((await open(app, "/billing", story)).text).not.toContain("ending in 9995");
  });
});
