import { describe, expect, test } from "vitest";
import { launchBrowser, SIZES, startSite } from "../support/browser.ts";
import { call } from "../support/fixtures.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";

const browser = await launchBrowser();
const { origin } = await startSite();

describe.skipIf(browser === undefined)("the operator's API at /docs/operator", () => {
  test.each(Object.entries(SIZES))(
    "is drawn for whoever has the key, on a %s, and calls with it",
    async (size, viewport) => {
      const page = await (await browser?.newContext({ viewport }))?.newPage();
      if (page === undefined) throw new Error("there is a browser");
      const faults: string[] = [];
      page.on("pageerror", (error) => faults.push(String(error)));
      page.on("console", (message) => {
        if (message.text().includes("Content Security Policy")) faults.push(message.text());
      });
      await page.goto(`${origin}/docs/operator`);
      const text = () => page.locator("body").innerText();
      expect(await text()).not.toContain("/api/operator/v1");

      await page.getByLabel("Operator key").fill("x".repeat(32));
      await page.getByRole("button", { name: "Open" }).click();
      await page.getByText("That key isn't right.").waitFor();
      await page.getByLabel("Operator key").fill(OPERATOR_KEY);
      if (process.env.SCREENSHOTS)
        await page.screenshot({ path: `${process.env.SCREENSHOTS}/operator-key-${size}.png` });
      await page.getByRole("button", { name: "Open" }).click();
      await page.getByText("/api/operator/v1/pause").first().waitFor();
      expect(await page.getByLabel("Operator key").count()).toBe(0);
      if (process.env.SCREENSHOTS)
        await page.screenshot({ path: `${process.env.SCREENSHOTS}/operator-docs-${size}.png` });

      await page.locator("#operations-Operator-getPause").getByRole("button").first().click();
      await page.getByRole("button", { name: "Try it out" }).click();
      const answered = page.waitForResponse(`${origin}/api/operator/v1/pause`);
      await page.getByRole("button", { name: "Execute" }).click();
      expect((await answered).status()).toBe(200);
      expect(faults).toEqual([]);
    },
  );
});

test("without an operator's key there is no such page", async () => {
  const { app } = await startService({ OPERATOR_API_KEY: "" });
  expect((await call(app, "GET", "/docs/operator")).status).toBe(404);
});
