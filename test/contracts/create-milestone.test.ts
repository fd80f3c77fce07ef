import { describe, expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { bytesOf, expectRefusal } from "../http/expectations.ts";
import { digestRows, unclaim } from "../http/rows.ts";
import { call, createFixture, type Fixture, fund, operate } from "../support/fixtures.ts";
import { countWaiting, holdLock } from "../support/locks.ts";
import { waitUntil } from "../support/process.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const { app, connection, db } = await startService();

const create = ({ token, contract }: Pick<Fixture, "token" | "contract">, body: unknown) =>
  call(app, "POST", `/api/public/v1/contracts/${contract}/milestones`, { token, body });
const change = ({ account, contract }: Fixture, body: unknown) =>
  operate(app, "PUT", `/accounts/${account}/contracts/${contract}`, body);

/** An account with a contract paid by volume at that rate. */
async function createByVolume(
  paymentType: "PAY_PER_HOUR" | "PAY_PER_LABEL",
  rateUsd: number | null,
): Promise<Fixture> {
  const fixture = await createFixture(app);
  await change(fixture, { paymentType, rateUsd });
  return fixture;
}

describe("POST /contracts/{contractId}/milestones", () => {
  test("creating a milestone adds an unfunded one with the next number, which can be funded", async () => {
    const fixture = await createFixture(app);
    const answer = await create(fixture, {
      name: "Second batch",
      description: "Label the next 5,000",
      amountUsd: 300.1,
      volume: 5000,
      dueDate: "2026-12-15",
    });
    expect(answer.status).toBe(201);
    const { milestone } = answer.body;
    expect(answer.body).toStrictEqual({
      milestone: {
        id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7/),
        name: "Second batch",
        description: "Label the next 5,000",
        status: "NOT_FUNDED",
        amountUsd: 300.1,
        volume: 5000,
        milestoneNumber: 2,
        dueDate: "2026-12-15T00:00:00.000Z",
        pendingApproval: false,
        needsReview: false,
        invoiceId: null,
        createdAt: expect.stringMatching(/Z$/),
      },
    });
    const read = await call(app, "GET", `/api/public/v1/contracts/${fixture.contract}`, fixture);
    expect(read.body.contract.milestones[1]).toEqual(milestone);
    const asked = await fund(app, fixture.token, milestone.id);
    expect([asked.status, asked.body.approval.milestoneId]).toEqual([202, milestone.id]);
  });

  test("creating a milestone writes its event in the same transaction", async () => {
    const fixture = await createFixture(app);
    const { milestone } = (await create(fixture, { description: "More", amountUsd: 1 })).body;
    const { events } = (await call(app, "GET", "/updates?limit=200", fixture)).body;
    expect(events.at(-1)).toMatchObject({
      type: "milestone.status_changed",
      resourceId: milestone.id,
      createdAt: milestone.createdAt,
      data: { milestoneId: milestone.id, contractId: fixture.contract, status: "NOT_FUNDED" },
    });
  });

  test("creating a milestone needs no payment method", async () => {
    const fixture = await createFixture(app, { card: false });
    const { status, body } = await create(fixture, { description: "More", amountUsd: 1 });
    expect(status).toBe(201);
    expect((await fund(app, fixture.token, body.milestone.id)).body.details.reason).toBe(
      "payment_method_required",
    );
  });

  test("milestones created at once have consecutive numbers", async () => {
    const fixture = await createFixture(app);
    const answers = await Promise.all(
      Array.from({ length: 30 }, () => create(fixture, { description: "More", amountUsd: 1 })),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 30 }, () => 201));
    const numbers = answers.map(({ body }) => body.milestone.milestoneNumber);
    expect(numbers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, i) => i + 2));
  });
});

