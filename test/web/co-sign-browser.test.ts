import type { BrowserContext, Locator, Page, Route } from "playwright-core";
import { describe, expect, test } from "vitest";
import { launchBrowser, SIZES, startSite } from "../support/browser.ts";
import {
  beginCoSign,
  type CoSignOptions,
  type CoSignStory,
  chargesOf,
  dropPasskeys,
  readSignatures,
  statusOf,
} from "../support/co-sign.ts";
import { operate } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { longTest } from "../support/long.ts";
import { givePasskey, userIdOf } from "../support/passkeys.ts";
import { plugIn, type VirtualAuthenticator } from "../support/virtual-authenticator.ts";

const browser = await launchBrowser();
const site = browser && (await startSite());

const CONFIRM = "Confirm and fund $450.00 USD";

function live(): NonNullable<typeof site> {
  if (site === undefined) throw new TypeError("there is no browser");
  return site;
}

type Visit = {
  story: CoSignStory;
  page: Page;
  context: BrowserContext;
  authenticator: VirtualAuthenticator;
  /** What the person has done since the page was opened: clicks, and prompts that they answered. */
  interactions: () => { clicks: number; prompts: number };
};
type VisitOptions = CoSignOptions & { recognises?: boolean; javaScriptEnabled?: boolean; without?: boolean };

/** A person who has a passkey, signed in, on the page of an approval. */
async function visit(options: VisitOptions, work: (visit: Visit) => Promise<void>): Promise<void> {
  const { recognises = true, javaScriptEnabled = true, without = false, ...coSign } = options;
  const story = await beginCoSign(live(), { ...coSign, origin: live().origin });
  const context = await signedIn(story.cookie, javaScriptEnabled);
  try {
    const page = await context.newPage();
    const authenticator = await plugIn(page, { recognises });
    if (without) await dropPasskeys(live().db, story);
    else await authenticator.add(story.passkey, story.userId);
    const clicks = await countClicks(page);
    await page.goto(live().origin + story.path);
    const interactions = () => ({ clicks: clicks(), prompts: authenticator.answered() });
    await work({ story, page, context, authenticator, interactions });
  } finally {
    await context.close();
  }
}

/** Counts every click on every page that the tab shows. */
async function countClicks(page: Page): Promise<() => number> {
  let clicks = 0;
  await page.exposeFunction("countClick", () => {
    clicks += 1;
  });
  await page.addInitScript(() =>
    addEventListener("click", () => (window as unknown as { countClick(): void }).countClick(), true),
  );
  return () => clicks;
}

async function signedIn(cookie: string, javaScriptEnabled = true): Promise<BrowserContext> {
  const context = await browser?.newContext({ viewport: SIZES.phone, javaScriptEnabled });
  if (context === undefined) throw new TypeError("there is no browser");
  const [name = "", value = ""] = cookie.split("=");
  await context.addCookies([{ name, value, url: live().origin }]);
  return context;
}

const press = (page: Page, name = CONFIRM): Promise<void> =>
  page.getByRole("main").getByRole("button", { name, exact: true }).click();

async function textOf(locator: Locator): Promise<string> {
  return ((await locator.textContent()) ?? "").replaceAll(/\s+/g, " ").trim();
}

const heading = (page: Page): Promise<string> => textOf(page.getByRole("heading", { level: 1 }));
const alert = (page: Page): Promise<string> => textOf(page.getByRole("alert"));

async function expectNothing(story: CoSignStory): Promise<void> {
  expect(await statusOf(live().app, story)).toBe("pending");
  expect(await readSignatures(live().db, story)).toEqual([]);
  expect(await chargesOf(live().app, story)).toEqual([]);
}

async function expectPaidOnce(story: CoSignStory): Promise<void> {
  expect(await statusOf(live().app, story)).toBe("confirmed");
  expect(await readSignatures(live().db, story)).toHaveLength(1);
  expect(await chargesOf(live().app, story)).toHaveLength(1);
}

/** Has the page's script told something else than the service said: what an attacker's would be. */
async function changeChallenge(page: Page, change: object): Promise<void> {
  await page.route("**/challenge", async (route: Route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...(await response.json()), ...change } });
  });
}

/** The form that the browser sent last, as it stood. */
function lastForm(page: Page): () => URLSearchParams {
  let sent = "";
  page.on("request", (request) => {
    if (request.url().endsWith("/confirm")) sent = request.postData() ?? "";
  });
  return () => new URLSearchParams(sent);
}

