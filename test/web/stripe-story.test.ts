import { sql } from "kysely";
import type { Browser, Locator, Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { sweepDuePayments, sweepExpiredApprovals } from "../../src/approvals/jobs.ts";
import { WEBHOOK_PATH } from "../../src/approvals/processor-routes.ts";
import { findLatestPayment } from "../../src/billing/payment-service.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { begin, type Story } from "../support/approval-scene.ts";
import { launchBrowser, routeStripe, SIZES, startSite } from "../support/browser.ts";
import { call, operate } from "../support/fixtures.ts";
import { PASSWORD } from "../support/humans.ts";
import { longTest, some } from "../support/long.ts";
import { ownerOf } from "../support/owner.ts";
import { findDisagreements, openStripeRails } from "../support/rails.ts";

const HOUR = 60 * 60;
const AUTHENTICATES = { paymentMethod: "pm_card_authenticationRequired" };

const browser = await launchBrowser();
const rails = await openStripeRails({ bankOrigin: "https://hooks.stripe.com" });
const { stripe } = rails;
const site = browser && (await startSite(rails));

type Window = { size: keyof typeof SIZES; javaScriptEnabled: boolean };
const DESKTOP: Window = { size: "desktop", javaScriptEnabled: true };
const PHONE: Window = { size: "phone", javaScriptEnabled: true };
const PLAIN_PHONE: Window = { size: "phone", javaScriptEnabled: false };

describe.skipIf(browser === undefined)("a person in a browser, with Stripe behind the service", () => {
  test("adds a card on Stripe's own form, which says what is wrong with one, and pays with it", async () => {
    const story = await begin(live(), { paymentMethod: null });
    await inWindow(DESKTOP, async (page) => {
      await arrive(page, story);
      await page.getByRole("link", { name: "Add a card" }).click();
      await press(page, "Add a card");
      expect(await heading(page)).toBe("Add a card");
      await fillCard(page, "4000 0000 0000 0002");
      await press(page, "Add card and make it the default");
      await expect.poll(() => textOf(page.locator("#card-said"))).toBe("Your card was declined.");
      await fillCard(page, "4242 4242 4242 4242");
      await press(page, "Add card and make it the default");
      await page.waitForURL((url) => url.pathname === story.path);
      await press(page, "Confirm and fund $450.00 USD");
      expect(await heading(page)).toBe("$450.00 USD funded");
    });
    await expectPaid(story);
  });

  test("adds a card that the bank asks about, and comes back with it", async () => {
    const story = await begin(live(), { paymentMethod: null });
    await inWindow(PHONE, async (page) => {
      await arrive(page, story);
      await page.getByRole("link", { name: "Add a card" }).click();
      await press(page, "Add a card");
      await fillCard(page, "4000 0027 6000 3184");
      await press(page, "Add card and make it the default");
      await answerBank(page, "Complete");
      await page.waitForURL((url) => url.pathname === story.path);
      expect(await textOf(page.getByRole("main"))).toContain("Visa card ending in 3184");
    });
    expect(await statusOf(story)).toBe("pending");
  });

  test.for(some([PLAIN_PHONE, DESKTOP], 1))(
    "passes the bank's challenge, comes back, and it is funded: %j",
    async (window) => {
      const story = await begin(live(), AUTHENTICATES);
      await inWindow(window, async (page) => {
        await confirmUntilAsked(page, story);
        await goToBank(page);
        await answerBank(page, "Complete");
        await seeOutcome(page, window);
        expect(await heading(page)).toBe("$450.00 USD funded");
        expect(page.url()).toBe(live().origin + story.path);
      });
      await expectPaid(story);
    },
  );

  test.for(some([PLAIN_PHONE, DESKTOP], 1))(
    "fails the challenge, and is told so; no money has moved: %j",
    async (window) => {
      const story = await begin(live(), AUTHENTICATES);
      await inWindow(window, async (page) => {
        await confirmUntilAsked(page, story);
        await goToBank(page);
        await answerBank(page, "Fail");
        await seeOutcome(page, window);
        expect(await page.title()).toContain("Card refused: fund $450.00 USD for Maria G.?");
        expect(await textOf(page.getByRole("alert"))).toContain(
          "The bank could not confirm that it was you.",
        );
      });
      await expectUnpaid(story, "pending");
    },
  );

  longTest("leaves the challenge, and takes it up an hour later on a phone", async () => {
    const story = await begin(live(), AUTHENTICATES);
    await inWindow(DESKTOP, async (page) => {
      await confirmUntilAsked(page, story);
      await goToBank(page);
    });
    await passTime(story, HOUR);
    await sweep();
    expect(await statusOf(story)).toBe("pending");
    await inWindow(PHONE, async (page) => {
      await arrive(page, story);
      expect(await heading(page)).toBe("Your bank asks about $450.00 USD");
      await goToBank(page);
      await answerBank(page, "Complete");
      await seeOutcome(page, PHONE);
      expect(await heading(page)).toBe("$450.00 USD funded");
    });
    await expectPaid(story);
  });

  longTest("leaves the challenge and uses another card: the first intent can never pay", async () => {
    const story = await begin(live(), AUTHENTICATES);
    const first = await inWindow(DESKTOP, async (page) => {
      await confirmUntilAsked(page, story);
      const bank = await page.getByRole("link", { name: "Continue to my bank" }).getAttribute("href");
      const intentId = await intentOf(story);
      await press(page, "Cancel this payment");
      // The person cancelled it themselves: no card was refused.
      expect(await page.title()).toContain("Fund $450.00 USD for Maria G.?");
      await page.getByRole("link", { name: "Use another card" }).click();
      await press(page, "Add a card");
      await fillCard(page, "5555 5555 5555 4444");
      await press(page, "Add card and make it the default");
      await page.waitForURL((url) => url.pathname === story.path);
      await press(page, "Confirm and fund $450.00 USD");
      expect(await heading(page)).toBe("$450.00 USD funded");
      await page.goto(bank ?? "");
      expect(await textOf(page.getByRole("main"))).toContain("no longer waited for");
      return intentId;
    });
    expect(stripe.books.intents.get(first)?.intent.status).toBe("canceled");
    expect(await intentOf(story)).not.toBe(first);
    await expectPaid(story);
  });

  longTest(
    "leaves the challenge until the approval has expired: it expires, and can never be paid",
    async () => {
      const story = await begin(live(), AUTHENTICATES);
      await inWindow(PHONE, async (page) => {
        await confirmUntilAsked(page, story);
        await goToBank(page);
        await passTime(story, 73 * HOUR);
        await sweep();
        await page.reload();
        expect(await textOf(page.getByRole("main"))).toContain("no longer waited for");
        await arrive(page, story);
        expect(await heading(page)).toBe("Expired: $450.00 USD");
      });
      expect(stripe.books.intents.get(await intentOf(story))?.intent.status).toBe("canceled");
      await expectUnpaid(story, "expired");
    },
  );

  test("passes the challenge and never comes back: what Stripe tells is enough", async () => {
    const story = await begin(live(), AUTHENTICATES);
    await inWindow(PHONE, async (page) => {
      await confirmUntilAsked(page, story);
      await goToBank(page);
      stripe.sendEventsTo(live().origin + WEBHOOK_PATH);
      stripe.answerBank(await intentOf(story), true);
      await stripe.deliveries.settled();
    });
    stripe.deliveries.endpoint = undefined;
    await expectPaid(story);
  });
});

function live(): NonNullable<typeof site> {
  if (site === undefined) throw new TypeError("there is no browser");
  return site;
}

/** Opens a window in which nothing that a page asks for is stopped by the page's own policy. */
async function inWindow<T>(
  { size, javaScriptEnabled }: Window,
  work: (page: Page) => Promise<T>,
): Promise<T> {
  const context = await (browser as Browser).newContext({ viewport: SIZES[size], javaScriptEnabled });
  const blocked: string[] = [];
  context.on("console", (message) => {
    if (/Content Security Policy/.test(message.text())) blocked.push(message.text());
  });
  try {
    await routeStripe(context, stripe);
    const done = await work(await context.newPage());
    expect(blocked).toEqual([]);
    return done;
  } finally {
    await context.close();
  }
}

/** Opens the approval as its agent passed it on: by way of sign-in, if no one is signed in yet. */
async function arrive(page: Page, { path, email }: Story): Promise<void> {
  await page.goto(live().origin + path);
  if (new URL(page.url()).pathname !== "/sign-in") return;
  await page.getByLabel("Email").fill(email);
  await page.getByLabel("Password").fill(PASSWORD);
  await press(page, "Sign in");
}

async function confirmUntilAsked(page: Page, story: Story): Promise<void> {
  await arrive(page, story);
  await press(page, "Confirm and fund $450.00 USD");
  expect(await heading(page)).toBe("Your bank asks about $450.00 USD");
}

async function goToBank(page: Page): Promise<void> {
  await page.getByRole("link", { name: "Continue to my bank" }).click();
  expect([new URL(page.url()).origin, await heading(page)]).toEqual([
    "https://hooks.stripe.com",
    "3D Secure 2 test page",
  ]);
}

function answerBank(page: Page, answer: "Complete" | "Fail"): Promise<void> {
  return page.getByRole("button", { name: answer, exact: true }).click();
}

/** Back from the bank the page asks for the outcome by itself, or with a button where no script runs. */
async function seeOutcome(page: Page, { javaScriptEnabled }: Window): Promise<void> {
  if (!javaScriptEnabled) await press(page, "See the result");
  await page.waitForURL((url) => url.search === "");
}

async function fillCard(page: Page, number: string): Promise<void> {
  const fields = page.frameLocator('iframe[title="Secure payment input frame"]');
  await fields.getByLabel("Card number").fill(number);
  await fields.getByLabel("Expiration date").fill("12 / 34");
  await fields.getByLabel("Security code").fill("123");
}

function press(page: Page, name: string): Promise<void> {
  return page.getByRole("main").getByRole("button", { name, exact: true }).click();
}

function heading(page: Page): Promise<string> {
  return textOf(page.getByRole("heading", { level: 1 }));
}

async function textOf(locator: Locator): Promise<string> {
  return ((await locator.textContent()) ?? "").replaceAll(/\s+/g, " ").trim();
}

/** As if so many seconds had passed for this story alone, which the database refuses unless told. */
async function passTime({ account }: Story, seconds: number): Promise<void> {
  const of = accountKey(account);
  const ago = sql`make_interval(secs => ${seconds})`;
  await ownerOf(live().db)
    .transaction()
    .execute(async (trx) => {
      await sql`set local session_replication_role = replica`.execute(trx);
      await sql`
        update approvals set created_at = created_at - ${ago}, expires_at = expires_at - ${ago}
        where account_id = ${of}`.execute(trx);
      await sql`
        update payments set created_at = created_at - ${ago}, updated_at = updated_at - ${ago},
          due_at = due_at - ${ago}
        where account_id = ${of}`.execute(trx);
    });
  stripe.advance(seconds);
}

async function sweep(): Promise<void> {
  const { db, config } = live();
  await sweepDuePayments({ db, config, processor: rails.open(db) }, createLogger("silent"));
  await sweepExpiredApprovals(db);
}

async function intentOf({ account, approvalId }: Story): Promise<string> {
  const payment = await findLatestPayment(live().db, accountKey(account), approvalId);
  return payment?.intentId ?? "";
}

async function statusOf({ token, approvalId }: Story): Promise<string> {
  return (await call(live().app, "GET", `/approvals/${approvalId}`, { token })).body.approval.status;
}

async function milestoneOf({ account, milestone }: Story): Promise<string> {
  return (await operate(live().app, "GET", `/accounts/${account}/milestones/${milestone}`)).milestone.status;
}

async function expectPaid(story: Story): Promise<void> {
  expect([await statusOf(story), await milestoneOf(story)]).toEqual(["confirmed", "ACTIVE_FUNDED"]);
  expect(stripe.charges().get(await intentOf(story))).toMatchObject({ amount: 45_000, currency: "usd" });
  expect(await findDisagreements(live().db, rails)).toEqual([]);
}

async function expectUnpaid(story: Story, status: string): Promise<void> {
  expect([await statusOf(story), await milestoneOf(story)]).toEqual([status, "NOT_FUNDED"]);
  expect(stripe.charges().has(await intentOf(story))).toBe(false);
  expect(await findDisagreements(live().db, rails)).toEqual([]);
}
