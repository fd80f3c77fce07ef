import type { Browser, BrowserContext, Page } from "playwright-core";
import { SIZES } from "../support/browser.ts";
import { closeAfterFile } from "../support/closing.ts";
import { newEmail, PASSWORD } from "../support/humans.ts";
import type { PostOffice } from "./post-office.ts";

/** A human with a phone and a mailbox, who opens what their agent hands them, and does what stands there. */
export type Person = {
  email: string;
  /** What the pages were that they were shown, by their first headings. */
  saw: string[];
  /** Opens a link. @param code what the agent has shown them */
  visit(url: string, code?: string): Promise<void>;
};

export async function createPerson(browser: Browser, post: PostOffice): Promise<Person> {
  const context: BrowserContext = await browser.newContext({
    viewport: SIZES.phone,
    javaScriptEnabled: false,
  });
  closeAfterFile(() => context.close());
  const page = await context.newPage();
  const email = newEmail();
  const saw: string[] = [];
  const read = async () => {
    const heading = ((await page.getByRole("heading", { level: 1 }).textContent()) ?? "").trim();
    saw.push(heading);
    return heading;
  };
  return {
    email,
    saw,
    async visit(url, code) {
      await page.goto(url);
      const heading = await read();
      if (heading === "Check your email") {
        await page.goto(await post.readLink(email, /take on/));
        await read();
        await claim(page, code ?? "");
      } else if (heading === "Billing") await addCard(page);
      else if (heading.startsWith("Fund ")) await press(page, /^Confirm and fund/);
      // It says what their agent has to do first.
      else if (heading === "Claim an account") return;
      else throw new Error(`a page that they do not know what to do with: ${heading}`);
      await read();
    },
  };
}

async function claim(page: Page, code: string): Promise<void> {
  await page.getByRole("checkbox", { name: "Ask for payments" }).check();
  await page.getByLabel("Six-digit code").fill(code);
  await page.getByLabel("Your name").fill("Ada Owner");
  await page.getByLabel("Choose a password").fill(PASSWORD);
  await press(page, "Claim account");
}

async function addCard(page: Page): Promise<void> {
  await page.getByLabel("Number of a test card").fill("4242 4242 4242 4242");
  await press(page, /^Add card/);
}

function press(page: Page, name: string | RegExp): Promise<void> {
  return page.getByRole("main").getByRole("button", { name }).click();
}