describe("its gates", () => {
  const body = { description: "More", amountUsd: 1 };

  test("creating a milestone needs the scope, feature and claim of a fund request", async () => {
    const poor = await createFixture(app, { scopes: ["payments:read"] });
    const featureless = await createFixture(app, { features: {} });
    const unclaimed = await createFixture(app);
    await unclaim(db, unclaimed);
    const before = await digestRows(db);
    expectRefusal(await create(poor, body), 403, "FORBIDDEN", {
      requiredScopes: ["payments:write"],
      grantedScopes: ["payments:read"],
      tokensUrl: `${PUBLIC_URL}/settings/keys`,
    });
    const featureKey = "public_api_payments_write";
    expectRefusal(await create(featureless, body), 403, "FORBIDDEN", { featureKey });
    expectRefusal(await create(unclaimed, body), 403, "FORBIDDEN", {
      reason: "account_claim_required",
      action: "create milestones",
      claimUrl: `${PUBLIC_URL}/claim`,
    });
    expect(await digestRows(db)).toEqual(before);
  });

  test("creating a milestone checks the fields, then the contract, then its state", async () => {
    const [mine, theirs] = [await createFixture(app), await createFixture(app)];
    await change(theirs, { status: "ended" });
    const foreign = { token: mine.token, contract: theirs.contract };
    expectRefusal(await create(foreign, { description: "More", amountUsd: 0.001 }), 400, "BAD_REQUEST", {
      field: "amountUsd",
    });
    const unknown = { token: mine.token, contract: `${theirs.contract.slice(0, -1)}_` };
    const nothing = await create(unknown, body);
    expectRefusal(nothing, 404, "NOT_FOUND", { resource: "contracts", contractId: unknown.contract });
    expect(bytesOf(await create(foreign, body), foreign.contract)).toBe(bytesOf(nothing, unknown.contract));
    const { contract } = theirs;
    expectRefusal(await create(theirs, body), 409, "CONFLICT", {
      reason: "contract_ended",
      contractId: contract,
    });
  });

  test("a contract that ends meanwhile gets no milestone", async () => {
    const fixture = await createFixture(app);
    const where = `account_id = '${accountKey(fixture.account)}' and id = '${fixture.contract}'`;
    await using ending = await holdLock(
      connection,
      `update contracts set status = 'ended', ended_at = now() where ${where}`,
    );
    const asked = create(fixture, body);
    await waitUntil(async () => (await countWaiting(db)) === 1, "it waits for the contract");
    await ending.letGo();
    const { contract } = fixture;
    expectRefusal(await asked, 409, "CONFLICT", { reason: "contract_ended", contractId: contract });
  });
});

describe("an invalid field", () => {
  const fine = { description: "More", amountUsd: 1 };

  test.each<[string, unknown, string]>([
    ["no description", { amountUsd: 1 }, "description"],
    ["an empty description", { ...fine, description: "" }, "description"],
    ["a description that is too long", { ...fine, description: "x".repeat(5001) }, "description"],
    ["an empty name", { ...fine, name: "" }, "name"],
    ["a name that is too long", { ...fine, name: "x".repeat(201) }, "name"],
    ["no amount", { description: "More" }, "amountUsd"],
    ["an amount in text", { ...fine, amountUsd: "1" }, "amountUsd"],
    ["a tenth of a cent", { ...fine, amountUsd: 1.001 }, "amountUsd"],
    ["an amount below the least", { ...fine, amountUsd: 0.49 }, "amountUsd"],
    ["an amount above the most", { ...fine, amountUsd: 1_000_000 }, "amountUsd"],
    ["a negative amount", { ...fine, amountUsd: -5 }, "amountUsd"],
    ["no volume at all", { ...fine, volume: 0 }, "volume"],
    ["a negative volume", { ...fine, volume: -1 }, "volume"],
    ["a date that there is not", { ...fine, dueDate: "2026-02-30" }, "dueDate"],
    ["a leap second", { ...fine, dueDate: "2036-12-31T23:59:60Z" }, "dueDate"],
    ["what is the year 10000 in UTC", { ...fine, dueDate: "9999-12-31T23:59:59-23:59" }, "dueDate"],
    ["what is before the year 0 in UTC", { ...fine, dueDate: "0000-01-01T00:00:00+23:59" }, "dueDate"],
    ["a status", { ...fine, status: "ACTIVE_FUNDED" }, "status"],
    ["an id", { ...fine, id: "mine" }, "id"],
    ["no object", [], "body"],
  ])("an invalid field is named with 400: %s", async (_name, body, field) => {
    const fixture = await createFixture(app);
    const before = await digestRows(db);
    expectRefusal(await create(fixture, body), 400, "BAD_REQUEST", { field });
    expect(await digestRows(db)).toEqual(before);
  });
});

