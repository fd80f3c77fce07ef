import type { Site } from "./browser.ts";
import { createFixture, operate } from "./fixtures.ts";
import { createHuman } from "./humans.ts";
import type { PageState } from "./page-states.ts";
import { givePasskey, userIdOf } from "./passkeys.ts";

/** The policy page: as an owner changes it, as an approver reads it, and with a change that waits for a second person. */
export async function policyStates({ app, db, origin }: Site): Promise<PageState[]> {
  const { account } = await createFixture(app);
  const approver = await createHuman(app, account, "approver");
  const { cookie } = await createHuman(app, account);
  const two = await createFixture(app);
  const second = await createHuman(app, two.account, "approver");
  const owner = await createHuman(app, two.account);
  await operate(app, "PUT", `/accounts/${two.account}`, { secondSignerFromUsd: 5_000 });
  const strict = await createFixture(app);
  const signer = await createHuman(app, strict.account);
  await givePasskey(db, await userIdOf(db, signer.email), { origin });
  await operate(app, "PUT", `/accounts/${strict.account}`, { coSign: "passkey" });
  const path = "/settings/policy";
  return [
    { name: "policy", path, cookie },
    { name: "policy-approver", path, cookie: approver.cookie },
    { name: "policy-passkey", path, cookie: signer.cookie },
    {
      name: "policy-wrong",
      path,
      cookie,
      act: async (page) => {
        await page.getByLabel("Type the amount from").fill("5,000");
        await page.getByRole("button", { name: "Save policy" }).click();
      },
    },
    {
      name: "policy-asked",
      path,
      cookie: owner.cookie,
      act: async (page) => {
        await page.getByLabel("Second person from").fill("");
        await page.getByRole("button", { name: "Save policy" }).click();
      },
    },
    { name: "policy-second", path, cookie: second.cookie },
  ];
}
