import type { Browser, Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { type Claim, createAgent, letPollAge, poll, startClaim } from "../support/agents.ts";
import { launchBrowser, SIZES, type Site, startSite } from "../support/browser.ts";
import { createFixture } from "../support/fixtures.ts";
import { createHuman, newEmail, PASSWORD } from "../support/humans.ts";

const browser = await launchBrowser();
const site = browser && (await startSite());

const begin = async (email = newEmail()): Promise<Claim> =>
  startClaim(live(), await createAgent(live().app), email);

describe.skipIf(browser === undefined)("a person in a browser, on a phone and without script,", () => {
  test("is led from the agent's page to their mail, signs up there, and owns the account", async () => {
    const { agent, page: agentPage, link, code } = await begin();
    await poll(live().app, agent);
    await inBrowser(async (page) => {
      await page.goto(`${live().origin}/claim?token=${agentPage}`);
      expect(await heading(page)).toBe("Check your email");
      expect(await page.getByRole("main").getByRole("textbox").count()).toBe(0);
      await page.goto(`${live().origin}/claim?token=${link}`);
      expect(await heading(page)).toBe("Claim your agent’s account");
      for (const name of ["Ask for payments", "Manage webhooks"])
        expect(await page.getByRole("checkbox", { name }).isChecked()).toBe(false);
      await page.getByRole("checkbox", { name: "Ask for payments" }).check();
      await page.getByLabel("Six-digit code").fill(code);
      await page.getByLabel("Your name").fill("Ada Owner");
      await page.getByLabel("Choose a password").fill(PASSWORD);
      await press(page, "Claim account");
      expect(await heading(page)).toBe("You’ve claimed the account");
      await page.getByRole("link", { name: "Add a card" }).click();
      expect(await heading(page)).toBe("Billing");
      await page.goto(`${live().origin}/claim?token=${link}`);
      expect(await heading(page)).toBe("This link has expired");
    });
    await letPollAge(live().db, agent, 5);
    expect((await poll(live().app, agent)).body.scopes).toContain("payments:write");
  });

  test("who signs in here already claims it by way of sign-in", async () => {
    const { email } = await createHuman(live().app, (await createFixture(live().app)).account);
    const { agent, link, code } = await begin(email);
    await inBrowser(async (page) => {
      await page.goto(`${live().origin}/claim?token=${link}`);
      await page.getByRole("link", { name: "Sign in to claim the account" }).click();
      await page.getByLabel("Email").fill(email);
      await page.getByLabel("Password").fill(PASSWORD);
      await press(page, "Sign in");
      await page.getByLabel("Six-digit code").fill(code);
      await press(page, "Claim account");
      expect(await heading(page)).toBe("You’ve claimed the account");
    });
    expect((await poll(live().app, agent)).body.scopes).not.toContain("payments:write");
  });
});

function live(): Site {
  if (site === undefined) throw new TypeError("there is no browser");
  return site;
}

async function inBrowser(work: (page: Page) => Promise<void>): Promise<void> {
  const context = await (browser as Browser).newContext({ viewport: SIZES.phone, javaScriptEnabled: false });
  try {
    await work(await context.newPage());
  } finally {
    await context.close();
  }
}

function press(page: Page, name: string): Promise<void> {
  return page.getByRole("main").getByRole("button", { name, exact: true }).click();
}

async function heading(page: Page): Promise<string> {
  return ((await page.getByRole("heading", { level: 1 }).textContent()) ?? "").trim();
}
