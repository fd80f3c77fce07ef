import fc from "fast-check";
import type { Browser, BrowserContext, Page, Request } from "playwright-core";
import { describe, expect, test } from "vitest";
import { begin, decide, type Story } from "../support/approval-scene.ts";
import { launchBrowser, SIZES, type Site, startSite } from "../support/browser.ts";
import { call, createMilestone, fund } from "../support/fixtures.ts";
import { count } from "../support/long.ts";

const browser = await launchBrowser();
const site = browser && (await startSite());

const RUNS = Number(process.env.FC_RUNS ?? count(2, 60));
const CARDS = ["pm_card_visa", "pm_card_chargeDeclined", "pm_card_authenticationRequired"] as const;
/** What can be pressed, but for what leaves the pages, saves a file, or signs out. */
const PRESSABLE =
  "main a[href^='/']:not([download], [href*='.csv'], [href*='json'], [href^='/docs']), main button:not([disabled]), nav a";
const FIELDS = "main input:not([type=hidden], [type=checkbox], .away)";
/** What no page for people may say. */
const RAW =
  /\{"error"|"statusCode"|internal server error|TypeError|ReferenceError|\[object |undefined|\bNaN\b|\.ts:\d/i;

type Move =
  | { do: "press"; at: number }
  | { do: "type"; at: number; text: string }
  | { do: "back" | "forward" | "reload" | "tab" | "offline" | "approval" | "inbox" | "address" }
  | { do: "colleague"; says: "confirm" | "decline" };

const some = (name: "back" | "forward" | "reload" | "tab" | "offline" | "approval" | "inbox" | "address") =>
  fc.constant<Move>({ do: name });
const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("press" as const), at: fc.nat(30) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("type" as const),
      at: fc.nat(8),
      text: fc.oneof(
        fc.string({ unit: "grapheme", maxLength: 40 }),
        fc.constantFrom("450", "1.000", "<b>x</b>"),
      ),
    }),
  },
  { weight: 2, arbitrary: some("back") },
  ...(["forward", "reload", "tab", "offline", "approval", "inbox", "address"] as const).map(some),
  fc.record({ do: fc.constant("colleague" as const), says: fc.constantFrom("confirm", "decline") }),
);

/** A person with two tabs, who does what comes to their mind. */
class Person {
  readonly #tabs: Page[];
  readonly #context: BrowserContext;
  readonly #story: Story;
  /** Pages that are on their way. */
  readonly #coming = new Set<Request>();
  /** Whether a click was given up: its form may arrive later than the next page, which then shows what was before it. */
  #hurried = false;
  #at = 0;

