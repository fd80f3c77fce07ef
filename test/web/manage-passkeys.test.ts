import type { Browser, Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { listOwnPasskeys, listPasskeys } from "../../src/passkeys/store.ts";
import { letProofAge } from "../support/approval-scene.ts";
import { launchBrowser, SIZES, startSite } from "../support/browser.ts";
import { beginCoSign } from "../support/co-sign.ts";
import { createFixture } from "../support/fixtures.ts";
import { createHuman, PASSWORD } from "../support/humans.ts";
import { some } from "../support/long.ts";
import { addWaitingMember, givePasskey, userIdOf } from "../support/passkeys.ts";
import { plugIn, type VirtualAuthenticator } from "../support/virtual-authenticator.ts";

const browser = await launchBrowser();
const site = browser && (await startSite());
const SECURITY = "/settings/security";

type Window = { page: Page; authenticator: VirtualAuthenticator };

describe.skipIf(browser === undefined)("a person in a browser with an authenticator", () => {
  test.each(some(["phone", "desktop"] as const, 1))(
    "adds a passkey, names it, signs out, signs in with it, removes it: %s",
    async (size) => {
      const { email } = await createPerson();
      await inWindow(size, async ({ page }) => {
        await signIn(page, email);
        await page.goto(live().origin + SECURITY);
        await page.getByRole("link", { name: "Add a passkey" }).click();
        await press(page, "Create passkey");
        await page.waitForURL(`**${SECURITY}?said=passkey`);
        expect(await textOf(page, "status")).toBe("Passkey added. You can now sign in with it.");
        expect(await countPasskeys(email)).toBe(1);

        await page.getByRole("link", { name: /^Passkey/ }).click();
        await page.getByLabel("Name").fill("The blue key");
        await press(page, "Rename");
        await page.getByRole("link", { name: "The blue key" }).waitFor();

        await page.getByRole("button", { name: "Sign out" }).click();
        await page.goto(`${live().origin}/sign-in?return_to=${SECURITY}`);
        await press(page, "Sign in with a passkey");
        await page.getByRole("button", { name: "Sign out" }).waitFor();
        expect(page.url()).toBe(live().origin + SECURITY);

        await page.getByRole("link", { name: "The blue key" }).click();
        await press(page, "Remove passkey");
        expect(await textOf(page, "status")).toContain("Passkey removed");
        expect(await page.getByRole("main").textContent()).not.toContain("The blue key");

        await page.getByRole("button", { name: "Sign out" }).click();
        await press(page, "Sign in with a passkey");
        expect(await textOf(page, "alert")).toContain("That passkey couldn’t sign you in");
      });
    },
  );

  test("signs in with the passkey that the browser fills in, and presses no button", async () => {
    const { email } = await createPerson();
    const work = async ({ page }: Window) => {
      await signIn(page, email);
      await page.goto(`${live().origin}${SECURITY}/passkeys/new`);
      await press(page, "Create passkey");
      await page.waitForURL(`**${SECURITY}?said=passkey`);
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.waitForURL("**/approvals");
    };
    await inWindow("desktop", work, { autofill: true });
  });

  test("who cancels what the browser asks has done nothing, is told so, and can go on", async () => {
    const { email } = await createPerson();
    await inWindow("phone", async ({ page, authenticator }) => {
      await signIn(page, email);
      await page.goto(`${live().origin}${SECURITY}/passkeys/new`);
      await authenticator.recognise(false);
      await press(page, "Create passkey");
      await page.getByText("The passkey prompt was closed").waitFor();
      expect(await countPasskeys(email)).toBe(0);
      await authenticator.recognise(true);
      await press(page, "Create passkey");
      await page.waitForURL(`**${SECURITY}?said=passkey`);

      await page.getByRole("button", { name: "Sign out" }).click();
      await authenticator.recognise(false);
      await press(page, "Sign in with a passkey");
      await page.getByText("The passkey prompt was closed").waitFor();
      expect(new URL(page.url()).pathname).toBe("/sign-in");
      await authenticator.recognise(true);
      await press(page, "Sign in with a passkey");
      await page.waitForURL("**/approvals");
    });
  });

  test("a device that has one is told so, and keeps its one", async () => {
    const { email } = await createPerson();
    await inWindow("desktop", async ({ page }) => {
      await signIn(page, email);
      for (const said of [SECURITY, "already has a passkey of yours"]) {
        await page.goto(`${live().origin}${SECURITY}/passkeys/new`);
        await press(page, "Create passkey");
        if (said === SECURITY) await page.waitForURL(`**${SECURITY}?said=passkey`);
        else await page.getByText(said).waitFor();
      }
      expect(await countPasskeys(email)).toBe(1);
    });
  });

  test("shows by a passkey that it is them, in place of the password, and then goes on", async () => {
    const { fixture, email } = await createPerson();
    await inWindow("phone", async ({ page }) => {
      await signIn(page, email);
      await page.goto(`${live().origin}${SECURITY}/passkeys/new`);
      await press(page, "Create passkey");
      await page.waitForURL(`**${SECURITY}?said=passkey`);
      await letProofAge(live(), fixture);
      await page.getByRole("link", { name: /^Passkey/ }).click();
      await press(page, "Use a passkey instead");
      await page.getByText("Confirmed with your passkey").waitFor();
      await press(page, "Remove passkey");
      expect(await textOf(page, "status")).toContain("Passkey removed");
    });
  });

  test("a passkey stands in for the password on the forms for keys and members", async () => {
    const { fixture, email, memberId } = await createPerson();
    await inWindow("phone", async ({ page }) => {
      await signIn(page, email);
      await page.goto(`${live().origin}${SECURITY}/passkeys/new`);
      await press(page, "Create passkey");
      await page.waitForURL(`**${SECURITY}?said=passkey`);
      const offers = async (path: string): Promise<number> => {
        await page.goto(`${live().origin}/settings/${path}`);
        return page.getByRole("button", { name: "Use a passkey instead" }).count();
      };
      expect(await offers("keys"), "while the last proof counts").toBe(0);
      await letProofAge(live(), fixture);
      for (const path of ["members", `members/${memberId}/remove`, "keys"])
        expect(await offers(path), path).toBe(1);
      await page.getByRole("textbox", { name: "Name" }).fill("Buyer");
      await press(page, "Use a passkey instead");
      await page.getByText("Confirmed with your passkey").waitFor();
      await press(page, "Create key");
      await page.getByRole("heading", { name: "Key created" }).waitFor();
    });
  });

  test("agrees by their passkey to another member’s that waits", async () => {
    const { db } = live();
    const story = await beginCoSign(live());
    await addWaitingMember(live(), story);
    const keys = await givePasskey(db, story.userId, { origin: live().origin });
    await inWindow("desktop", async ({ page, authenticator }) => {
      await authenticator.add(keys, story.userId);
      await signIn(page, story.email);
      await page.goto(live().origin + SECURITY);
      await press(page, "I’ve asked them: it’s theirs");
      await page.getByText("You agreed. Owners of this person’s other accounts must agree too.").waitFor();
    });
  });

  test("has a passkey on one device sign the one that another makes, and change members, where that is demanded", async () => {
    const { db, origin } = live();
    const story = await beginCoSign(live(), { origin });
    await inWindow("phone", async ({ page, authenticator: kept }) => {
      await kept.add(story.passkey, story.userId);
      await page.goto(`${origin}/sign-in`);
      await press(page, "Sign in with a passkey");
      await page.waitForURL("**/approvals");

      await kept.answer(false);
      const made = await plugIn(page, { transport: "usb" });
      // The other device answers once there is something to sign; a person picks it up then.
      await page.route("**/passkeys/sign", async (route) => {
        await made.answer(false);
        await kept.answer(true);
        await route.continue();
      });
      await page.goto(`${origin}${SECURITY}/passkeys/new`);
      await press(page, "Create passkey");
      await page.waitForURL(`**${SECURITY}?said=passkey`);
      expect(await listPasskeys(db, story.userId)).toHaveLength(2);

      await page.goto(`${origin}/settings/members`);
      await page.getByLabel("Email").fill("bob@example.com");
      await page.getByLabel("Name").fill("Bob");
      await press(page, "Send invitation");
      await page.waitForURL("**/settings/members?said=invited");
      await page.getByRole("link", { name: "Change Bob" }).click();
      await page.getByRole("link", { name: "Withdraw invitation" }).click();
      await press(page, "Withdraw invitation");
      await page.waitForURL("**/settings/members?said=withdrawn");
    });
  });

  test("types a wrong password, is told so beside the button, then the right one", async () => {
    const { fixture, email } = await createPerson();
    await inWindow("desktop", async ({ page }) => {
      await signIn(page, email);
      await letProofAge(live(), fixture);
      await page.goto(`${live().origin}${SECURITY}/passkeys/new?return_to=/billing`);
      await page.getByLabel("Confirm with your password").fill("not the password");
      await press(page, "Create passkey");
      await page.getByText("That password isn’t right").waitFor();
      await page.getByLabel("Confirm with your password").fill(PASSWORD);
      await press(page, "Create passkey");
      await page.waitForURL("**/billing");
    });
  });

  test("without JavaScript is told what needs it, and is shown no button that does nothing", async () => {
    const { email } = await createPerson();
    const context = await (browser as Browser).newContext({ javaScriptEnabled: false });
    try {
      const page = await context.newPage();
      await page.goto(`${live().origin}/sign-in`);
      expect(await page.getByRole("button", { name: "Sign in with a passkey" }).isVisible()).toBe(false);
      await signIn(page, email);
      await page.goto(`${live().origin}${SECURITY}/passkeys/new`);
      expect(await page.getByRole("main").innerText()).toContain("Adding a passkey needs JavaScript");
      expect(await page.getByRole("button", { name: "Create passkey" }).isVisible()).toBe(false);
    } finally {
      await context.close();
    }
  });
});

function live(): NonNullable<typeof site> {
  if (site === undefined) throw new TypeError("there is no browser");
  return site;
}

async function createPerson() {
  const fixture = await createFixture(live().app);
  return { fixture, ...(await createHuman(live().app, fixture.account)) };
}

async function inWindow(
  size: keyof typeof SIZES,
  work: (window: Window) => Promise<void>,
  options?: { autofill: boolean },
): Promise<void> {
  const context = await (browser as Browser).newContext({ viewport: SIZES[size] });
  try {
    const page = await context.newPage();
    await work({ page, authenticator: await plugIn(page, options) });
  } finally {
    await context.close();
  }
}

async function countPasskeys(email: string): Promise<number> {
  return (await listOwnPasskeys(live().db, await userIdOf(live().db, email))).length;
}

async function signIn(page: Page, email: string): Promise<void> {
  await page.goto(`${live().origin}/sign-in`);
  await page.getByLabel("Email").fill(email);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.waitForURL("**/approvals");
}

function press(page: Page, name: string): Promise<void> {
  return page.getByRole("main").getByRole("button", { name, exact: true }).click();
}

async function textOf(page: Page, role: "alert" | "status"): Promise<string> {
  return ((await page.getByRole(role).first().textContent()) ?? "").replaceAll(/\s+/g, " ").trim();
}
