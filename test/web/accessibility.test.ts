import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { AxeResults } from "axe-core";
import type { Browser, Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { launchBrowser, SIZES, startSite } from "../support/browser.ts";
import { some } from "../support/long.ts";
import { createPageStates, type PageState } from "../support/page-states.ts";

const WEIGHT_LIMIT = 50 * 1024;
const TOUCH = 44;
/** Hidden until it is unfolded. */
const FOLDED = "details:not([open]) :not(summary)";
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** The rules that look at how a page is drawn; the others see the same at each width and in each scheme. */
const DRAWN = ["color-contrast", "target-size", "scrollable-region-focusable"];
/** Where to put a picture of each page, for people to look at. */
const { SCREENSHOTS } = process.env;

const browser = await launchBrowser();
const site = browser && (await startSite());
const states = site === undefined ? [] : await createPageStates(site);

describe.skipIf(browser === undefined)("every page, in every state", () => {
  test.each(some(states, 4))("$name", async (state) => {
    await visit(state, async (page, said) => {
      const weight = await weigh(page, async () => {
        await page.goto(`${site?.origin}${state.path}`);
        await state.act?.(page);
      });
      expect(weight, "bytes over the wire").toBeLessThan(WEIGHT_LIMIT);
      expect(await shiftsOf(page), "layout shifts").toEqual([]);
      expect(await smallTargets(page), `targets under ${TOUCH} px`).toEqual([]);
      expect(await namelessPasswords(page), "passwords of nobody").toBe(0);
      expect(await tabOrder(page)).toEqual(await readingOrder(page));
      await page.evaluate(AXE);
      expect(await violations(page)).toEqual([]);
      for (const size of ["phone", "desktop"] as const) {
        await page.setViewportSize(SIZES[size]);
        expect(await brokenParts(page), `on more than one line, on a ${size}`).toEqual([]);
        for (const colorScheme of ["light", "dark"] as const) {
          await page.emulateMedia({ colorScheme });
          expect(await violations(page, DRAWN)).toEqual([]);
          await picture(page, `${state.name}-${size}-${colorScheme}`);
        }
      }
      await staysWithinWidth(page);
      expect(said, "console, and requests elsewhere").toEqual([]);
    });
  });

  test("each state has a title of its own", async () => {
    const titles = await Promise.all(
      states
        .filter(({ name }) => /^(waiting|executing|bank|confirmed|declined|expired|ended)/.test(name))
        .map(async ({ name, path, cookie = "" }) => {
          const response = await fetch(`${site?.origin}${path}`, {
            headers: { accept: "text/html", cookie },
          });
          return [name, /<title>(.*) · Countersign<\/title>/.exec(await response.text())?.[1]];
        }),
    );
    expect(Object.fromEntries(titles)).toMatchObject({
      waiting: "Fund $450.00 USD for Maria G.?",
      "waiting-refused": "Card refused: fund $450.00 USD for Maria G.?",
      executing: "Funding $450.00 USD",
      bank: "Your bank asks about $450.00 USD",
      confirmed: "$450.00 USD funded",
      declined: "Declined: $450.00 USD",
      expired: "Expired: $450.00 USD",
      "ended-early": "Closed: $450.00 USD",
    });
  });
});

/** Opens a window of a phone's size, signed in as the state wants; `said` is what a page should never cause. */
async function visit(
  { cookie }: PageState,
  look: (page: Page, said: string[]) => Promise<void>,
): Promise<void> {
  const context = await (browser as Browser).newContext({ viewport: SIZES.phone });
  const origin = String(site?.origin);
  if (cookie !== undefined) {
    const [name = "", value = ""] = cookie.split("=", 2);
    await context.addCookies([{ name, value, url: origin }]);
  }
  const page = await context.newPage();
  const said: string[] = [];
  // A page that refuses answers with its status, which the browser logs.
  page.on("console", (message) => {
    if (!message.text().includes("the server responded with a status of")) said.push(message.text());
  });
  page.on("pageerror", (error) => said.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(origin)) said.push(request.url());
  });
  try {
    await look(page, said);
  } finally {
    await context.close();
  }
}

/** What the last page loaded took over the wire, with all that it needs. */
async function weigh(page: Page, load: () => Promise<void>): Promise<number> {
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  await session.send("Network.setCacheDisabled", { cacheDisabled: true });
  let weight = 0;
  session.on("Network.requestWillBeSent", ({ type }) => {
    if (type === "Document") weight = 0;
  });
  session.on("Network.loadingFinished", ({ encodedDataLength }) => (weight += encodedDataLength));
  await load();
  await page.waitForLoadState();
  await session.detach();
  return weight;
}

function shiftsOf(page: Page): Promise<string[]> {
  type Shift = PerformanceEntry & {
    value: number;
    hadRecentInput: boolean;
    sources: { node: Node | null }[];
  };
  return page.evaluate(
    () =>
      new Promise<string[]>((resolve) => {
        new PerformanceObserver((list, observer) => {
          observer.disconnect();
          resolve(
            (list.getEntries() as Shift[])
              // What a person has just unfolded moves what stands below it.
              .filter(({ hadRecentInput }) => !hadRecentInput)
              .map(
                ({ value, sources }) => `${value}: ${sources.map(({ node }) => node?.textContent?.trim())}`,
              ),
          );
        }).observe({ type: "layout-shift", buffered: true });
        requestAnimationFrame(() => setTimeout(() => resolve([]), 50));
      }),
  );
}

