import { describe, expect, test } from "vitest";
import { ask, expectRefusal } from "../http/expectations.ts";
import { setMilestoneStatus, startExecuting } from "../http/rows.ts";
import { call, createFixture, type Fixture, fund, operate } from "../support/fixtures.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();

const put = ({ account }: Fixture, id: string, body: unknown) =>
  ask(app, "PUT", `/accounts/${account}/milestones/${id}`, body);
const get = async ({ account }: Fixture, id: string) =>
  (await operate(app, "GET", `/accounts/${account}/milestones/${id}`)).milestone;

/** One more contract of the account. */
async function createContract({ account }: Fixture, id: string): Promise<void> {
  await operate(app, "PUT", `/accounts/${account}/contracts/${id}`, {
    title: "Second",
    jobId: "job-2",
    paymentType: "PAY_PER_LABEL",
    freelancer: { userId: "f", displayName: "F." },
  });
}

describe("PUT /accounts/{id}/milestones/{milestoneId}", () => {
  test("creates a milestone (201), numbers it within its contract, and GET answers it too", async () => {
    const fixture = await createFixture(app);
    const body = { contractId: fixture.contract, description: "Second", amountUsd: 120.5 };
    const answer = await put(fixture, "m-2", body);
    expect(answer.status).toBe(201);
    expect(answer.body).toStrictEqual({
      milestone: {
        id: "m-2",
        name: null,
        description: "Second",
        status: "NOT_FUNDED",
        amountUsd: 120.5,
        volume: null,
        milestoneNumber: 2,
        dueDate: null,
        pendingApproval: false,
        needsReview: false,
        invoiceId: null,
        createdAt: answer.body.milestone.createdAt,
        contractId: fixture.contract,
      },
    });
    expect(await get(fixture, "m-2")).toEqual(answer.body.milestone);
    await createContract(fixture, "c-2");
    const elsewhere = await put(fixture, "m-3", { ...body, contractId: "c-2" });
    expect(elsewhere.body.milestone.milestoneNumber).toBe(1);
    expect((await put(fixture, "m-4", body)).body.milestone.milestoneNumber).toBe(3);
  });

  test("sets the named keys (200), clears what is null, and leaves the others as they are", async () => {
    const fixture = await createFixture(app);
    const { milestone: id } = fixture;
    const { status } = await put(fixture, id, { name: "Batch", volume: 0.5, dueDate: "2027-03-31" });
    expect(status).toBe(200);
    expect(await get(fixture, id)).toMatchObject({
      name: "Batch",
      volume: 0.5,
      dueDate: "2027-03-31T00:00:00.000Z",
      amountUsd: 450,
      description: "Label 5,000 street scenes",
    });
    const dueDate = "2027-03-31T10:00:00+02:00";
    expect((await put(fixture, id, { dueDate })).body.milestone.dueDate).toBe("2027-03-31T08:00:00.000Z");
    expect(
      (await put(fixture, id, { name: null, volume: null, dueDate: null })).body.milestone,
    ).toMatchObject({
      name: null,
      volume: null,
      dueDate: null,
    });
    const same = await get(fixture, id);
    for (const body of [{}, { amountUsd: 450, contractId: fixture.contract }]) {
      expect((await put(fixture, id, body)).body.milestone).toEqual(same);
    }
  });

  test("keeps every amount to the cent, from 0.50 to 999,999.99", async () => {
    const fixture = await createFixture(app);
    for (const amountUsd of [0.5, 0.57, 1, 1.1, 4.35, 8.2, 19.99, 1.15, 100.1, 4_503.99, 999_999.99]) {
      const { status, body } = await put(fixture, fixture.milestone, { amountUsd });
      expect([status, body.milestone?.amountUsd]).toEqual([200, amountUsd]);
    }
    for (const body of ['{"amountUsd": 0.50}', '{"amountUsd": 5e-1}', '{"amountUsd": 0.500000}']) {
      expect((await put(fixture, fixture.milestone, body)).body.milestone.amountUsd).toBe(0.5);
    }
  });

  test("refuses every other amount, and keeps the one that stood", async () => {
    const fixture = await createFixture(app);
    const amounts = [
      ...["0.49", "0", "-0", "-0.5", "-450", "1000000", "999999.999", "1.005", "19.999", "1e-7", "0.500001"],
      ...["1e400", "-1e400", "1e21", '"450"', '"NaN"', '""', "null", "true", "[450]", "{}"],
    ];
    for (const amount of amounts) {
      const answer = await put(fixture, fixture.milestone, `{"amountUsd": ${amount}}`);
      expectRefusal(answer, 400, "BAD_REQUEST", { field: "amountUsd" });
    }
    for (const amount of ["NaN", "Infinity", "0x1C2", "4_50", ".5", "+1", "1."]) {
      expectRefusal(await put(fixture, fixture.milestone, `{"amountUsd": ${amount}}`), 400, "BAD_REQUEST");
    }
    expect((await get(fixture, fixture.milestone)).amountUsd).toBe(450);
  });

  test("refuses unknown keys and every other bad value, names the field, and changes nothing", async () => {
    const fixture = await createFixture(app);
    const before = await get(fixture, fixture.milestone);
    const bad: [object, string][] = [
      [{ status: "ACTIVE_FUNDED" }, "status"],
      [{ invoiceId: "inv_1" }, "invoiceId"],
      [{ currency: "eur" }, "currency"],
      [{ contractId: "a b" }, "contractId"],
      [{ contractId: "x".repeat(65) }, "contractId"],
      [{ contractId: null }, "contractId"],
      [{ description: "" }, "description"],
      [{ description: "x".repeat(5001) }, "description"],
      [{ description: null }, "description"],
      [{ name: "" }, "name"],
      [{ name: "x".repeat(201) }, "name"],
      [{ volume: 0 }, "volume"],
      [{ volume: -1 }, "volume"],
      [{ volume: 1_000_000_001 }, "volume"],
      [{ volume: "5" }, "volume"],
      [{ dueDate: "" }, "dueDate"],
      [{ dueDate: "soon" }, "dueDate"],
      [{ dueDate: "2027-02-30" }, "dueDate"],
      [{ dueDate: "31.03.2027" }, "dueDate"],
      [{ dueDate: "2027-03-31T25:00:00Z" }, "dueDate"],
      [{ dueDate: "2026-12-31T23:59:60Z" }, "dueDate"],
      [{ dueDate: 1_800_000_000 }, "dueDate"],
    ];
    for (const [body, field] of bad) {
      expectRefusal(await put(fixture, fixture.milestone, body), 400, "BAD_REQUEST", { field });
    }
    expect(await get(fixture, fixture.milestone)).toEqual(before);
  });

  test("needs a contract, a description and an amount for a new one", async () => {
    const fixture = await createFixture(app);
    const whole = { contractId: fixture.contract, description: "d", amountUsd: 1 };
    for (const field of ["contractId", "description", "amountUsd"]) {
      const answer = await put(fixture, "m", { ...whole, [field]: undefined });
      expectRefusal(answer, 400, "BAD_REQUEST", { field });
    }
    expect((await ask(app, "GET", `/accounts/${fixture.account}/milestones/m`)).status).toBe(404);
  });

  test("finds neither another account's contract, nor an id that cannot be one", async () => {
    const [mine, theirs] = [await createFixture(app), await createFixture(app)];
    const body = { contractId: theirs.contract, description: "d", amountUsd: 1 };
    const foreign = { resource: "contracts", contractId: theirs.contract };
    expectRefusal(await put(mine, "m", body), 404, "NOT_FOUND", foreign);
    expectRefusal(await put(mine, mine.milestone, body), 404, "NOT_FOUND", foreign);
    const milestoneId = "x".repeat(65);
    const odd = await put(mine, milestoneId, { ...body, contractId: mine.contract });
    expectRefusal(odd, 404, "NOT_FOUND", { resource: "milestones", milestoneId });
    const edge = { ...body, contractId: mine.contract, description: "✅".repeat(5000) };
    for (const id of ["m", "x".repeat(64)]) expect((await put(mine, id, edge)).status).toBe(201);
  });

  test("numbers those that come at once without a gap", async () => {
    const fixture = await createFixture(app);
    const body = { contractId: fixture.contract, description: "d", amountUsd: 1 };
    const ids = Array.from({ length: 8 }, (_, i) => `m-${i}`);
    const answers = await Promise.all(ids.map((id) => put(fixture, id, body)));
    const numbers = answers.map((answer) => answer.body.milestone.milestoneNumber);
    expect(numbers.sort()).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
  });
});

