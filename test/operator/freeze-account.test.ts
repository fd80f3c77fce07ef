import { expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { ask, expectRefusal } from "../http/expectations.ts";
import { alertOf } from "../support/co-sign.ts";
import { call, createFixture, type Fixture, fund, operate } from "../support/fixtures.ts";
import {
  createHuman,
  hiddenValue,
  invite,
  landing,
  newEmail,
  open,
  PASSWORD,
  refusalOf,
  submit,
} from "../support/humans.ts";
import { addPasskey } from "../support/passkeys.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { ask as askFor, confirmNow, readOutcome } from "../support/stories.ts";

const { app, db, config } = await startService();
const deps = { db, config, processor: createSandbox(db, PUBLIC_URL) };
const FROZEN = { reason: "account_frozen" };
const API = "/api/public/v1";

const freeze = ({ account }: Fixture, frozen = true) =>
  operate(app, "PUT", `/accounts/${account}`, { frozen });

test("agents of a frozen account ask for nothing new (403 before scope), and read and revoke as before", async () => {
  const fixture = await createFixture(app);
  const { token, milestone, contract, account } = fixture;
  const reader = await operate(app, "POST", `/accounts/${account}/tokens`, {
    name: "Reader",
    scopes: ["payments:read"],
  });
  const { approval } = (await fund(app, token, milestone)).body;
  const child = await call(app, "POST", `${API}/tokens`, { token, body: { name: "Child" } });
  expect((await freeze(fixture)).account.frozen).toBe(true);
  expect((await operate(app, "GET", `/accounts/${account}`)).account.frozen).toBe(true);

  const asks = [
    await fund(app, token, milestone),
    await fund(app, reader.token, milestone),
    await call(app, "POST", `${API}/milestones/none/fund`, { token }),
    await call(app, "POST", `${API}/contracts/${contract}/milestones`, {
      token,
      body: { description: "d", amountUsd: 5 },
    }),
    await call(app, "POST", `${API}/tokens`, { token, body: { name: "Another" } }),
  ];
  for (const answer of asks) expectRefusal(answer, 403, "FORBIDDEN", FROZEN);
  expect((await call(app, "GET", `/approvals/${approval.id}`, { token })).body.approval.status).toBe(
    "pending",
  );
  expect((await call(app, "GET", `${API}/contracts`, { token })).status).toBe(200);
  expect((await call(app, "GET", "/updates", { token })).status).toBe(200);
  const { id } = child.body.metadata;
  expect((await call(app, "DELETE", `${API}/tokens/${id}`, { token })).status).toBe(200);

  await freeze(fixture, false);
  expect((await fund(app, token, milestone)).body.approval).toEqual(approval);
});

test("people of a frozen account confirm nothing and are told why, and may decline", async () => {
  const fixture = await createFixture(app);
  const human = await createHuman(app, fixture.account);
  const story = await askFor(app, fixture, fixture.milestone);
  const page = await open(app, story.path, human);
  const fieldsOf = (decision: string) =>
    Object.fromEntries(
      ["nonce", "digest", "form_token"].map((name) => [
        name,
        hiddenValue(page, `${story.path}/${decision}`, name),
      ]),
    );
  await freeze(fixture);
  const sent = await submit(app, `${story.path}/confirm`, fieldsOf("confirm"), human);
  const told = await landing(app, sent, human);
  expect(alertOf(told)).toContain("Nothing was confirmed.");
  expect(told.text).toContain("This account is frozen.");
  expect(told.text).not.toContain(`${story.path}/confirm`);
  expect(await readOutcome(db, story)).toEqual({ approval: "pending", payment: undefined });
  // Behind the page, too: the transaction that signs looks.
  await expect(confirmNow(deps, story)).rejects.toMatchObject({ problem: "account_frozen" });
  expect((await submit(app, `${story.path}/decline`, fieldsOf("decline"), human)).status).toBe(303);
  expect(await readOutcome(db, story)).toEqual({ approval: "declined", payment: undefined });
});

test("nothing is added to a frozen account: no key, card or member", async () => {
  const fixture = await createFixture(app);
  const { account } = fixture;
  const owner = await createHuman(app, account);
  const invited = await invite(app, account, "viewer");
  const keys = await open(app, "/settings/keys", owner);
  const billing = await open(app, "/billing", owner);
  await freeze(fixture);
  const operatorAdds = [
    await ask(app, "POST", `/accounts/${account}/tokens`, { name: "Agent", scopes: [] }),
    await ask(app, "POST", `/accounts/${account}/members`, { email: newEmail(), name: "Jo", role: "viewer" }),
    await ask(app, "POST", `/accounts/${account}/payment-methods`, { paymentMethod: "pm_card_visa" }),
  ];
  for (const answer of operatorAdds) expectRefusal(answer, 403, "FORBIDDEN", FROZEN);
  const accepted = await submit(app, "/invite", { token: invited.token, password: PASSWORD });
  expect([accepted.status, accepted.text.includes("has frozen this account")]).toEqual([403, true]);
  const card = await submit(
    app,
    "/billing/add-card",
    {
      accountId: accountKey(account),
      number: "4242424242424242",
      form_token: hiddenValue(billing, "/billing/add-card"),
    },
    owner,
  );
  expect(refusalOf(card)).toContain("has frozen this account");
  expect(keys.status).toBe(200);
  const { members } = await operate(app, "GET", `/accounts/${account}/members`);
  expect(members.map(({ status }: { status: string }) => status).sort()).toEqual(["active", "invited"]);
  const { paymentMethods } = await operate(app, "GET", `/accounts/${account}/payment-methods`);
  expect(paymentMethods).toHaveLength(1);
});

test("a member of a frozen account adds no passkey, and does once it is no longer frozen", async () => {
  const fixture = await createFixture(app);
  const owner = await createHuman(app, fixture.account);
  await freeze(fixture);
  const refused = (await addPasskey(app, owner)).answer;
  expect(refusalOf(refused)).toContain("has frozen this account");
  await freeze(fixture, false);
  expect((await addPasskey(app, owner)).answer.status).toBe(303);
});

test("the owners are mailed of a freeze and of its end", async () => {
  const fixture = await createFixture(app);
  const owner = await createHuman(app, fixture.account);
  await freeze(fixture);
  await freeze(fixture);
  await freeze(fixture, false);
  const mails = await db.selectFrom("mails").where("recipient", "=", owner.email).select("body").execute();
  const bodies = mails.map(({ body }) => body ?? "");
  expect(bodies.filter((body) => body.includes("It is frozen."))).toHaveLength(1);
  expect(bodies.filter((body) => body.includes("It is no longer frozen."))).toHaveLength(1);
});
