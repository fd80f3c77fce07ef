import { describe, expect, test } from "vitest";
import { adjustCredits } from "../../src/billing/credit-service.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { unclaim } from "../http/rows.ts";
import { call, createFixture, operate } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { mailsTo } from "../support/mails.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { createCreditAccount, readCredits, requestTopUp } from "../support/top-ups.ts";

const { app, db } = await startService();

async function adjust(account: string, ...amounts: number[]): Promise<void> {
  const accountId = accountKey(account);
  for (const amountCents of amounts)
    await inTransaction(db, (trx) =>
      adjustCredits(trx, { accountId, amountCents, note: "Welcome" }, new Date()),
    );
}

describe("GET /credits", () => {
  test("answers zeros and an empty page where credits were never used", async () => {
    const fixture = await createCreditAccount(app);
    expect((await readCredits(app, fixture)).body).toStrictEqual({
      credits: { availableCents: 0, reservedCents: 0, currency: "usd", recentEntries: [] },
    });
    expect((await readCredits(app, fixture, "/ledger")).body).toStrictEqual({
      entries: [],
      nextCursor: null,
    });
  });

  test("answers the balances with the ten newest entries, each with all of its keys", async () => {
    const fixture = await createCreditAccount(app);
    await adjust(fixture.account, ...Array.from({ length: 12 }, (_, i) => i + 1));
    const { credits } = (await readCredits(app, fixture)).body;
    expect(credits.availableCents).toBe(78);
    expect(credits.recentEntries).toHaveLength(10);
    expect(credits.recentEntries[0]).toStrictEqual({
      id: expect.any(String),
      type: "ADJUSTMENT",
      amountCents: 12,
      createdAt: expect.stringMatching(/Z$/),
      holdEntryId: null,
      jobofferId: null,
      contractId: null,
      milestoneId: null,
      topUpId: null,
      note: "Welcome",
    });
  });

  test("reads the ledger page by page, and refuses a limit or a cursor that cannot be", async () => {
    const fixture = await createCreditAccount(app);
    await adjust(fixture.account, 1, 2, 3);
    const first = (await readCredits(app, fixture, "/ledger?limit=2")).body;
    const second = (await readCredits(app, fixture, `/ledger?limit=2&cursor=${first.nextCursor}`)).body;
    const amounts = [...first.entries, ...second.entries].map(({ amountCents }) => amountCents);
    expect([amounts, second.nextCursor]).toEqual([[3, 2, 1], null]);
    for (const [query, field] of [
      ["limit=0", "limit"],
      ["limit=101", "limit"],
      ["cursor=x", "cursor"],
    ]) {
      const refused = await readCredits(app, fixture, `/ledger?${query}`);
      expect([refused.status, refused.body.details]).toEqual([400, { field }]);
    }
  });

  test("needs the feature and a scope, works before the claim, and shows nothing of another account", async () => {
    const without = await createFixture(app);
    expect((await readCredits(app, without)).body.details).toEqual({ featureKey: "public_api_credits" });
    const fixture = await createCreditAccount(app);
    const other = await createCreditAccount(app);
    const { topUpId } = (await requestTopUp(app, fixture)).body;
    const unknown = await readCredits(app, other, `/top-ups/${crypto.randomUUID()}`);
    const foreign = await readCredits(app, other, `/top-ups/${topUpId}`);
    expect([foreign.status, unknown.status]).toEqual([404, 404]);
    expect(foreign.body.details).toEqual({ resource: "credit-top-ups", topUpId });
    await unclaim(db, fixture);
    expect((await readCredits(app, fixture)).status).toBe(200);
    expect((await readCredits(app, fixture, `/top-ups/${topUpId}`)).status).toBe(200);
    const blind = await createFixture(app, {
      features: { public_api_credits: true },
      scopes: ["jobs:read"],
    });
    expect((await readCredits(app, blind)).body.details.requiredScopes).toEqual(["payments:read"]);
  });
});