describe("a milestone that moves to another contract", () => {
  test("takes the next number there, and its pending approval ends, as its terms have changed", async () => {
    const fixture = await createFixture(app);
    await createContract(fixture, "c-2");
    await put(fixture, "m-2", { contractId: "c-2", description: "d", amountUsd: 1 });
    const { approval } = (await fund(app, fixture.token, fixture.milestone)).body;
    const moved = await put(fixture, fixture.milestone, { contractId: "c-2" });
    expect(moved.body.milestone).toMatchObject({ contractId: "c-2", milestoneNumber: 2 });
    const ended = await call(app, "GET", `/approvals/${approval.id}`, { token: fixture.token });
    expect(ended.body.approval).toMatchObject({ status: "expired", result: { reason: "terms_changed" } });
    const next = (await fund(app, fixture.token, fixture.milestone)).body.approval;
    expect(next).toMatchObject({ contractId: "c-2", jobId: "job-2" });
  });

  test("does not move into one that has ended", async () => {
    const fixture = await createFixture(app);
    await createContract(fixture, "c-2");
    await operate(app, "PUT", `/accounts/${fixture.account}/contracts/c-2`, { status: "ended" });
    const details = { reason: "contract_ended", contractId: "c-2" };
    const refused = await put(fixture, fixture.milestone, { contractId: "c-2" });
    expectRefusal(refused, 409, "CONFLICT", details);
  });
});

