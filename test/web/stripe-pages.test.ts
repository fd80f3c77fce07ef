import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { AxeResults } from "axe-core";
import Stripe from "stripe";
import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { receiveProcessorEvent } from "../../src/approvals/processor-event-service.ts";
import { findLatestPayment } from "../../src/billing/payment-service.ts";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { begin, decide, type Story } from "../support/approval-scene.ts";
import { launchBrowser, routeStripe, SIZES, startSite } from "../support/browser.ts";
import { hiddenValue, open, submit } from "../support/humans.ts";
import { some } from "../support/long.ts";
import { openStripeRails } from "../support/rails.ts";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const { SCREENSHOTS } = process.env;

const browser = await launchBrowser();
const rails = await openStripeRails({ bankOrigin: "https://hooks.stripe.com" });
const { stripe } = rails;
const site = browser && (await startSite(rails));

function live(): NonNullable<typeof site> {
  if (site === undefined) throw new TypeError("there is no browser");
  return site;
}

async function createPaid(): Promise<Story & { intentId: string }> {
  const story = await begin(live());
  await decide(live(), story, "confirm");
  const payment = await findLatestPayment(live().db, accountKey(story.account), story.approvalId);
  return { ...story, intentId: payment?.intentId ?? "" };
}

/** Tells of a reversal of that intent, as Stripe would. */
function tell(intentId: string): Promise<void> {
  const { db, config } = live();
  const deps = { db, config, processor: rails.open(db), logger: createLogger("silent") };
  return receiveProcessorEvent(deps, {
    id: newId(),
    type: "refund.created",
    intentId,
    setupId: null,
    sessionId: null,
    sent: null,
    accountId: null,
  });
}

async function beginSetup(): Promise<Story & { path: string; setupId: string }> {
  const story = await begin(live());
  const page = await open(live().app, "/billing", story);
  const accountId = accountKey(story.account);
  const fields = { accountId, form_token: hiddenValue(page, "/billing/new-card") };
  const { headers } = await submit(live().app, "/billing/new-card", fields, story);
  const path = String(headers.location);
  return { ...story, path, setupId: path.split("/").at(-1) ?? "" };
}

/** Pages that exist only with Stripe. An everyday run tries the first two. */
const STATES: Record<string, () => Promise<{ path: string; cookie: string }>> = {
  card: beginSetup,
  "billing-reversals": async () => {
    const paid = await createPaid();
    stripe.refund(paid.intentId, 1_000);
    stripe.dispute(paid.intentId);
    await tell(paid.intentId);
    return { ...paid, path: "/billing" };
  },
  billing: async () => ({ ...(await createPaid()), path: "/billing" }),
  "card-refused": async () => {
    const setup = await beginSetup();
    return { ...setup, path: `${setup.path}?redirect_status=failed` };
  },
  "card-given": async () => {
    const setup = await beginSetup();
    const client = new Stripe(stripe.secretKey, stripe.at);
    const given = { payment_method: "pm_card_visa", return_url: live().origin };
    await client.setupIntents.confirm(setup.setupId, given);
    return setup;
  },
  "back-from-bank": async () => {
    const story = await begin(live(), { paymentMethod: "pm_card_authenticationRequired" });
    await decide(live(), story, "confirm");
    const payment = await findLatestPayment(live().db, accountKey(story.account), story.approvalId);
    return { ...story, path: `${story.path}?payment_intent=${payment?.intentId}` };
  },
  disputed: async () => {
    const paid = await createPaid();
    stripe.dispute(paid.intentId);
    await tell(paid.intentId);
    return paid;
  },
  refunded: async () => {
    const paid = await createPaid();
    stripe.refund(paid.intentId);
    await tell(paid.intentId);
    return paid;
  },
};

describe.skipIf(browser === undefined)("the pages that there are with Stripe alone", () => {
  test.each(some(Object.keys(STATES), 2))(
    "%s can be read and used by all, in both schemes and widths",
    async (name) => {
      const state = await STATES[name]?.();
      if (state === undefined || browser === undefined) throw new TypeError("it is listed");
      const context = await browser.newContext({ viewport: SIZES.phone });
      const [cookieName = "", value = ""] = state.cookie.split("=");
      await context.addCookies([{ name: cookieName, value, url: live().origin }]);
      await routeStripe(context, stripe);
      // What sends itself would be gone before it is looked at.
      await context.route("**/assets/send.*.js", (route) => route.abort());
      const page = await context.newPage();
      await page.goto(live().origin + state.path, { waitUntil: "networkidle" });
      for (const size of ["phone", "desktop"] as const) {
        await page.setViewportSize(SIZES[size]);
        for (const colorScheme of ["light", "dark"] as const) {
          await page.emulateMedia({ colorScheme });
          await page.evaluate(AXE);
          // What is in a frame of Stripe's is Stripe's.
          const found: AxeResults = await page.evaluate(() =>
            (window as any).axe.run({ exclude: "iframe" }, { resultTypes: ["violations"], iframes: false }),
          );
          expect(
            found.violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`)),
          ).toEqual([]);
          if (SCREENSHOTS !== undefined) {
            await mkdir(SCREENSHOTS, { recursive: true });
            await page.screenshot({
              path: join(SCREENSHOTS, `stripe-${name}-${size}-${colorScheme}.png`),
              fullPage: true,
            });
          }
        }
      }
      expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
      await context.close();
    },
  );
});
