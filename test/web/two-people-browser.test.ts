import { execFile } from "node:child_process";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Browser, Locator, Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { launchBrowser, SIZES, startSite } from "../support/browser.ts";
import { call, createFixture, fund, operate } from "../support/fixtures.ts";
import { createHuman, PASSWORD } from "../support/humans.ts";
import { mailsTo } from "../support/mails.ts";

const browser = await launchBrowser();
const site = browser && (await startSite());
const run = promisify(execFile);
const VERIFIER = join(import.meta.dirname, "../../src/verify-receipt.ts");

describe.skipIf(site === undefined)("Two people in their browsers", () => {
  test("sign one funding: the second comes by mail, and the receipt and its verifier name both", async () => {
    if (site === undefined) return;
    const { app, db, origin } = site;
    const fixture = await createFixture(app);
    await operate(app, "PUT", `/accounts/${fixture.account}`, { secondSignerFromUsd: 450 });
    const { body } = await fund(app, fixture.token, fixture.milestone);
    const path = `/approvals/${body.approval.id}`;
    const hanna = await createHuman(app, fixture.account);
    const bob = await createHuman(app, fixture.account, "viewer");
    const named = { role: "approver", name: "Bob" } as const;
    await db.updateTable("members").set(named).where("id", "=", bob.memberId).execute();
    await db.updateTable("members").set({ name: "Hanna" }).where("id", "=", hanna.memberId).execute();

    await inBrowser(async (page) => {
      await page.goto(origin + path);
      await signIn(page, hanna.email);
      expect(await textOf(page.getByRole("main"))).toContain("another owner or approver must confirm too");
      await page.getByRole("button", { name: "Confirm $450.00 USD" }).click();
      expect(await textOf(page.getByRole("main"))).toContain("1 of 2, by “Hanna”");
      await expect.poll(() => page.getByRole("button", { name: /^Confirm/ }).count()).toBe(0);
    });
    expect(await statusOf(fixture.token, path)).toBe("pending");

    const mails = await mailsTo(db, bob.email);
    const mail = mails.find(({ subject }) => subject.startsWith("Second confirmation:"));
    expect(mail?.body).toContain(`“Hanna” (${hanna.email}) has confirmed`);
    expect((await mailsTo(db, hanna.email)).filter(({ subject }) => /Second/.test(subject))).toEqual([]);
    const [link = ""] = mail?.body?.match(/http:\S+\/approvals\/[0-9a-f-]+/) ?? [];

    const saved = await inBrowser(async (page) => {
      await page.goto(link);
      await signIn(page, bob.email);
      expect(page.url()).toBe(origin + path);
      const main = await textOf(page.getByRole("main"));
      expect(main).toContain("1 of 2, by “Hanna”");
      expect(main).toContain("What happens next: $450.00 USD is charged now, once");
      await page.getByRole("button", { name: "Confirm and fund $450.00 USD" }).click();
      await expect.poll(() => textOf(page.getByRole("heading", { level: 1 }))).toBe("$450.00 USD funded");
      expect(await textOf(page.getByRole("main"))).toContain("Confirmed by Hanna and Bob");
      await page.getByRole("link", { name: "View receipt" }).click();
      const signers = page.locator("dl:has(dt:text('Confirmed by')) dd");
      expect((await signers.allTextContents()).map((text) => text.trim().split(",")[0])).toEqual([
        "Hanna",
        "Bob",
      ]);
      const download = page.waitForEvent("download");
      await page.getByRole("link", { name: "Download the file" }).click();
      const folder = await mkdtemp(join(tmpdir(), "countersign-receipt-"));
      const file = join(folder, (await download).suggestedFilename());
      await (await download).saveAs(file);
      return { file, folder };
    });

    const keys = join(saved.folder, "jwks.json");
    await writeFile(keys, await (await fetch(`${origin}/.well-known/jwks.json`)).text());
    const { stdout } = await run(process.execPath, [VERIFIER, saved.file, "--key", keys]);
    expect(stdout).toContain("genuine");
    for (const { email } of [hanna, bob])
      expect(stdout).toMatch(new RegExp(`confirm \\(two people required\\): signed by \\w+ <${email}>`));
  });
});

async function inBrowser<T>(work: (page: Page) => Promise<T>): Promise<T> {
  const context = await (browser as Browser).newContext({ viewport: SIZES.phone, locale: "en-GB" });
  try {
    return await work(await context.newPage());
  } finally {
    await context.close();
  }
}

async function signIn(page: Page, email: string): Promise<void> {
  await page.getByLabel("Email").fill(email);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("main").getByRole("button", { name: "Sign in", exact: true }).click();
}

async function textOf(locator: Locator): Promise<string> {
  return ((await locator.textContent()) ?? "").replaceAll(/\s+/g, " ").trim();
}

async function statusOf(token: string, path: string): Promise<string> {
  return (await call((site as NonNullable<typeof site>).app, "GET", path, { token })).body.approval.status;
}
