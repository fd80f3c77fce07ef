import type { Page } from "playwright-core";
import type { Site } from "./browser.ts";
import { beginCoSign, type CoSignOptions, type CoSignStory, dropPasskeys, letProofAge } from "./co-sign.ts";
import type { PageState } from "./page-states.ts";
import { plugIn } from "./virtual-authenticator.ts";

/** An approval's page, by what it takes to confirm it. */
export async function coSignStates(site: Site): Promise<PageState[]> {
  const state = async (
    name: string,
    options: CoSignOptions,
    { prepare = () => {}, act }: { prepare?: (story: CoSignStory) => unknown; act?: PageState["act"] } = {},
  ): Promise<PageState> => {
    const story = await beginCoSign(site, { ...options, origin: site.origin });
    await prepare(story);
    return { name, path: story.path, cookie: story.cookie, ...(act && { act }) };
  };
  const without = (story: CoSignStory) => dropPasskeys(site.db, story);
  const confirm = (page: Page) => page.getByRole("button", { name: /^Confirm and fund/ }).click();
  return Promise.all([
    state("waiting-passkey", {}),
    state(
      "waiting-passkey-unanswered",
      {},
      {
        act: async (page) => {
          await plugIn(page);
          await confirm(page);
          await page.getByText("The passkey prompt was closed").waitFor();
        },
      },
    ),
    state("waiting-passkey-to-add", {}, { prepare: without }),
    state(
      "waiting-passkey-waits",
      {},
      {
        prepare: ({ userId }) =>
          site.db
            .updateTable("auth.passkeys")
            .set({ active_from: null })
            .where("user_id", "=", userId)
            .execute(),
      },
    ),
    state("waiting-passkey-or-password", { coSign: "session" }),
    state(
      "waiting-password-instead",
      { coSign: "session" },
      { act: (page) => page.getByText("Use your password instead").click() },
    ),
    state("waiting-large", { amountUsd: 12_345.67 }),
    state(
      "waiting-large-wrong",
      { amountUsd: 12_345.67 },
      {
        act: async (page) => {
          await page.getByLabel(/^Type .* to confirm$/).fill("12.345");
          await confirm(page);
          await page.getByText("can be read in two ways").waitFor();
        },
      },
    ),
    state(
      "waiting-large-password",
      { amountUsd: 12_345.67, coSign: "session" },
      {
        prepare: async (story) => {
          await without(story);
          await letProofAge(site.db, story);
        },
      },
    ),
  ]);
}
