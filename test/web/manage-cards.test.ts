import { describe, expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { auditOf } from "../support/audit.ts";
import { type Answer, createFixture, type Fixture, fund, operate } from "../support/fixtures.ts";
import {
  createHuman,
  type HumanFixture,
  hiddenValue,
  open,
  PASSWORD,
  refusalOf,
  submit,
} from "../support/humans.ts";
import { mailsTo } from "../support/mails.ts";
import { userIdOf } from "../support/passkeys.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();
const ADD = "/billing/add-card";
const REMOVE = "/billing/remove-card";

type Scene = Fixture & { owner: HumanFixture; approver: HumanFixture };

async function begin(...methods: string[]): Promise<Scene> {
  const fixture = await createFixture(app, { card: false });
  for (const paymentMethod of methods)
    await operate(app, "POST", `/accounts/${fixture.account}/payment-methods`, { paymentMethod });
  const approver = await createHuman(app, fixture.account, "approver");
  return { ...fixture, owner: await createHuman(app, fixture.account), approver };
}

const cardsOf = async ({ account }: Fixture): Promise<{ id: string; last4: string }[]> =>
  (await operate(app, "GET", `/accounts/${account}/payment-methods`)).paymentMethods;

const pathOf = ({ account }: Fixture, cardId: string | undefined) =>
  `${REMOVE}?${new URLSearchParams({ accountId: accountKey(account), cardId: cardId ?? "" })}`;

const textOf = ({ text }: Answer) => text.replaceAll(/<[^>]*>/g, "").replaceAll(/\s+/g, " ");

const letProofAge = async ({ email }: HumanFixture) =>
  db
    .updateTable("auth.sessions")
    .set({ proved_at: new Date(Date.now() - 600_000) })
    .where("user_id", "=", await userIdOf(db, email))
    .execute();

const toldOf = async ({ email }: HumanFixture) =>
  (await mailsTo(db, email)).filter(({ subject }) => subject.includes("card")).map(({ body }) => body ?? "");

describe("a card", () => {
  test("is added and removed with a fresh proof only, audited, and mailed to the owners", async () => {
    const scene = await begin();
    const { owner, approver } = scene;
    const page = await open(app, "/billing", approver);
    const add = {
      form_token: hiddenValue(page, ADD),
      accountId: accountKey(scene.account),
      number: "4242424242424242",
    };
    await letProofAge(approver);
    expect((await open(app, "/billing", approver)).text).toContain("Confirm with your password");
    expect(refusalOf(await submit(app, ADD, add, approver))).toBeDefined();
    expect(refusalOf(await submit(app, ADD, { ...add, password: "wrong" }, approver))).toBeDefined();
    expect(await cardsOf(scene)).toEqual([]);
    expect((await submit(app, ADD, { ...add, password: PASSWORD }, approver)).status).toBe(303);
    const [card] = await cardsOf(scene);
    await letProofAge(approver);
    const asked = await open(app, pathOf(scene, card?.id), approver);
    const remove = {
      form_token: hiddenValue(asked, REMOVE),
      accountId: add.accountId,
      cardId: card?.id ?? "",
    };
    expect(refusalOf(await submit(app, REMOVE, remove, approver))).toBeDefined();
    expect(await cardsOf(scene)).toHaveLength(1);
    expect((await submit(app, REMOVE, { ...remove, password: PASSWORD }, approver)).status).toBe(303);
    expect(await cardsOf(scene)).toEqual([]);
    const done = (await auditOf(db, approver.email)).map(({ action }) => action);
    expect(done).toEqual(["joined_account", "card_added", "card_removed"]);
    expect(await toldOf(approver)).toEqual([]);
    const told = await toldOf(owner);
    expect(told[0]).toContain("“Ada Owner” added the Visa card ending in 4242 to the account “Acme”.");
    expect(told[1]).toContain("removed the Visa card ending in 4242 from the account “Acme”.");
    expect(told[1]).toContain("No card is on file any more.");
  });

  test("says before its removal what becomes of the requests that it would pay", async () => {
    const scene = await begin("pm_card_visa");
    const { owner, token, milestone } = scene;
    const [only] = await cardsOf(scene);
    const asks = async (id: string | undefined) => textOf(await open(app, pathOf(scene, id), owner));
    expect(await asks(only?.id)).toContain("Until one is added, agents can’t request payments.");
    await fund(app, token, milestone);
    expect(await asks(only?.id)).toContain("and 1 pending request can’t be confirmed.");
    await operate(app, "POST", `/accounts/${scene.account}/payment-methods`, {
      paymentMethod: "pm_card_authenticationRequired",
    });
    const [newest, first] = await cardsOf(scene);
    expect(await asks(newest?.id)).toContain("card ending in 4242 becomes the default");
    expect(await asks(newest?.id)).toContain("1 pending request included");
    expect(await asks(first?.id)).toContain(`card ending in ${newest?.last4} goes on paying`);
  });
});