/** Sends a form once more, from the page. */
function sendAgain(page: Page, url: string, form: URLSearchParams): Promise<{ text: string }> {
  return page.evaluate(
    async ([to, body]) => {
      const answer = await fetch(to, {
        method: "POST",
        headers: { accept: "text/html", "content-type": "application/x-www-form-urlencoded" },
        body,
      });
      return { text: await answer.text() };
    },
    [url, form.toString()] as const,
  );
}

describe.skipIf(browser === undefined)("a person with a passkey, in a browser", () => {
  test("funds a milestone by 2 interactions: the button, and the prompt", async () => {
    await visit({}, async ({ story, page, interactions }) => {
      await press(page);
      await expect.poll(() => heading(page)).toBe("$450.00 USD funded");
      expect(interactions()).toEqual({ clicks: 1, prompts: 1 });
      await expectPaidOnce(story);
    });
  });

  test("who has none yet funds it by 5: two clicks and a prompt to add one, the button, and the prompt", async () => {
    await visit({ without: true }, async ({ story, page, interactions }) => {
      await page.getByRole("link", { name: "Add a passkey" }).click();
      await press(page, "Create passkey");
      await expect.poll(() => heading(page)).toBe("Fund $450.00 USD for Maria G.?");
      expect(new URL(page.url()).pathname).toBe(story.path);
      await press(page);
      await expect.poll(() => heading(page)).toBe("$450.00 USD funded");
      expect(interactions()).toEqual({ clicks: 3, prompts: 2 });
      await expectPaidOnce(story);
    });
  });

  test("who lets the prompt be finds the page as it was, told that nothing was confirmed, and may go on", async () => {
    await visit({}, async ({ story, page, authenticator }) => {
      await authenticator.answer(false);
      await changeChallenge(page, { timeout: 200 });
      await press(page);
      const said = page.getByRole("status");
      await expect.poll(() => textOf(said)).toContain("Nothing was confirmed. The passkey prompt was closed");
      await expectNothing(story);
      await authenticator.answer(true);
      await page.unroute("**/challenge");
      await press(page);
      await expect.poll(() => heading(page)).toBe("$450.00 USD funded");
      await expectPaidOnce(story);
    });
  });

  longTest("whom it does not recognise confirms nothing, nor does a script that asks it not to", async () => {
    await visit({ recognises: true }, async ({ story, page, authenticator }) => {
      await authenticator.recognise(false);
      await press(page);
      await expect.poll(() => textOf(page.getByRole("status"))).toContain("Nothing was confirmed");
      await expectNothing(story);
    });
    await visit({ recognises: false }, async ({ story, page, authenticator }) => {
      await changeChallenge(page, { userVerification: "discouraged" });
      await press(page);
      await expect.poll(() => alert(page)).toContain("Nothing was confirmed. That passkey wasn’t accepted");
      expect(authenticator.answered()).toBe(1);
      await expectNothing(story);
    });
  });

  longTest("confirms nothing with another person's, even if a script lets any be used", async () => {
    const { app, db, origin } = live();
    await visit({}, async ({ story, page, context }) => {
      const other = await createHuman(app, story.account, "viewer");
      const userId = await userIdOf(db, other.email);
      const foreign = await givePasskey(db, userId, { origin });
      await page.close();
      const tab = await context.newPage();
      const authenticator = await plugIn(tab);
      await authenticator.add(foreign, userId);
      await tab.goto(origin + story.path);
      await changeChallenge(tab, { allowCredentials: [] });
      await press(tab);
      await expect.poll(() => alert(tab)).toContain("Nothing was confirmed. That passkey wasn’t accepted");
      expect(authenticator.answered()).toBe(1);
      await expectNothing(story);
    });
  });

  longTest("an answer that is sent again confirms nothing more", async () => {
    await visit({ paymentMethod: "pm_card_chargeDeclined" }, async ({ story, page }) => {
      const form = lastForm(page);
      await press(page);
      await expect.poll(() => alert(page)).toContain("The last payment was refused");
      const again = await sendAgain(page, `${story.path}/confirm`, form());
      expect(again.text).toContain("Nothing was confirmed.");
      expect(await readSignatures(live().db, story)).toHaveLength(1);
      expect(await statusOf(live().app, story)).toBe("pending");
    });
  });

  longTest("an answer for another approval confirms nothing", async () => {
    await visit({}, async ({ story, page }) => {
      const form = lastForm(page);
      await visit({}, async (elsewhere) => {
        const foreign = lastForm(elsewhere.page);
        await elsewhere.page.route("**/confirm", (route) => route.abort());
        await press(elsewhere.page);
        await expect.poll(() => foreign().get("assertion")).toBeTruthy();
        await page.route("**/confirm", async (route) => {
          const sent = new URLSearchParams(route.request().postData() ?? "");
          sent.set("assertion", foreign().get("assertion") ?? "");
          await route.continue({ postData: sent.toString() });
        });
        await press(page);
        await expect.poll(() => alert(page)).toContain("Nothing was confirmed. That passkey wasn’t accepted");
        await expectNothing(elsewhere.story);
      });
      expect(form().get("assertion")).toBeTruthy();
      await expectNothing(story);
    });
  });

  test("is shown what changed under the page, before any prompt, and signs nothing", async () => {
    const { app } = live();
    await visit({}, async ({ story, page, authenticator }) => {
      await operate(app, "POST", `/accounts/${story.account}/payment-methods`, {
        paymentMethod: "pm_card_chargeDeclined",
      });
      await press(page);
      await expect.poll(() => alert(page)).toContain("the Visa card ending in 0002 pays now");
      await expectNothing(story);
      await operate(app, "PUT", `/accounts/${story.account}/milestones/${story.milestone}`, {
        amountUsd: 460,
      });
      await press(page);
      await expect.poll(() => heading(page)).toBe("Closed: $450.00 USD");
      expect(await textOf(page.getByRole("main"))).toContain("The terms were changed");
      expect(authenticator.answered()).toBe(0);
      expect(await readSignatures(live().db, story)).toEqual([]);
    });
  });

  test("pays once from two tabs, and the second says so", async () => {
    await visit({}, async ({ story, page, context, authenticator }) => {
      const second = await context.newPage();
      await second.goto(live().origin + story.path);
      await press(page);
      await expect.poll(() => heading(page)).toBe("$450.00 USD funded");
      await press(second);
      await expect.poll(() => heading(second)).toBe("$450.00 USD funded");
      expect(await textOf(second.getByRole("alert"))).toContain("confirmed while your page was open");
      expect(authenticator.answered()).toBe(1);
      await expectPaidOnce(story);
    });
  });

  longTest("pays once, even if the person goes back and presses again", async () => {
    await visit({}, async ({ story, page, authenticator }) => {
      await page.goto(`${live().origin}/approvals`);
      await page.getByRole("link", { name: "$450.00 USD for Maria G." }).click();
      await press(page);
      await expect.poll(() => heading(page)).toBe("$450.00 USD funded");
      await page.goBack();
      const button = page.getByRole("button", { name: CONFIRM, exact: true });
      if ((await button.count()) > 0) await button.click();
      await expect.poll(() => textOf(page.getByRole("main"))).toContain("$450.00 USD");
      expect(authenticator.answered()).toBe(1);
      await expectPaidOnce(story);
    });
  });

  longTest("where a password may do, uses it instead, or the passkey", async () => {
    await visit({ coSign: "session" }, async ({ story, page, authenticator }) => {
      await page.getByText("Use your password instead").click();
      await page.getByLabel("Your password").fill("not this one");
      await press(page, "Confirm with your password");
      await expect.poll(() => textOf(page.getByRole("main"))).toContain("That password is wrong");
      expect(authenticator.answered()).toBe(0);
      await expectNothing(story);
      await press(page);
      await expect.poll(() => heading(page)).toBe("$450.00 USD funded");
      await expectPaidOnce(story);
    });
  });

  longTest("types a large amount, and is not asked for the passkey before it is right", async () => {
    await visit({ amountUsd: 1234.5 }, async ({ story, page, authenticator }) => {
      const amount = page.getByLabel(/^Type .* to confirm$/);
      await amount.fill("1234");
      await press(page, "Confirm and fund $1,234.50 USD");
      await expect.poll(() => textOf(page.getByRole("main"))).toContain("You typed $1,234.00 USD");
      expect(authenticator.answered()).toBe(0);
      expect(await amount.inputValue()).toBe("1234");
      await amount.fill("1,234.50");
      await press(page, "Confirm and fund $1,234.50 USD");
      await expect.poll(() => heading(page)).toBe("$1,234.50 USD funded");
      await expectPaidOnce(story);
    });
  });

  test("without JavaScript reads that confirming needs it, and can decline", async () => {
    await visit({ javaScriptEnabled: false }, async ({ story, page }) => {
      expect(await textOf(page.getByRole("main"))).toContain("Confirming here needs JavaScript.");
      expect(await page.getByRole("button", { name: CONFIRM, exact: true }).isDisabled()).toBe(true);
      await press(page, "Decline");
      expect(await heading(page)).toBe("Declined: $450.00 USD");
      expect(await statusOf(live().app, story)).toBe("declined");
    });
  });
});
