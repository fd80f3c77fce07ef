import { expect, test } from "vitest";
import { createFixture } from "../support/fixtures.ts";
import { cookieOf, createHuman, invite, open, PASSWORD, submit } from "../support/humans.ts";
import { givePasskey, userIdOf } from "../support/passkeys.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();
const OFFER = "/settings/security/passkeys/new?return_to=%2Fapprovals";

test("the home page tells a stranger what this is, and leads to sign-in", async () => {
  const { status, text } = await open(app, "/");
  expect(status).toBe(200);
  for (const said of ["An agent asks", "You confirm", "The money moves once", "<svg", 'href="/sign-in"'])
    expect(text).toContain(said);
});

test("the home page sends a signed-in person to their approvals", async () => {
  const human = await createHuman(app, (await createFixture(app)).account);
  const { status, headers } = await open(app, "/", human);
  expect([status, headers.location]).toEqual([303, "/approvals"]);
});

test("a person who has just joined is offered a passkey, unless they have one", async () => {
  const { account } = await createFixture(app);
  const { token, email } = await invite(app, account, "owner");
  const joined = await submit(app, "/invite", { token, password: PASSWORD });
  const cookie = cookieOf(joined);
  const page = await open(app, String(joined.headers.location), { cookie });
  expect(page.text).toContain("You’ve joined the account");
  expect(page.text).toContain(OFFER);
  await givePasskey(db, await userIdOf(db, email));
  expect((await open(app, "/invite?said=joined", { cookie })).text).not.toContain(OFFER);
});

test("a stranger is not told that they have joined", async () => {
  expect((await open(app, "/invite?said=joined")).text).toContain("This invitation link is incomplete");
});
