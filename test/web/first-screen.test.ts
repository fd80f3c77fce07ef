import type { Browser, Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { begin, decide, putCard } from "../support/approval-scene.ts";
import { launchBrowser, SIZES, type Site, startSite } from "../support/browser.ts";
import { beginCoSign, dropPasskeys, letProofAge } from "../support/co-sign.ts";
import { decisionStates } from "../support/decision-states.ts";
import { createFixture, fund, operate } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { LONG } from "../support/long.ts";
import type { PageState } from "../support/page-states.ts";

const browser = await launchBrowser();
const site = browser && (await startSite());

/** What a person asks before they confirm, and where the page answers it. */
const QUESTIONS: Record<string, RegExp> = {
  "who asks": /Requested by Test agent for Acme/,
  "what for": /Label 5,000 street scenes|End the contract/,
  "how much": /(Fund|Release) \$450\.00 USD|refund \$900\.00 USD/,
  "to whom": /Maria G\., Spain|To Acme/,
  "from what": /Paid from (Visa card ending in \d{4}|The money held in escrow)/,
  "until when": /Decide by \w{3} \d{1,2} \w+, \d\d:\d\d UTC/,
  "what next": /What happens next: .*(charged|paid out|goes back) now, once/,
};

/** Pending approvals that this person can confirm, with all that may push the button down. */
async function pendingStates(from: Site): Promise<PageState[]> {
  const plain = await begin(from);
  const stale = await begin(from);
  const refused = await begin(from, { paymentMethod: "pm_card_chargeDeclinedInsufficientFunds" });
  await decide(from, refused, "confirm");
  const another = await begin(from, { paymentMethod: "pm_card_chargeDeclined" });
  await decide(from, another, "confirm");
  await putCard(from.app, another, "pm_card_visa");
  const passkey = await beginCoSign(from, { origin: from.origin });
  const password = await beginCoSign(from, { coSign: "session", origin: from.origin });
  await dropPasskeys(from.db, password);
  await letProofAge(from.db, password);
  const typed = await begin(from);
  await from.db
    .updateTable("accounts")
    .set({ amount_typed_from_cents: 10_000 })
    .where("account_id", "=", accountKey(typed.account))
    .execute();
  const named = { plain, refused, another, passkey, password, typed };
  const changed = async (page: Page) => {
    await putCard(from.app, stale, "pm_card_chargeDeclined");
    await page.getByRole("button", { name: /^Confirm/ }).click();
    await page.getByRole("alert").waitFor();
  };
  const states: PageState[] = [
    ...Object.entries(named).map(([name, { path, cookie }]) => ({ name, path, cookie })),
    { name: "stale", path: stale.path, cookie: stale.cookie, act: changed },
  ];
  // In the long run the states in which two people must confirm, too, a release and an end.
  if (!LONG) return states;
  const more = await decisionStates(from);
  return [
    ...states,
    ...more.filter(({ name }) => /^two-people(-second)?$|cancelled|waiting-(release|end)/.test(name)),
  ];
}

async function visit(
  { path, cookie = "", act }: Pick<PageState, "path" | "cookie" | "act">,
  viewport: { width: number; height: number },
  look: (page: Page) => Promise<void>,
): Promise<void> {
  const context = await (browser as Browser).newContext({ viewport, locale: "en-GB" });
  const [name = "", value = ""] = cookie.split("=", 2);
  await context.addCookies([{ name, value, url: String(site?.origin) }]);
  try {
    const page = await context.newPage();
    await page.goto(`${site?.origin}${path}`);
    await act?.(page);
    await look(page);
  } finally {
    await context.close();
  }
}

/** The text that stands within the window, whole. */
function seenText(page: Page): Promise<string> {
  return page.evaluate(() => {
    const seen: string[] = [];
    const walker = document.createTreeWalker(document.querySelector("main") as Node, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
      const range = document.createRange();
      range.selectNodeContents(node);
      const { bottom, height } = range.getBoundingClientRect();
      if (height === 0 || bottom <= innerHeight) seen.push(node.textContent ?? "");
    }
    return seen
      .join(" ")
      .replaceAll(/\s+/g, " ")
      .replaceAll(/ ([.,?])/g, "$1");
  });
}

describe.skipIf(browser === undefined)("The first screen of a pending approval", () => {
  test.each(["desktop", "phone"] as const)(
    "answers the seven questions and has the button that confirms, on a %s, in every state",
    async (size) => {
      for (const state of await pendingStates(site as Site)) {
        await visit(state, SIZES[size], async (page) => {
          const text = await seenText(page);
          for (const [question, answer] of Object.entries(QUESTIONS))
            expect(text, `${state.name}: ${question}`).toMatch(answer);
          const button = page.getByRole("button", { name: /^Confirm\b/ }).first();
          const box = await button.boundingBox();
          expect(box && box.y + box.height, state.name).toBeLessThanOrEqual(SIZES[size].height);
        });
      }
    },
  );
});

/** The same where money moves already: what was confirmed, and what the person does now. */
const MOVING: Record<string, RegExp> = {
  "who asks": /Requested by Test agent/,
  "what for": /Label 5,000 street scenes/,
  "how much": /\$450\.00 USD/,
  "to whom": /To Maria G\., Spain/,
  "from what": /Paid from Visa card ending in \d{4}/,
};
const NEXT = {
  paying: /The result will appear here, usually within a minute\./,
  bank: /You’ll return here afterwards\. Until then no money moves\..*Continue to my bank/,
};

describe.skipIf(browser === undefined)("The first screen of a payment under way", () => {
  test.each(["desktop", "phone"] as const)(
    "answers what is being paid and what happens next, on a %s, while it pays and while the bank asks",
    async (size) => {
      const paying = await begin(site as Site, { paymentMethod: "pm_sandbox_timeout" });
      const bank = await begin(site as Site, { paymentMethod: "pm_card_authenticationRequired" });
      for (const [name, story] of Object.entries({ paying, bank })) {
        await decide(site as Site, story, "confirm");
        await visit(story, SIZES[size], async (page) => {
          const text = await seenText(page);
          for (const [question, answer] of Object.entries(MOVING))
            expect(text, `${name}: ${question}`).toMatch(answer);
          expect(text, name).toMatch(NEXT[name as keyof typeof NEXT]);
        });
      }
    },
  );
});

describe.skipIf(browser === undefined)("An amount", () => {
  test.each([
    [390, "100%"],
    [390, "150%"],
    [390, "200%"],
    [320, "100%"],
    [320, "200%"],
    [1280, "200%"],
  ])("never breaks inside its digits, %d px wide with text at %s", async (width, fontSize) => {
    const { app } = site as Site;
    const fixture = await createFixture(app);
    await operate(app, "PUT", `/accounts/${fixture.account}/milestones/${fixture.milestone}`, {
      amountUsd: 999_999.99,
    });
    const { body } = await fund(app, fixture.token, fixture.milestone);
    const { cookie } = await createHuman(app, fixture.account);
    for (const path of [`/approvals/${body.approval.id}`, "/approvals", `/contracts/${fixture.contract}`]) {
      await visit({ path, cookie }, { width, height: 800 }, async (page) => {
        await page.evaluate(
          (size) => document.documentElement.style.setProperty("font-size", size),
          fontSize,
        );
        expect(await brokenAmounts(page), path).toEqual([]);
      });
    }
  });
});

/** The amounts whose digits stand on more than one line, or beyond the page's edge. */
function brokenAmounts(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const amounts = [...document.querySelectorAll(".amount")].filter((one) => one.checkVisibility());
    if (amounts.length === 0) return ["there is none"];
    return amounts
      .filter((amount) => {
        const text = amount.firstChild as Text;
        const digits = /[\d.,]+/.exec(text.data);
        const range = document.createRange();
        range.setStart(text, digits?.index ?? 0);
        range.setEnd(text, (digits?.index ?? 0) + (digits?.[0].length ?? 0));
        const { right } = range.getBoundingClientRect();
        return new Set([...range.getClientRects()].map(({ top }) => top)).size > 1 || right > innerWidth;
      })
      .map((amount) => amount.outerHTML);
  });
}