  constructor(context: BrowserContext, tabs: Page[], story: Story) {
    context.on("request", (request) => request.isNavigationRequest() && this.#coming.add(request));
    context.on("requestfinished", (request) => this.#coming.delete(request));
    context.on("requestfailed", (request) => this.#coming.delete(request));
    this.#context = context;
    this.#tabs = tabs;
    this.#story = story;
  }

  get page(): Page {
    return this.#tabs[this.#at] as Page;
  }

  async act(move: Move): Promise<void> {
    const { page } = this;
    const { path } = this.#story;
    switch (move.do) {
      case "press":
        return this.press(move.at);
      case "type": {
        const fields = page.locator(FIELDS).filter({ visible: true });
        const there = await fields.count();
        if (there > 0)
          await fields
            .nth(move.at % there)
            .fill(move.text, { timeout: 2_000 })
            .catch(() => {});
        return;
      }
      case "back":
        return void (await page.goBack().catch(() => {}));
      case "forward":
        return void (await page.goForward().catch(() => {}));
      case "reload":
        return this.#reload();
      case "tab":
        this.#at = 1 - this.#at;
        // What a page said before is not what it would say now.
        return this.#reload();
      case "offline":
        await this.#context.setOffline(true);
        await this.press(0).catch(() => {});
        await this.#context.setOffline(false);
        return this.#open(path);
      case "colleague":
        await decide(site as Site, this.#story, move.says).catch(() => {});
        return this.#reload();
      default: {
        const to = { approval: path, inbox: "/approvals", address: `${path}/confirm` }[move.do];
        return this.#open(to);
      }
    }
  }

  /** Types an address. */
  #open(path: string): Promise<void> {
    return untilDone(() => this.page.goto(`${site?.origin}${path}`));
  }

  #reload(): Promise<void> {
    return untilDone(() => this.page.reload());
  }

  async press(at: number): Promise<void> {
    const targets = this.page.locator(PRESSABLE).filter({ visible: true });
    const there = await targets.count();
    if (there === 0) return;
    await targets
      .nth(at % there)
      .click({ timeout: 2_000 })
      .catch(() => {
        this.#hurried = true;
      });
    await this.page.evaluate(() => 0).catch(() => {});
    await expect.poll(() => this.#coming.size).toBe(0);
    await this.page.waitForLoadState();
  }

  /** Looks at the page as it stands: again, while it is on its way to another one. */
  async look(): Promise<void> {
    await expect
      .poll(
        async () => {
          const faults = await this.#faults().catch((error: unknown) => [String(error)]);
          if (faults.length > 0 && this.#hurried) await this.page.reload().catch(() => {});
          return faults;
        },
        { timeout: 20_000 },
      )
      .toEqual([]);
  }

  async #faults(): Promise<string[]> {
    const { page } = this;
    // Before their first page, as after too much Back.
    if (page.url() === "about:blank") return [];
    const { type, text, heading, ways } = await page.evaluate((pressable) => {
      const main = document.querySelector("main");
      return {
        type: document.contentType,
        text: (main ?? document.body).innerText,
        heading: document.querySelector("h1")?.innerText ?? "",
        ways: document.querySelectorAll(`${pressable}, header a`).length,
      };
    }, PRESSABLE);
    const faults: string[] = [];
    if (type !== "text/html" || heading === "") faults.push(`no page: ${type}, ${text.slice(0, 200)}`);
    if (RAW.test(text)) faults.push(`a raw error: ${RAW.exec(text)?.[0]} in ${text.slice(0, 300)}`);
    if (ways === 0) faults.push(`a dead end: ${text.slice(0, 200)}`);
    if (new URL(page.url()).pathname === this.#story.path && !/temporarily|too many/i.test(heading)) {
      const status = await readStatus(this.#story);
      if (said(heading) !== status) faults.push(`“${heading}” of an approval that is ${status}`);
    }
    return faults;
  }
}

/** Goes somewhere: again, where the page went on by itself in between. */
async function untilDone(go: () => Promise<unknown>): Promise<void> {
  await expect
    .poll(() =>
      go().then(
        () => "",
        (error: unknown) => String(error),
      ),
    )
    .not.toContain("ERR_ABORTED");
}

/** What an approval's heading says of it. */
function said(heading: string): string {
  if (/ funded$/.test(heading)) return "confirmed";
  if (/^Declined:/.test(heading)) return "declined";
  return /^(Closed|Expired):/.test(heading) ? "expired" : "pending";
}

async function readStatus({ token, approvalId }: Story): Promise<string> {
  const answer = await call((site as Site).app, "GET", `/approvals/${approvalId}`, { token });
  return answer.body.approval.status;
}

describe.skipIf(browser === undefined)("A careless person", () => {
  test("never sees a raw error, a dead end, or a page that contradicts the database", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...CARDS),
        fc.array(move, { minLength: 6, maxLength: 14 }),
        async (paymentMethod, moves) => {
          const { app, origin } = site as Site;
          const story = await begin(site as Site, { paymentMethod });
          await createMilestone(app, story, `${story.milestone}-2`);
          await fund(app, story.token, `${story.milestone}-2`);
          const context = await (browser as Browser).newContext({ viewport: SIZES.phone });
          try {
            const [name = "", value = ""] = story.cookie.split("=", 2);
            await context.addCookies([{ name, value, url: origin }]);
            const tabs = [await context.newPage(), await context.newPage()];
            for (const tab of tabs) await tab.goto(origin + story.path);
            const person = new Person(context, tabs, story);
            for (const one of moves) {
              await person.act(one);
              await person.look();
            }
          } finally {
            await context.close();
          }
        },
      ),
      {
        numRuns: RUNS,
        endOnFailure: true,
        ...(process.env.FC_SEED && { seed: Number(process.env.FC_SEED) }),
      },
    );
  }, 10_800_000);
});
