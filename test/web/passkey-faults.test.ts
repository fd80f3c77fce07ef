import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { listOwnPasskeys } from "../../src/passkeys/store.ts";
import { letProofAge } from "../support/approval-scene.ts";
import { launchBrowser, SIZES, startSite } from "../support/browser.ts";
import { beginCoSign, type CoSignStory, dropPasskeys, statusOf } from "../support/co-sign.ts";
import { some } from "../support/long.ts";
import { addWaitingMember, PASSKEYS, SECURITY } from "../support/passkeys.ts";
import { answerAsPasswordManager, failPrompts, plugIn } from "../support/virtual-authenticator.ts";

const browser = await launchBrowser();
const site = browser && (await startSite());

const CONFIRM = "Confirm and fund $450.00 USD";

describe.skipIf(browser === undefined)("a passkey of a password manager whose toJSON throws", () => {
  test("is added, signs in, shows that it is its person, and is removed", async () => {
    await visit(
      async ({ story, page }) => {
        await dropPasskeys(live().db, story);
        await page.goto(`${live().origin}${PASSKEYS}/new`);
        await press(page, "Create passkey");
        await page.waitForURL(`**${SECURITY}?said=passkey`);
        const [passkey] = await listOwnPasskeys(live().db, story.userId);

        await page.getByRole("button", { name: "Sign out" }).click();
        await press(page, "Sign in with a passkey");
        await page.getByRole("button", { name: "Sign out" }).waitFor();

        await letProofAge(live(), story);
        await page.goto(`${live().origin}${PASSKEYS}/${passkey?.id}`);
        await press(page, "Use a passkey instead");
        await page.getByText("Confirmed with your passkey").waitFor();
        await press(page, "Remove passkey");
        await page.waitForURL(`**${SECURITY}?said=passkey-removed`);
      },
      { holdsPasskey: false },
    );
  });

  test("confirms a payment", async () => {
    await visit(async ({ story, page }) => {
      await page.goto(live().origin + story.path);
      await press(page, CONFIRM);
      await page.getByRole("heading", { level: 1, name: "$450.00 USD funded" }).waitFor();
      expect(await statusOf(live().app, story)).toBe("confirmed");
    });
  });

  test("signs an owner's consent to a member's passkey", async () => {
    await visit(async ({ story, page }) => {
      await addWaitingMember(live(), story);
      await page.goto(live().origin + SECURITY);
      await press(page, "I’ve asked them: it’s theirs");
      await page.getByText("You agreed.").waitFor();
    });
  });
});

const FAULTS = [
  { what: "NotAllowedError", thrown: { name: "NotAllowedError" }, says: "The passkey prompt was closed" },
  { what: "AbortError", thrown: { name: "AbortError" }, says: "The passkey prompt was closed" },
  { what: "no credential", thrown: null, says: "The browser returned no passkey" },
  { what: "NotSupportedError", thrown: { name: "NotSupportedError" }, says: "This device can’t provide" },
  {
    what: "SecurityError",
    thrown: { name: "SecurityError" },
    says: "doesn’t allow passkeys at this address",
  },
  { what: "an error of no known name", thrown: { name: "DataError" }, says: "Something went wrong" },
];

describe.skipIf(browser === undefined)("a prompt that fails", () => {
  test.each(some(FAULTS, 2))(
    "with $what is named on every page, and the button works again",
    async ({ thrown, says }) => {
      await visit(async ({ story, page }) => {
        await page.goto(live().origin + story.path);
        const approving = await failPrompts(page, thrown);
        await press(page, CONFIRM);
        await page.getByText(`Nothing was confirmed. `).filter({ hasText: says }).waitFor();
        expect(await statusOf(live().app, story)).toBe("pending");
        await approving.stop();
        await press(page, CONFIRM);
        await page.getByRole("heading", { level: 1, name: "$450.00 USD funded" }).waitFor();

        await page.goto(`${live().origin}${PASSKEYS}/new`);
        await failPrompts(page, thrown);
        for (const _attempt of [1, 2]) {
          await press(page, "Create passkey");
          await page.getByText(says).waitFor();
        }
        await page.getByRole("button", { name: "Sign out" }).click();
        const signingIn = await failPrompts(page, thrown);
        await press(page, "Sign in with a passkey");
        await page.getByText(says).waitFor();
        await signingIn.stop();
        await press(page, "Sign in with a passkey");
        await page.waitForURL("**/approvals");
      });
    },
  );

  test("says that the service could not be reached only when it was not, and the button works again", async () => {
    await visit(async ({ story, page }) => {
      const unreached = "The service couldn’t be reached.";
      await page.goto(live().origin + story.path);
      await page.route("**/challenge", (route) => route.abort());
      await press(page, CONFIRM);
      await page.getByText(`Nothing was confirmed. ${unreached}`).waitFor();
      await page.unroute("**/challenge");
      await press(page, CONFIRM);
      await page.getByRole("heading", { level: 1, name: "$450.00 USD funded" }).waitFor();

      await page.goto(`${live().origin}${PASSKEYS}/new`);
      await page.route("**/options", (route) => route.abort());
      await press(page, "Create passkey");
      await page.getByText(unreached).waitFor();
      await page.unroute("**/options");
      await page.route("**/options", (route) =>
        route.fulfill({ contentType: "application/json", body: "{" }),
      );
      await press(page, "Create passkey");
      await page.getByText("Something went wrong").waitFor();
      await page.unroute("**/options");
      await press(page, "Create passkey");
      await page.getByText("already has a passkey of yours").waitFor();
    });
  });

  test("in a browser without passkeys says so, and leaves no button that does nothing", async () => {
    await visit(async ({ story, page }) => {
      await page.addInitScript(() => Reflect.deleteProperty(window, "PublicKeyCredential"));
      await letProofAge(live(), story);
      for (const path of [story.path, `${PASSKEYS}/new`]) {
        await page.goto(live().origin + path);
        await page.getByText("This browser can’t use passkeys here.").first().waitFor();
        expect(await page.getByRole("button", { name: "Use a passkey instead" }).count()).toBe(0);
      }
    });
  });
});

function live(): NonNullable<typeof site> {
  if (site === undefined) throw new TypeError("there is no browser");
  return site;
}

type Visit = { story: CoSignStory; page: Page };

/** A signed-in owner with a passkey, in an account that demands one, in a browser with a password manager. */
async function visit(
  work: (visit: Visit) => Promise<void>,
  { holdsPasskey = true }: { holdsPasskey?: boolean } = {},
): Promise<void> {
  const story = await beginCoSign(live(), { origin: live().origin });
  const context = await browser?.newContext({ viewport: SIZES.phone });
  if (context === undefined) throw new TypeError("there is no browser");
  const [name = "", value = ""] = story.cookie.split("=");
  await context.addCookies([{ name, value, url: live().origin }]);
  try {
    const page = await context.newPage();
    await answerAsPasswordManager(page);
    const authenticator = await plugIn(page);
    if (holdsPasskey) await authenticator.add(story.passkey, story.userId);
    await work({ story, page });
  } finally {
    await context.close();
  }
}

function press(page: Page, name: string): Promise<void> {
  return page.getByRole("main").getByRole("button", { name, exact: true }).click();
}