describe("under a contract that is paid by volume", () => {
  test.each<[string, "PAY_PER_HOUR" | "PAY_PER_LABEL", number, number, number]>([
    ["whole labels", "PAY_PER_LABEL", 0.07, 5000, 350],
    ["a rate that binary fractions cannot hold", "PAY_PER_LABEL", 0.1, 3_000, 300],
    ["halves of an hour", "PAY_PER_HOUR", 33.33, 1.5, 50],
    ["half a cent, up", "PAY_PER_HOUR", 1.01, 0.5, 0.51],
    ["just under half a cent, down", "PAY_PER_HOUR", 1.01, 0.499999, 0.5],
    ["what floating point would make 100.49999999999999", "PAY_PER_HOUR", 1, 1.005, 1.01],
    ["thirds of an hour", "PAY_PER_HOUR", 30, 0.3333333333333333, 10],
    ["very small parts of many", "PAY_PER_LABEL", 999_999.99, 5e-7, 0.5],
    ["the most there may be", "PAY_PER_LABEL", 999_999.99, 1, 999_999.99],
  ])("the amount is rate × volume to the cent: %s", async (_n, type, rate, volume, amountUsd) => {
    const fixture = await createByVolume(type, rate);
    const { status, body } = await create(fixture, { description: "More", volume });
    expect([status, body.milestone]).toMatchObject([201, { volume, amountUsd }]);
    const both = await create(fixture, { description: "More", volume, amountUsd });
    expect([both.status, both.body.milestone]).toMatchObject([201, { volume, amountUsd }]);
  });

  test("an amount other than rate × volume is refused with the right one", async () => {
    const fixture = await createByVolume("PAY_PER_HOUR", 33.33);
    for (const amountUsd of [49.99, 50.01, 500]) {
      const answer = await create(fixture, { description: "More", volume: 1.5, amountUsd });
      expectRefusal(answer, 400, "BAD_REQUEST", { field: "amountUsd", expectedAmountUsd: 50 });
    }
  });

  test("a milestone paid by volume needs the volume, with or without an amount", async () => {
    const fixture = await createByVolume("PAY_PER_LABEL", 0.1);
    for (const body of [{ description: "More" }, { description: "More", amountUsd: 10 }]) {
      expectRefusal(await create(fixture, body), 400, "BAD_REQUEST", { field: "volume" });
    }
  });

  test("a volume whose amount is above or below the limits is refused", async () => {
    const fixture = await createByVolume("PAY_PER_LABEL", 0.1);
    for (const volume of [1, 1_000_000_000, 1e-300]) {
      expectRefusal(await create(fixture, { description: "More", volume }), 400, "BAD_REQUEST", {
        field: "volume",
      });
    }
  });

  test("a contract without a rate is refused, unless it has ended", async () => {
    const fixture = await createByVolume("PAY_PER_HOUR", null);
    const body = { description: "More", volume: 2, amountUsd: 20 };
    expectRefusal(await create(fixture, body), 409, "CONFLICT", { reason: "contract_rate_missing" });
    await change(fixture, { status: "ended" });
    expectRefusal(await create(fixture, body), 409, "CONFLICT", {
      reason: "contract_ended",
      contractId: fixture.contract,
    });
  });
});
