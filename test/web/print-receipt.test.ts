import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { begin, decide, putCard } from "../support/approval-scene.ts";
import { launchBrowser, startSite } from "../support/browser.ts";

/** Where to put what would be printed, for people to look at. */
const { SCREENSHOTS } = process.env;

const browser = await launchBrowser();
const site = browser && (await startSite());

describe.skipIf(site === undefined)("a printed receipt", () => {
  test("has one page, or two after a declined card, on A4 and on Letter, and nothing on it that is pressed", async () => {
    if (browser === undefined || site === undefined) return;
    const story = await begin(site, { paymentMethod: "pm_card_chargeDeclined" });
    await decide(site, story, "confirm");
    await putCard(site.app, story, "pm_card_visa");
    await decide(site, story, "confirm");
    const context = await browser.newContext({ colorScheme: "dark" });
    const [name = "", value = ""] = story.cookie.split("=");
    await context.addCookies([{ name, value, url: site.origin }]);
    const page = await context.newPage();
    await page.goto(`${site.origin}${story.path}/receipt`);
    const plain = await begin(site);
    await decide(site, plain, "confirm");
    const [, own = ""] = plain.cookie.split("=");
    const other = await browser.newContext();
    await other.addCookies([{ name, value: own, url: site.origin }]);
    const single = await other.newPage();
    await single.goto(`${site.origin}${plain.path}/receipt`);
    const pagesOf = (pdf: Buffer) => pdf.toString("latin1").match(/\/Type\s*\/Page\b/g)?.length;
    for (const format of ["A4", "Letter"] as const) {
      expect(pagesOf(await single.pdf({ format, printBackground: true })), format).toBe(1);
      const pdf = await page.pdf({ format, printBackground: true });
      if (SCREENSHOTS !== undefined) await writeFile(join(SCREENSHOTS, `receipt-${format}.pdf`), pdf);
      expect(pagesOf(pdf), format).toBeLessThanOrEqual(2);
    }
    await page.setViewportSize({ width: 660, height: 930 });
    await page.emulateMedia({ media: "print" });
    if (SCREENSHOTS !== undefined)
      await page.screenshot({ path: join(SCREENSHOTS, "receipt-print.png"), fullPage: true });
    for (const pressed of ["Download the file", "Back to the approval", "Sign out"])
      expect(await page.getByText(pressed).isVisible(), pressed).toBe(false);
    const colours = await page.evaluate(() => [
      getComputedStyle(document.body).color,
      getComputedStyle(document.body).backgroundColor,
      getComputedStyle(document.querySelector("main") as Element).boxShadow,
    ]);
    expect(colours).toEqual(["rgb(19, 26, 34)", "rgba(0, 0, 0, 0)", "none"]);
    await context.close();
  });
});