const CHANGES = [{ amountUsd: 1 }, { description: "Other" }, { contractId: "c-2" }];

describe("the terms of a milestone", () => {
  test.each(["ACTIVE_FUNDED", "PAID", "REFUNDED", "CANCELLED"] as const)(
    "are fixed once it is %s, while its name, volume and date are not",
    async (status) => {
      const fixture = await createFixture(app);
      await createContract(fixture, "c-2");
      await setMilestoneStatus(db, fixture, status);
      const details =
        status === "CANCELLED"
          ? { reason: "milestone_cancelled" }
          : { reason: "milestone_not_fundable", status };
      for (const body of CHANGES) {
        expectRefusal(await put(fixture, fixture.milestone, body), 409, "CONFLICT", details);
      }
      const free = { name: "New", volume: 7, dueDate: "2027-01-01" };
      expect((await put(fixture, fixture.milestone, free)).status).toBe(200);
    },
  );

  test("are fixed while money is moving for it", async () => {
    const fixture = await createFixture(app);
    await createContract(fixture, "c-2");
    const { approval } = (await fund(app, fixture.token, fixture.milestone)).body;
    await startExecuting(db, fixture, approval.id);
    const details = { reason: "payment_in_progress", milestoneId: fixture.milestone };
    for (const body of CHANGES) {
      expectRefusal(await put(fixture, fixture.milestone, body), 409, "CONFLICT", details);
    }
    const cancel = `/accounts/${fixture.account}/milestones/${fixture.milestone}/cancel`;
    expectRefusal(await ask(app, "POST", cancel), 409, "CONFLICT", details);
    expect((await fund(app, fixture.token, fixture.milestone)).body.approval).toEqual(approval);
  });
});
