import { claim, createAgent, startClaim } from "./agents.ts";
import type { Site } from "./browser.ts";
import { createFixture } from "./fixtures.ts";
import { createHuman, newEmail, PASSWORD } from "./humans.ts";
import type { PageState } from "./page-states.ts";

/** Names without a place to break, right-to-left, and with marks piled up. */
const HOSTILE = {
  agent_name: `${"w".repeat(70)} <b>مرحلة</b>`,
  organization_name: `Ma${"\u0301\u0310\u0323".repeat(8)}ria ${"G".repeat(60)}`,
};

/** The pages on which a person claims what their agent registered, each with an agent of its own. */
export async function claimStates(site: Site): Promise<PageState[]> {
  const { app } = site;
  const begin = async (email = newEmail(), names?: Record<string, string>) =>
    startClaim(site, await createAgent(app, names), email);
  const human = await createHuman(app, (await createFixture(app)).account);
  const [fresh, guessed, hostile, claimed] = await Promise.all([
    begin(),
    begin(),
    begin(newEmail(), HOSTILE),
    begin(),
  ]);
  const own = await begin(human.email);
  const cookie = await claim(app, claimed);
  return [
    { name: "claim", path: "/claim" },
    { name: "sign-up", path: "/sign-up" },
    { name: "claim-mailed", path: `/claim?token=${fresh.page}` },
    { name: "claim-form", path: `/claim?token=${fresh.link}` },
    { name: "claim-hostile", path: `/claim?token=${hostile.link}` },
    {
      name: "claim-wrong-code",
      path: `/claim?token=${guessed.link}`,
      act: async (page) => {
        await page.getByLabel("Ask for payments").check();
        await page.getByLabel("Six-digit code").fill(guessed.code === "000000" ? "000001" : "000000");
        await page.getByLabel("Your name").fill("Ada Owner");
        await page.getByLabel("Choose a password").fill(PASSWORD);
        await page.getByRole("button", { name: "Claim account" }).click();
      },
    },
    { name: "claim-sign-in", path: `/claim?token=${own.link}` },
    { name: "claim-signed-in", path: `/claim?token=${own.link}`, cookie: human.cookie },
    { name: "claim-somebody-else", path: `/claim?token=${fresh.link}`, cookie: human.cookie },
    { name: "claim-over", path: `/claim?token=${claimed.link}` },
    { name: "claim-done", path: "/claim?said=claimed", cookie },
    { name: "keys-waiting", path: "/settings/keys", cookie },
    { name: "key-refuse", path: `/settings/keys/waiting/${claimed.agent.accountId}/refuse`, cookie },
  ];
}
