import { describe, expect, test } from "vitest";
import { getCredits } from "../../src/billing/credit-service.ts";
import { auditOf } from "../support/audit.ts";
import { createFixture, operate } from "../support/fixtures.ts";
import { createHuman, hiddenValue, open, PASSWORD, submit } from "../support/humans.ts";
import { mailsTo, subjectsTo } from "../support/mails.ts";
import { givePasskey, userIdOf } from "../support/passkeys.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();

async function begin(role: "owner" | "approver" | "viewer" = "owner") {
  const fixture = await createFixture(app);
  return { ...fixture, ...(await createHuman(app, fixture.account, role)) };
}

type Scene = Awaited<ReturnType<typeof begin>>;

const billingOf = async (account: string) =>
  (await operate(app, "GET", `/accounts/${account}`)).account.billing;

async function change(scene: Scene, fields: Record<string, string> = {}) {
  const page = await open(app, "/billing", scene);
  const hidden = (name: string) => hiddenValue(page, "/billing/setup", name);
  const sent = { account_id: hidden("account_id"), from: hidden("from"), form_token: hidden("form_token") };
  return submit(app, "/billing/setup", { ...sent, to: "credits_first", ...fields }, scene);
}

describe("the billing page", () => {
  test("lets an owner or approver make a top-up and leads to it, and a viewer not", async () => {
    const scene = await begin("approver");
    const page = await open(app, "/billing", scene);
    const form_token = hiddenValue(page, "/billing/top-ups");
    const accountId = hiddenValue(page, "/billing/top-ups", "accountId");
    const make = (amountUsd: string) =>
      submit(app, "/billing/top-ups", { accountId, form_token, amountUsd }, scene);
    for (const amount of ["9.99", "10000.01", "10,50", "x"]) expect((await make(amount)).status).toBe(422);
    const made = await make("250");
    expect(made.headers.location).toMatch(/^\/top-ups\//);
    expect((await open(app, String(made.headers.location), scene)).text).toContain("$250.00 USD");
    expect((await open(app, "/billing", scene)).text).toContain("Pay for a top-up");
    const viewer = await begin("viewer");
    expect((await open(app, "/billing", viewer)).text).not.toContain('action="/billing/top-ups"');
    expect(await getCredits(db, accountId)).toMatchObject({ availableCents: 0 });
  });

  test("lets an owner change what pays, audited and mailed", async () => {
    const scene = await begin();
    expect((await change(scene)).headers.location).toBe("/billing?said=setup");
    expect(await billingOf(scene.account)).toBe("credits_first");
    const [entry] = (await auditOf(db, scene.email)).filter(({ action }) => action === "account_changed");
    expect(entry).toMatchObject({ before: { billing: "card" }, after: { billing: "credits_first" } });
    expect(await subjectsTo(db, scene.email)).toContainEqual(expect.stringContaining("what pays"));
    const [mail] = (await mailsTo(db, scene.email)).filter(({ subject }) => subject.includes("what pays"));
    expect(mail?.body).toContain("credits where they cover the whole amount");
  });

  test("asks for a password when the last proof is older than 5 minutes, and refuses a wrong one", async () => {
    const scene = await begin();
    await db
      .updateTable("auth.sessions")
      .set({ proved_at: new Date(Date.now() - 600_000) })
      .where("user_id", "=", await userIdOf(db, scene.email))
      .execute();
    expect((await change(scene)).status).toBe(422);
    expect((await change(scene, { password: "wrong" })).status).toBe(422);
    expect(await billingOf(scene.account)).toBe("card");
    expect((await change(scene, { password: PASSWORD })).status).toBe(303);
  });

  test("refuses a change of what was shown before, and lets nobody but owners change it", async () => {
    const scene = await begin();
    await change(scene);
    expect((await change(scene, { from: "card" })).status).toBe(409);
    const approver = await begin("approver");
    expect((await open(app, "/billing", approver)).text).not.toContain('action="/billing/setup"');
  });

  test("wants a passkey's signature for it where the account confirms with passkeys only", async () => {
    const scene = await begin();
    await givePasskey(db, await userIdOf(db, scene.email));
    await operate(app, "PUT", `/accounts/${scene.account}`, { coSign: "passkey" });
    const refused = await change(scene);
    expect([refused.status, await billingOf(scene.account)]).toEqual([409, "card"]);
  });
});
