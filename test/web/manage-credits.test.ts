import { describe, expect, test } from "vitest";
import { getCredits } from "../../src/billing/credit-service.ts";
import { createFixture } from "../support/fixtures.ts";
import { createHuman, hiddenValue, open, refusalOf, submit } from "../support/humans.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();

async function begin(role: "owner" | "approver" | "viewer" = "owner") {
  const fixture = await createFixture(app);
  return { ...fixture, ...(await createHuman(app, fixture.account, role)) };
}

describe("the billing page", () => {
  test("lets an owner or approver make a top-up and leads to it, and a viewer not", async () => {
    const scene = await begin("approver");
    const page = await open(app, "/billing", scene);
    const form_token = hiddenValue(page, "/billing/top-ups");
    const accountId = hiddenValue(page, "/billing/top-ups", "accountId");
    const make = (amountUsd: string) =>
      submit(app, "/billing/top-ups", { accountId, form_token, amountUsd }, scene);
    for (const amount of ["9.99", "10000.01", "10,50", "x"])
      expect(refusalOf(await make(amount))).toBeDefined();
    const made = await make("250");
    expect(made.headers.location).toMatch(/^\/top-ups\//);
    expect((await open(app, String(made.headers.location), scene)).text).toContain("$250.00 USD");
    expect((await open(app, "/billing", scene)).text).toContain("Pay for a top-up");
    const viewer = await begin("viewer");
    expect((await open(app, "/billing", viewer)).text).not.toContain('action="/billing/top-ups"');
    expect(await getCredits(db, accountId)).toMatchObject({ availableCents: 0 });
  });

  test("says what pays for fundings, and leads to the policy that decides it", async () => {
    const scene = await begin("viewer");
    const page = await open(app, "/billing", scene);
    expect(page.text).toContain("Fundings are paid from the card on file");
    expect(page.text).toContain('href="/settings/policy"');
  });
});
