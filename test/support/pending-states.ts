import { begin, letProofAge } from "./approval-scene.ts";
import type { Site } from "./browser.ts";
import { createFixture, operate } from "./fixtures.ts";
import { createHuman, type HumanFixture, hiddenValue, newEmail, open, submit } from "./humans.ts";
import type { PageState } from "./page-states.ts";
import { givePasskey, userIdOf } from "./passkeys.ts";

const MEMBERS = "/settings/members";

/** Changes that need a second person's consent, and forms that a passkey may prove presence for. */
export async function pendingStates(site: Site): Promise<PageState[]> {
  const { app, db, origin } = site;
  const fixture = await createFixture(app);
  const approver = await createHuman(app, fixture.account, "approver");
  const viewer = await createHuman(app, fixture.account, "viewer");
  const owner = await createHuman(app, fixture.account);
  await operate(app, "PUT", `/accounts/${fixture.account}`, { secondSignerFromUsd: 1_000 });
  await inviteApprover(site, owner);

  const upgraded = await createFixture(app);
  const consenting = await createHuman(app, upgraded.account);
  const { memberId } = await createHuman(app, upgraded.account, "viewer");
  await operate(app, "PATCH", `/accounts/${upgraded.account}/members/${memberId}`, { role: "approver" });

  const aged = await begin(site);
  await givePasskey(db, await userIdOf(db, aged.email), { origin });
  await letProofAge(site, aged);
  return [
    { name: "members-pending-asker", path: `${MEMBERS}?said=second`, cookie: owner.cookie },
    { name: "members-pending-second", path: MEMBERS, cookie: approver.cookie },
    { name: "members-pending-reader", path: MEMBERS, cookie: viewer.cookie },
    { name: "members-upgrade", path: MEMBERS, cookie: consenting.cookie },
    { name: "keys-passkey", path: "/settings/keys", cookie: aged.cookie },
    { name: "members-passkey", path: MEMBERS, cookie: aged.cookie },
    { name: "joined", path: "/invite?said=joined", cookie: owner.cookie },
    { name: "claimed", path: "/claim?said=claimed", cookie: owner.cookie },
  ];
}

async function inviteApprover({ app }: Site, owner: HumanFixture): Promise<void> {
  const form = `${MEMBERS}/invite`;
  const page = await open(app, MEMBERS, owner);
  const fields = { account_id: hiddenValue(page, form, "account_id"), form_token: hiddenValue(page, form) };
  await submit(app, form, { ...fields, email: newEmail(), name: "Bob Builder", role: "approver" }, owner);
}
