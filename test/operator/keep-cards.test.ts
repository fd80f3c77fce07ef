import { describe, expect, test } from "vitest";
import { ask, expectRefusal } from "../http/expectations.ts";
import { digestRows } from "../http/rows.ts";
import { createFixture, fund, operate } from "../support/fixtures.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();

type Card = { id: string; last4: string; isDefault: boolean };

const add = (account: string, paymentMethod: string) =>
  ask(app, "POST", `/accounts/${account}/payment-methods`, { paymentMethod });
const remove = (account: string, id: string) =>
  ask(app, "DELETE", `/accounts/${account}/payment-methods/${id}`);
const list = async (account: string): Promise<Card[]> =>
  (await operate(app, "GET", `/accounts/${account}/payment-methods`)).paymentMethods;

describe("POST /accounts/{id}/payment-methods", () => {
  test("puts a card on file, as the processor describes it, and makes it the one that pays", async () => {
    const { account } = await createFixture(app, { card: false });
    expect(await list(account)).toEqual([]);
    const { status, body } = await add(account, "pm_card_visa");
    expect(status).toBe(201);
    expect(body).toStrictEqual({
      paymentMethod: {
        id: expect.stringMatching(/^pm_[0-9a-f]{24}$/),
        brand: "visa",
        last4: "4242",
        expMonth: 12,
        expYear: expect.any(Number),
        isDefault: true,
      },
    });
    expect(await list(account)).toEqual([body.paymentMethod]);
  });

  test.each([
    "pm_card_visa",
    "pm_card_chargeDeclined",
    "pm_card_chargeDeclinedInsufficientFunds",
    "pm_card_authenticationRequired",
    "pm_sandbox_slow",
    "pm_sandbox_timeout",
  ])("takes the sandbox's %s, with which a milestone can be asked for", async (method) => {
    const { account, token, milestone } = await createFixture(app, { card: false });
    expect((await add(account, method)).status).toBe(201);
    expect((await fund(app, token, milestone)).status).toBe(202);
  });

  test("refuses one that the processor does not know with 409, and anything else with 400", async () => {
    const { account } = await createFixture(app);
    const before = await digestRows(db);
    expectRefusal(await add(account, "pm_unknown"), 409, "CONFLICT", {
      reason: "unknown_payment_method",
      paymentMethod: "pm_unknown",
    });
    for (const body of [
      {},
      { paymentMethod: "visa" },
      { paymentMethod: "pm_" },
      { paymentMethod: "pm_card visa" },
      { paymentMethod: `pm_${"x".repeat(251)}` },
      { paymentMethod: 4_242_424_242_424_242 },
    ]) {
      const answer = await ask(app, "POST", `/accounts/${account}/payment-methods`, body);
      expectRefusal(answer, 400, "BAD_REQUEST", { field: "paymentMethod" });
    }
    const extra = { paymentMethod: "pm_card_visa", number: "4242424242424242" };
    const answer = await ask(app, "POST", `/accounts/${account}/payment-methods`, extra);
    expectRefusal(answer, 400, "BAD_REQUEST", { field: "number" });
    expect(await digestRows(db)).toEqual(before);
  });

  test("leaves one card that pays: the newest, however many come at once", async () => {
    const { account } = await createFixture(app);
    const { paymentMethod } = (await add(account, "pm_card_chargeDeclined")).body;
    expect((await list(account)).map(({ last4, isDefault }) => [last4, isDefault])).toEqual([
      ["0002", true],
      ["4242", false],
    ]);
    expect(paymentMethod.isDefault).toBe(true);
    await Promise.all(Array.from({ length: 5 }, () => add(account, "pm_card_visa")));
    expect((await list(account)).filter(({ isDefault }) => isDefault)).toHaveLength(1);
  });
});

describe("DELETE /accounts/{id}/payment-methods/{id}", () => {
  test("of the card that pays lets the newest of the others pay", async () => {
    const { account, token, milestone } = await createFixture(app);
    await add(account, "pm_card_chargeDeclined");
    const { id } = (await add(account, "pm_sandbox_slow")).body.paymentMethod;
    const answer = await remove(account, id);
    expect([answer.status, answer.body]).toEqual([200, { deleted: true }]);
    expect((await list(account)).map(({ last4, isDefault }) => [last4, isDefault])).toEqual([
      ["0002", true],
      ["4242", false],
    ]);
    expect((await fund(app, token, milestone)).status).toBe(202);
  });

  test("of another card leaves the one that pays", async () => {
    const { account } = await createFixture(app);
    const first = (await list(account)).map(({ id }) => id).join();
    const { paymentMethod } = (await add(account, "pm_sandbox_slow")).body;
    expect((await remove(account, first)).status).toBe(200);
    expect(await list(account)).toEqual([paymentMethod]);
  });

  test("of the last card leaves none, and nothing can be asked for", async () => {
    const { account, token, milestone } = await createFixture(app);
    for (const { id } of await list(account)) await remove(account, id);
    expect(await list(account)).toEqual([]);
    expect((await fund(app, token, milestone)).body.details.reason).toBe("payment_method_required");
  });

  test("of an unknown card, another account's, or one that is gone already is one and the same 404", async () => {
    const [mine, theirs] = [await createFixture(app), await createFixture(app)];
    const foreign = (await list(theirs.account)).map(({ id }) => id).join();
    const gone = (await list(mine.account)).map(({ id }) => id).join();
    expect((await remove(mine.account, gone)).status).toBe(200);
    for (const paymentMethodId of ["pm_unknown", foreign, gone]) {
      const answer = await remove(mine.account, paymentMethodId);
      expectRefusal(answer, 404, "NOT_FOUND", { resource: "paymentMethods", paymentMethodId });
    }
    expect(await list(theirs.account)).toHaveLength(1);
  });
});
