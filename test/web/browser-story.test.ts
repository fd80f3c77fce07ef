import type { Browser, Locator, Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { connectAgent, dataOf } from "../support/api-client.ts";
import { begin, type Story, type StoryOptions } from "../support/approval-scene.ts";
import { launchBrowser, SIZES, startSite } from "../support/browser.ts";
import { call, createFixture, fund, operate } from "../support/fixtures.ts";
import { createHuman, invite, PASSWORD } from "../support/humans.ts";
import { some } from "../support/long.ts";

const browser = await launchBrowser();
const site = browser && (await startSite());

/** A window like that of a person who has not been here before. */
type Window = { size: keyof typeof SIZES; javaScriptEnabled: boolean; timezoneId?: string };

const WINDOWS: Window[] = (["desktop", "phone"] as const).flatMap((size) =>
  [true, false].map((javaScriptEnabled) => ({ size, javaScriptEnabled })),
);
const PLAIN_PHONE: Window = { size: "phone", javaScriptEnabled: false };

describe.skipIf(browser === undefined)("a person in a browser", () => {
  test.each(some(WINDOWS, 1))(
    "confirms what an agent asks for: $size, JavaScript $javaScriptEnabled",
    async (window) => {
      const { app, origin } = live();
      const fixture = await createFixture(app);
      const { email } = await createHuman(app, fixture.account);
      const agent = connectAgent(origin, fixture.token);
      const path = { milestoneId: fixture.milestone };
      const { approval } = await dataOf(agent.POST("/milestones/{milestoneId}/fund", { params: { path } }));
      expect(approval.approvalUrl).toBe(`${origin}/approvals/${approval.id}`);
      await inWindow(window, async (page) => {
        await page.goto(approval.approvalUrl);
        expect(new URL(page.url()).pathname).toBe("/sign-in");
        await signIn(page, email);
        expect(page.url()).toBe(approval.approvalUrl);
        const terms = await textOf(page.locator("dl"));
        for (const said of ["$450.00 USD", "Maria G.", "Label 5,000", "ending in 4242"]) {
          expect(terms).toContain(said);
        }
        expect(await textOf(page.getByRole("main"))).toContain("Requested by Test agent");
        await press(page, "Confirm and fund $450.00 USD");
        expect(page.url()).toBe(approval.approvalUrl);
        expect(await heading(page)).toBe("$450.00 USD funded");
      });
      expect(await statusOf({ ...fixture, approvalId: approval.id })).toBe("confirmed");
    },
  );

  test("uses another card when one is refused", async () => {
    const story = await signedInStory({ paymentMethod: "pm_card_chargeDeclinedInsufficientFunds" });
    await inWindow(PLAIN_PHONE, async (page) => {
      await arrive(page, story);
      await press(page, "Confirm and fund $450.00 USD");
      expect(await textOf(page.getByRole("alert"))).toContain("insufficient funds");
      expect(await statusOf(story)).toBe("pending");
      await page.getByRole("link", { name: "Use another card" }).click();
      await page.getByLabel("Number of a test card").fill("4242 4242 4242 4242");
      await press(page, "Add card and make it the default");
      expect(new URL(page.url()).pathname).toBe(story.path);
      await press(page, "Confirm and fund $450.00 USD");
      expect(await heading(page)).toBe("$450.00 USD funded");
    });
    expect(await statusOf(story)).toBe("confirmed");
  });

  test("declines", async () => {
    const story = await signedInStory();
    await inWindow(PLAIN_PHONE, async (page) => {
      await arrive(page, story);
      await press(page, "Decline");
      expect(await heading(page)).toBe("Declined: $450.00 USD");
      await page.getByRole("link", { name: "All approvals" }).click();
      expect(await textOf(page.getByRole("main"))).toContain("Nothing is pending");
    });
    expect(await statusOf(story)).toBe("declined");
  });

  test("answers the bank", async () => {
    const story = await signedInStory({ paymentMethod: "pm_card_authenticationRequired" });
    await inWindow(PLAIN_PHONE, async (page) => {
      await arrive(page, story);
      await press(page, "Confirm and fund $450.00 USD");
      expect(await heading(page)).toBe("Your bank asks about $450.00 USD");
      await page.getByRole("link", { name: "Continue to my bank" }).click();
      await press(page, "It is me");
      expect(await heading(page)).toBe("$450.00 USD funded");
    });
    expect(await statusOf(story)).toBe("confirmed");
  });

  test("reads times as the clock before them says them, and without script in UTC", async () => {
    const story = await signedInStory();
    const said = async (window: Window) => {
      let last = "";
      await inWindow(window, async (page) => {
        await arrive(page, story);
        last = await textOf(page.getByRole("main").getByRole("time").last());
      });
      return last;
    };
    const there = { ...PLAIN_PHONE, timezoneId: "Asia/Kolkata" };
    expect(await said({ ...there, javaScriptEnabled: true })).toMatch(/, \d\d:\d\d UTC\+5:30$/);
    expect(await said(there)).toMatch(/, \d\d:\d\d UTC$/);
  });

  test("accepts an invitation, finds what waits, and signs out", async () => {
    const { app, origin } = live();
    const fixture = await createFixture(app);
    await fund(app, fixture.token, fixture.milestone);
    const { token } = await invite(app, fixture.account, "owner");
    await inWindow(PLAIN_PHONE, async (page) => {
      await page.goto(`${origin}/invite?token=${token}`);
      await page.getByLabel("Choose a password").fill(PASSWORD);
      await press(page, "Accept and sign in");
      expect(await heading(page)).toBe("You’ve joined the account");
      await page.getByRole("link", { name: "Go to your approvals" }).click();
      expect(await textOf(page.getByRole("main"))).toContain("Waiting for you");
      await page.getByRole("link", { name: "$450.00 USD for Maria G." }).click();
      expect(await heading(page)).toBe("Fund $450.00 USD for Maria G.?");
      await page.getByRole("button", { name: "Sign out" }).click();
      expect(await textOf(page.getByRole("status"))).toBe("You’ve been signed out.");
    });
  });

  test("is shown what became stale, and signs nothing", async () => {
    const story = await signedInStory();
    await inWindow(PLAIN_PHONE, async (page) => {
      await arrive(page, story);
      const another = { paymentMethod: "pm_card_chargeDeclined" };
      await operate(live().app, "POST", `/accounts/${story.account}/payment-methods`, another);
      await press(page, "Confirm and fund $450.00 USD");
      expect(await textOf(page.getByRole("alert"))).toContain("the Visa card ending in 0002 pays now");
      expect(await heading(page)).toBe("Fund $450.00 USD for Maria G.?");
    });
    expect(await statusOf(story)).toBe("pending");
  });
});

function live(): NonNullable<typeof site> {
  if (site === undefined) throw new TypeError("there is no browser");
  return site;
}

function signedInStory(options?: StoryOptions): Promise<Story> {
  return begin(live(), options);
}

async function inWindow({ size, ...options }: Window, work: (page: Page) => Promise<void>): Promise<void> {
  const context = await (browser as Browser).newContext({
    viewport: SIZES[size],
    locale: "en-GB",
    ...options,
  });
  try {
    await work(await context.newPage());
  } finally {
    await context.close();
  }
}

/** Opens the approval as its agent passed it on: by way of sign-in. */
async function arrive(page: Page, { path, email }: Story): Promise<void> {
  await page.goto(live().origin + path);
  await signIn(page, email);
}

async function signIn(page: Page, email: string): Promise<void> {
  await page.getByLabel("Email").fill(email);
  await page.getByLabel("Password").fill(PASSWORD);
  await press(page, "Sign in");
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

async function statusOf({ token, approvalId }: { token: string; approvalId: string }): Promise<string> {
  return (await call(live().app, "GET", `/approvals/${approvalId}`, { token })).body.approval.status;
}
