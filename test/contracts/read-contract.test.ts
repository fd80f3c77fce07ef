import { describe, expect, test } from "vitest";
import { bytesOf, expectRefusal } from "../http/expectations.ts";
import { expire, setMilestoneStatus, startExecuting } from "../http/rows.ts";
import { call, createFixture, createMilestone, type Fixture, fund, operate } from "../support/fixtures.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();

const read = (token: string, id: string) => call(app, "GET", `/api/public/v1/contracts/${id}`, { token });

/** The first milestone, as the API shows it in its contract. */
async function readMilestone(fixture: Fixture) {
  return (await read(fixture.token, fixture.contract)).body.contract.milestones[0];
}

describe("GET /contracts/{contractId}", () => {
  test("a contract is answered as in the list, plus its budget", async () => {
    const fixture = await createFixture(app);
    const { body } = await read(fixture.token, fixture.contract);
    const { budget, jobDmConversationId, ...contract } = body.contract;
    expect(jobDmConversationId).toBeNull();
    expect(contract).toEqual((await call(app, "GET", "/api/public/v1/contracts", fixture)).body.contracts[0]);
    expect(budget).toStrictEqual({
      contractId: fixture.contract,
      paymentType: "FIXED_PRICE",
      state: "OK",
      fundedVolume: 0,
      fundedAmountUsd: 0,
      consumed: { seconds: 0, hours: 0, labels: 0, tasks: 0 },
      consumedVolume: 0,
      remainingVolume: 0,
      consumedFraction: 0,
      activeMilestone: null,
      lastUsageAt: null,
    });
  });

  test("the budget sums funded and paid milestones, and names the active one", async () => {
    const fixture = await createFixture(app);
    const paid = { ...fixture, milestone: `${fixture.milestone}.2` };
    const path = `/accounts/${fixture.account}/milestones`;
    await operate(app, "PUT", `${path}/${fixture.milestone}`, {
      amountUsd: 0.7,
      volume: 0.5,
      name: "At work",
    });
    await operate(app, "PUT", `${path}/${paid.milestone}`, {
      contractId: fixture.contract,
      description: "Done",
      amountUsd: 19.99,
      volume: 2,
    });
    await setMilestoneStatus(db, fixture, "ACTIVE_FUNDED");
    await setMilestoneStatus(db, paid, "PAID");
    const { contract } = (await read(fixture.token, fixture.contract)).body;
    expect(contract).toMatchObject({
      hasActiveMilestone: true,
      estimatedTotalUsd: 20.69,
      estimatedVolume: 2.5,
    });
    expect(contract.budget).toMatchObject({
      fundedVolume: 2.5,
      fundedAmountUsd: 20.69,
      remainingVolume: 2.5,
      activeMilestone: {
        id: fixture.milestone,
        name: "At work",
        amountUsd: 0.7,
        volume: 0.5,
        status: "ACTIVE_FUNDED",
      },
    });
  });

  test("cancelled and refunded milestones are left out, also of the sums", async () => {
    const fixture = await createFixture(app);
    for (const id of ["cancelled", "refunded"]) await createMilestone(app, fixture, id);
    await operate(app, "POST", `/accounts/${fixture.account}/milestones/cancelled/cancel`);
    await setMilestoneStatus(db, { ...fixture, milestone: "refunded" }, "REFUNDED");
    const { contract } = (await read(fixture.token, fixture.contract)).body;
    expect(contract.milestones.map(({ id }: { id: string }) => id)).toEqual([fixture.milestone]);
    expect(contract.estimatedTotalUsd).toBe(450);
  });

  test("an ended contract has its end date", async () => {
    const fixture = await createFixture(app);
    await operate(app, "PUT", `/accounts/${fixture.account}/contracts/${fixture.contract}`, {
      status: "ended",
    });
    const { contract } = (await read(fixture.token, fixture.contract)).body;
    expect([contract.status, contract.endDate]).toEqual(["ended", contract.updatedAt]);
  });

  test("another account's contract is answered like an unknown one, byte for byte", async () => {
    const [mine, theirs] = [await createFixture(app), await createFixture(app)];
    const unknown = `${theirs.contract.slice(0, -1)}_`;
    const nothing = await read(mine.token, unknown);
    expectRefusal(nothing, 404, "NOT_FOUND", { resource: "contracts", contractId: unknown });
    const answer = await read(mine.token, theirs.contract);
    expect(bytesOf(answer, theirs.contract)).toBe(bytesOf(nothing, unknown));
  });
});

describe("a milestone's pendingApproval", () => {
  test("pendingApproval is true while a co-signature is pending, and false afterwards", async () => {
    const fixture = await createFixture(app);
    await fund(app, fixture.token, fixture.milestone);
    expect((await readMilestone(fixture)).pendingApproval).toBe(true);
    await operate(app, "PUT", `/accounts/${fixture.account}/milestones/${fixture.milestone}`, {
      amountUsd: 1,
    });
    expect((await readMilestone(fixture)).pendingApproval).toBe(false);
  });

  test("pendingApproval is false once the approval expires, unless its payment is under way", async () => {
    const [expired, executing] = [await createFixture(app), await createFixture(app)];
    for (const fixture of [expired, executing]) {
      const { approval } = (await fund(app, fixture.token, fixture.milestone)).body;
      if (fixture === executing) await startExecuting(db, fixture, approval.id);
      await expire(db, fixture, approval.id);
    }
    expect((await readMilestone(expired)).pendingApproval).toBe(false);
    expect((await readMilestone(executing)).pendingApproval).toBe(true);
  });
});
