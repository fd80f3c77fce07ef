import type { Browser, Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { begin, decide } from "../support/approval-scene.ts";
import { launchBrowser, SIZES, type Site, startSite } from "../support/browser.ts";
import { createFixture, fund } from "../support/fixtures.ts";
import { createHuman, PASSWORD } from "../support/humans.ts";

const browser = await launchBrowser();
const site = browser && (await startSite());

type Story = { path: string; cookie: string };
type Media = Parameters<Page["emulateMedia"]>[0];

async function visit(
  { path, cookie }: Story,
  media: Media,
  look: (page: Page) => Promise<void>,
): Promise<void> {
  const context = await (browser as Browser).newContext({ viewport: SIZES.phone, locale: "en-GB" });
  const [name = "", value = ""] = cookie.split("=", 2);
  await context.addCookies([{ name, value, url: String(site?.origin) }]);
  try {
    const page = await context.newPage();
    await page.emulateMedia(media);
    await page.goto(`${site?.origin}${path}`);
    await look(page);
  } finally {
    await context.close();
  }
}

/** A pending approval, one whose payment was refused, and one that was confirmed. */
async function stories(): Promise<Record<"pending" | "refused" | "confirmed", Story>> {
  const pending = await begin(site as Site);
  const refused = await begin(site as Site, { paymentMethod: "pm_card_chargeDeclined" });
  const confirmed = await begin(site as Site);
  for (const story of [refused, confirmed]) await decide(site as Site, story, "confirm");
  return { pending, refused, confirmed };
}

describe.skipIf(browser === undefined)("A person who sees pages otherwise", () => {
  test("tells buttons, fields, notices and the page they are on apart where colours are their own", async () => {
    const { pending, refused, confirmed } = await stories();
    for (const colorScheme of ["light", "dark"] as const) {
      const media = { forcedColors: "active", colorScheme } as const;
      await visit(pending, media, async (page) => {
        const border = (selector: string) => borderOf(page, selector);
        expect(await border('button:text("Confirm and fund")')).toBe(3);
        expect(await border('button:text("Decline")')).toBe(1);
        expect(await border("#note")).toBe(1);
        expect(await border("dl.terms > div:first-child")).toBe(1);
        // The count beside “Approvals” is told apart by its edge, and the page by its underline.
        expect(await border("nav .count")).toBe(1);
        expect(await styleOf(page, "nav a[aria-current]", "textDecorationLine")).toBe("underline");
        await page.keyboard.press("Tab");
        expect(await styleOf(page, ":focus", "outlineStyle")).toBe("solid");
      });
      for (const story of [refused, confirmed])
        await visit(story, media, async (page) => expect(await borderOf(page, ".notice")).toBe(4));
      await visit({ ...confirmed, path: "/approvals" }, media, async (page) => {
        expect(await borderOf(page, ".state.done")).toBe(1);
        expect(await styleOf(page, ".approval", "content", "::after")).toBe('""');
      });
    }
  });

  test("sees nothing move where motion is reduced, and nothing that moves by itself where it is not", async () => {
    const { pending } = await stories();
    for (const reducedMotion of ["reduce", "no-preference"] as const)
      await visit(pending, { reducedMotion }, async (page) =>
        expect(
          await page.evaluate(
            () =>
              [...document.querySelectorAll("*")].filter((element) => {
                const { animationName, transitionDuration, scrollBehavior } = getComputedStyle(element);
                return animationName !== "none" || transitionDuration !== "0s" || scrollBehavior !== "auto";
              }).length,
          ),
        ).toBe(0),
      );
  });

  test("reads the page at 200 % zoom as a phone of half the width does, with all of it in reach", async () => {
    const { pending, refused, confirmed } = await stories();
    for (const story of [pending, refused, confirmed])
      await visit(story, {}, async (page) => {
        // A window of 1280 px at 200 % has 640, and at 400 % has 320, as WCAG 1.4.10 has it.
        for (const width of [640, 320]) {
          await page.setViewportSize({ width, height: 400 });
          expect(
            await page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
          ).toBeLessThanOrEqual(0);
          const cut = await page.evaluate(() =>
            [...document.querySelectorAll("button, a, dd, h1, p, label")]
              .filter((one) => one.checkVisibility() && !one.closest(".away, .skip, .visitor"))
              .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
              .map((one) => one.outerHTML.slice(0, 120)),
          );
          expect(cut).toEqual([]);
        }
      });
  });

  test("gets from the mailed link to a funded milestone with the keyboard alone", async () => {
    const { app, origin } = site as Site;
    const fixture = await createFixture(app);
    const { email } = await createHuman(app, fixture.account);
    const { body } = await fund(app, fixture.token, fixture.milestone);
    await visit({ path: `/approvals/${body.approval.id}`, cookie: "none=none" }, {}, async (page) => {
      await reach(page, "Email");
      await page.keyboard.type(email);
      await reach(page, "Password");
      await page.keyboard.type(PASSWORD);
      await page.keyboard.press("Enter");
      await page.waitForURL(`${origin}/approvals/${body.approval.id}`);
      await reach(page, "Confirm and fund $450.00 USD");
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: "$450.00 USD funded" }).waitFor();
      await reach(page, "View receipt");
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: /^Receipt/ }).waitFor();
    });
  });
});

/** Presses Tab until what has that name has the focus. */
async function reach(page: Page, name: string): Promise<void> {
  for (let i = 0; i < 40; i++) {
    const here = await page.evaluate(() => {
      const { activeElement: element } = document;
      const label = (element as HTMLInputElement | null)?.labels?.[0] ?? element;
      return label?.textContent?.replaceAll(/\s+/g, " ").trim();
    });
    if (here === name) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`the Tab key does not reach ${name}`);
}

/** The width of an element's widest border that is drawn, in pixels. */
function borderOf(page: Page, selector: string): Promise<number> {
  return page
    .locator(selector)
    .first()
    .evaluate((element) => {
      const style = getComputedStyle(element) as unknown as Record<string, string>;
      const sides = ["Top", "Left", "Bottom", "Right"].filter(
        (side) => style[`border${side}Style`] !== "none",
      );
      return Math.max(0, ...sides.map((side) => Number.parseFloat(style[`border${side}Width`] ?? "0")));
    });
}

function styleOf(page: Page, selector: string, property: string, pseudo?: string): Promise<string> {
  return page
    .locator(selector)
    .first()
    .evaluate(
      (element, [name, part]) =>
        (getComputedStyle(element, part) as unknown as Record<string, string>)[name as string] ?? "",
      [property, pseudo] as const,
    );
}
