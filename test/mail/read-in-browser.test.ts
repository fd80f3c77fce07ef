import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type Axe from "axe-core";
import type { Browser, Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { mailPage } from "../../src/mail/markup.ts";
import { launchBrowser } from "../support/browser.ts";

const browser = await launchBrowser();
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const LINK = "https://pay.example.com/approvals/0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000";
const PARAGRAPHS = [
  "“Purchasing agent” of the account “Acme” asks you to decide: fund $999,999.99 USD for “Maria G.”",
  "Internationalisation and characterisation of 5,000 street scenes. Decide by Thu 3 Dec, 05:50 UTC.",
  LINK,
  "Nothing is charged before you confirm.",
];
const html = mailPage("Fund $450.00 USD for Maria G.", PARAGRAPHS, {
  appName: "Countersign",
  publicUrl: "https://pay.example.com",
}).toString();

/** As clients show it that read no style sheet, and take the light colours for granted. */
const bare = html
  .replace(/<style>[\s\S]*?<\/style>/, "")
  .replaceAll('content="light dark"', 'content="light"');

async function read(
  content: string,
  colorScheme: "light" | "dark",
  look: (page: Page) => Promise<void>,
): Promise<void> {
  const context = await (browser as Browser).newContext({
    viewport: { width: 320, height: 640 },
    colorScheme,
  });
  try {
    const page = await context.newPage();
    await page.setContent(content);
    await look(page);
  } finally {
    await context.close();
  }
}

const CLIENTS = [
  ["in the light", html, "light"],
  ["in the dark", html, "dark"],
  ["in the light, without a style sheet", bare, "light"],
  ["in the dark, without a style sheet", bare, "dark"],
] as const;

/** In the page, once `AXE` has run there. */
declare const axe: typeof Axe;

describe.skipIf(browser === undefined)("A mail", () => {
  test.each(CLIENTS)("can be read %s", async (_, content, colorScheme) => {
    await read(content, colorScheme, async (page) => {
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => axe.run({ runOnly: ["color-contrast"] }));
      expect(violations.flatMap(({ nodes }) => nodes.map(({ html: where }) => where))).toEqual([]);
    });
  });

  test("breaks no word on a narrow phone but an address, and is not wider than it", async () => {
    await read(html, "light", async (page) => {
      const broken = await page.evaluate(() => {
        const words: string[] = [];
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        for (let node = walker.nextNode(); node !== null; node = walker.nextNode())
          for (const { 0: word, index } of (node as Text).data.matchAll(/\S+/g)) {
            const range = document.createRange();
            range.setStart(node, index);
            range.setEnd(node, index + word.length);
            if (new Set([...range.getClientRects()].map(({ top }) => top)).size > 1) words.push(word);
          }
        return words;
      });
      expect(broken).toEqual([LINK]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(320);
    });
  });
});