describe("POST /credits/top-ups", () => {
  test("asks for one: moves nothing, says where a human pays, and mails the owners", async () => {
    const fixture = await createCreditAccount(app);
    const owner = await createHuman(app, fixture.account);
    const answer = await requestTopUp(app, fixture);
    expect(answer.status, answer.text).toBe(201);
    const { topUpId, topUp } = answer.body;
    expect(answer.body).toStrictEqual({
      topUpId,
      checkoutUrl: `${PUBLIC_URL}/top-ups/${topUpId}`,
      expiresAt: topUp.expiresAt,
      topUp: {
        id: topUpId,
        status: "PENDING",
        amountCents: 25_000,
        createdAt: expect.stringMatching(/Z$/),
        completedAt: null,
        expiresAt: expect.stringMatching(/Z$/),
      },
      message: expect.stringContaining("checkoutUrl"),
    });
    expect((await readCredits(app, fixture, `/top-ups/${topUpId}`)).body).toStrictEqual({ topUp });
    expect((await readCredits(app, fixture)).body.credits.availableCents).toBe(0);
    const mails = await mailsTo(db, owner.email);
    expect(mails.filter(({ body }) => body?.includes(`/top-ups/${topUpId}`))).toHaveLength(1);
  });

  test("takes 10 to 10,000 dollars, as `amountUsd` or `amount`, with at most two decimals", async () => {
    const fixture = await createCreditAccount(app);
    expect((await requestTopUp(app, fixture, { amount: 10 })).body.topUp.amountCents).toBe(1_000);
    expect((await requestTopUp(app, fixture, { amountUsd: 10_000 })).body.topUp.amountCents).toBe(1_000_000);
    for (const body of [
      {},
      { amountUsd: 9.99 },
      { amountUsd: 10_000.01 },
      { amountUsd: 10.001 },
      { amount: 9 },
      { amountUsd: 10, amount: 20 },
    ]) {
      const refused = await requestTopUp(app, fixture, body);
      expect([refused.status, refused.body.details], JSON.stringify(body)).toEqual([
        400,
        { field: "amountUsd" },
      ]);
    }
  });

  test("answers a repeat of its key with the same top-up", async () => {
    const fixture = await createCreditAccount(app);
    const ask = () => requestTopUp(app, fixture, { amountUsd: 250 }, { "idempotency-key": "once" });
    const first = await ask();
    const again = await ask();
    expect(again.body).toEqual(first.body);
    expect(again.headers["idempotent-replayed"]).toBe("true");
    const other = await requestTopUp(app, fixture, { amountUsd: 20 }, { "idempotency-key": "once" });
    expect(other.status).toBe(422);
  });

  test("keeps at most 10 pending, however many ask at once", async () => {
    const fixture = await createCreditAccount(app);
    const answers = await Promise.all(Array.from({ length: 14 }, () => requestTopUp(app, fixture)));
    const refused = answers.filter(({ status }) => status !== 201);
    expect(refused).toHaveLength(4);
    for (const { status, body } of refused)
      expect([status, body.details]).toEqual([409, { reason: "top_up_limit_reached", limit: 10 }]);
  });

  test("is refused before the claim, without the scope, and while the account is frozen", async () => {
    const fixture = await createCreditAccount(app);
    const reading = await operate(app, "POST", `/accounts/${fixture.account}/tokens`, {
      name: "Reader",
      scopes: ["payments:read"],
    });
    expect((await requestTopUp(app, reading)).body.details.requiredScopes).toEqual(["payments:write"]);
    await operate(app, "PUT", `/accounts/${fixture.account}`, { frozen: true });
    expect((await requestTopUp(app, fixture)).body.details).toEqual({ reason: "account_frozen" });
    await operate(app, "PUT", `/accounts/${fixture.account}`, { frozen: false });
    await unclaim(db, fixture);
    expect((await requestTopUp(app, fixture)).body.details).toMatchObject({
      reason: "account_claim_required",
      action: "add credits",
    });
  });
});

test("capabilities say that credits are enabled where they are", async () => {
  const read = async (fixture: { token: string }) =>
    (await call(app, "GET", "/api/public/v1/capabilities", fixture)).body.capabilities.credits;
  expect(await read(await createCreditAccount(app))).toBe(true);
  expect(await read(await createFixture(app))).toBe(false);
});