async function violations(page: Page, rules?: string[]): Promise<string[]> {
  const found = await page.evaluate((options) => (window as any).axe.run(options) as Promise<AxeResults>, {
    resultTypes: ["violations"],
    ...(rules && { runOnly: rules }),
  });
  return found.violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}

async function picture(page: Page, name: string): Promise<void> {
  if (SCREENSHOTS === undefined) return;
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

/** Buttons, fields, and links that stand for themselves; those within a sentence may be as high as it is. */
function smallTargets(page: Page): Promise<string[]> {
  return page.evaluate(
    ({ touch, folded }) =>
      [
        ...document.querySelectorAll(
          "button, input:not([type=hidden], [type=checkbox], .away), .check, a.button, header a, .approval, select, summary",
        ),
      ]
        .filter((element) => !element.matches(folded))
        .filter((element) => element.getBoundingClientRect().height < touch)
        .map((element) => element.outerHTML),
    { touch: TOUCH, folded: FOLDED },
  );
}

/** Password managers, and a warning of Chromium's, go by the field of the person's e-mail beside the password. */
function namelessPasswords(page: Page): Promise<number> {
  return page
    .locator('form:not(:has(input[autocomplete^="username"])) input[type="password"]')
    .evaluateAll((fields) => fields.length);
}

const CONTROLS = [
  "a[href]",
  // One that says that its act is under way is inert, and left out by the Tab key.
  "button:not(.busy[disabled])",
  "select",
  "summary",
  "input:not([type=hidden], [tabindex='-1'])",
  "[tabindex='0']",
]
  .map((control) => `${control}:not(${FOLDED})`)
  .join(", ");

function readingOrder(page: Page): Promise<string[]> {
  return page
    .locator(CONTROLS)
    .evaluateAll((controls) => controls.map((control) => control.outerHTML.slice(0, 200)));
}

/** What the Tab key reaches, each seen to be reached: outlined, and within the window. */
async function tabOrder(page: Page): Promise<string[]> {
  await page.evaluate(() => {
    const reached: string[] = [];
    Object.assign(window, { reached });
    addEventListener("focusin", ({ target }) => {
      const element = target as HTMLElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      const { top, bottom } = element.getBoundingClientRect();
      const outlined = outlineStyle !== "none" && Number.parseFloat(outlineWidth) >= 2;
      const seen = outlined && bottom > 0 && top < innerHeight;
      reached.push(`${seen ? "" : "unseen: "}${element.outerHTML.slice(0, 200)}`);
    });
    // From the beginning, wherever the page has put the focus.
    const { body } = document;
    body.tabIndex = -1;
    body.focus();
    body.removeAttribute("tabindex");
    reached.length = 0;
  });
  const count = await page.locator(CONTROLS).count();
  for (let i = 0; i < count; i++) await page.keyboard.press("Tab");
  return page.evaluate(() => (window as any).reached);
}

/**
 * Times, and the few words in a pair of brackets, that do not keep together though they fit into a line. What people wrote
 * may break anywhere.
 */
function brokenParts(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const broken: string[] = [];
    const fits = (part: HTMLElement) => {
      if (!part.matches("time, .whole")) return true;
      let block = part.parentElement as HTMLElement;
      while (getComputedStyle(block).display.startsWith("inline")) block = block.parentElement as HTMLElement;
      const { paddingLeft, paddingRight } = getComputedStyle(block);
      const room = block.clientWidth - Number.parseFloat(paddingLeft) - Number.parseFloat(paddingRight);
      part.style.whiteSpace = "nowrap";
      const { width } = part.getBoundingClientRect();
      part.style.whiteSpace = "";
      return width <= room;
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
      const { data, parentElement: parent } = node as Text;
      if (parent === null || parent.closest("bdi, blockquote, a") || !parent.checkVisibility()) continue;
      const whole = parent.matches("time") ? /.+/g : /\([^()]{1,20}\)/g;
      for (const { 0: part, index } of data.matchAll(whole)) {
        const range = document.createRange();
        range.setStart(node, index);
        range.setEnd(node, index + part.length);
        if (new Set([...range.getClientRects()].map(({ top }) => top)).size > 1 && fits(parent))
          broken.push(part);
      }
    }
    return broken;
  });
}

/** Nothing is wider than a window of 320 px, nor than a phone with its text twice as large. */
async function staysWithinWidth(page: Page): Promise<void> {
  const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  await page.setViewportSize({ width: 320, height: 640 });
  expect(await overflow(), "wider than 320 px").toBeLessThanOrEqual(0);
  await page.setViewportSize(SIZES.phone);
  await page.evaluate(() => document.documentElement.style.setProperty("font-size", "200%"));
  expect(await overflow(), "wider with text twice as large").toBeLessThanOrEqual(0);
}
