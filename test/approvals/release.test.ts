import { beforeAll, describe, expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import {
  askRelease,
  createEscrow,
  PAYOUT_ACCOUNT,
  readApproval,
  readMilestones,
  release,
  setPayoutAccount,
} from "../support/escrow.ts";
import { call, createFixture, fund, operate } from "../support/fixtures.ts";
import { findDisagreements, openRails, SANDBOX } from "../support/rails.ts";
import { startService } from "../support/service.ts";
import { confirmNow, readOutcome } from "../support/stories.ts";

const worlds = await Promise.all(
  (await openRails()).map(async (rails) => {
    const { app, db, config } = await startService({}, undefined, rails);
    return { name: rails.name, rails, app, db, deps: { db, config, processor: rails.open(db) } };
  }),
);

describe.each(worlds)("a release over the rails of $name", ({ rails, app, db, deps }) => {
  test("pays the payee once: milestone, invoice, ledger, events and receipt tell of it", async () => {
    const escrow = await createEscrow(app, deps);
    const { token, milestone, contract } = escrow.fixture;
    const asked = await release(app, token, milestone);
    expect(asked.status).toBe(202);
    expect(Object.keys(asked.body)).toEqual(["approval", "message"]);
    expect(asked.body.approval).toMatchObject({
      ...{ type: "milestone_approve", status: "pending", milestoneId: milestone, contractId: contract },
      ...{ result: null, resolvedAt: null, proposalId: null },
    });
    const again = await release(app, token, milestone);
    expect(again.body.approval).toEqual(asked.body.approval);

    const story = await askRelease(app, escrow);
    await confirmNow(deps, story);
    const approval = await readApproval(app, escrow, story);
    expect(approval).toMatchObject({
      status: "confirmed",
      result: { invoiceId: expect.any(String), payoutTransactionId: expect.stringMatching(/^tr_/) },
    });
    expect(await readMilestones(app, escrow)).toEqual(["PAID"]);
    const { receipt } = (await call(app, "GET", `/approvals/${story.approvalId}/receipt`, { token })).body;
    expect(receipt.terms.payout).toEqual({ account: PAYOUT_ACCOUNT });
    expect(receipt.payments).toMatchObject([
      { kind: "payout", status: "succeeded", sentId: approval.result.payoutTransactionId },
    ]);
    const { events } = (await call(app, "GET", "/updates?limit=200", { token })).body;
    expect(events.slice(-2).map(({ type, data }: any) => [type, data.status])).toEqual([
      ["approval.confirmed", "confirmed"],
      ["milestone.status_changed", "PAID"],
    ]);
    expect(await findDisagreements(db, rails)).toEqual([]);
    expect((await release(app, token, milestone)).body).toMatchObject({
      code: "CONFLICT",
      details: { reason: "milestone_not_funded", status: "PAID" },
    });
  });

  test("confirmed by two people at once is paid out once", async () => {
    const escrow = await createEscrow(app, deps);
    const story = await askRelease(app, escrow);
    const results = await Promise.allSettled([confirmNow(deps, story), confirmNow(deps, story)]);
    expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(await readMilestones(app, escrow)).toEqual(["PAID"]);
    expect(await findDisagreements(db, rails)).toEqual([]);
  });
});

describe("asking for a release", () => {
  const { app, deps } = worlds.find(({ name }) => name === SANDBOX.name) as (typeof worlds)[0];
  let escrow: Awaited<ReturnType<typeof createEscrow>>;
  beforeAll(async () => {
    escrow = await createEscrow(app, deps);
  });

  test("of a milestone that is not funded is refused, and says where it stands", async () => {
    const { token, milestone } = await createFixture(app);
    const { status, body } = await release(app, token, milestone);
    expect([status, body.details]).toEqual([409, { reason: "milestone_not_funded", status: "NOT_FUNDED" }]);
  });

  test("of a cancelled milestone, and under an ended contract, is refused first of all", async () => {
    const { token, milestone, account, contract } = await createFixture(app);
    await operate(app, "POST", `/accounts/${account}/milestones/${milestone}/cancel`);
    expect((await release(app, token, milestone)).body.details).toEqual({ reason: "milestone_cancelled" });
    await operate(app, "PUT", `/accounts/${account}/contracts/${contract}`, { status: "ended" });
    expect((await release(app, token, milestone)).body.details).toMatchObject({ reason: "contract_ended" });
  });

  test("without a payout account says so, and so it is until the operator names one", async () => {
    const without = await createEscrow(app, deps, { payoutAccount: null });
    const { fixture } = without;
    const { status, body } = await release(app, fixture.token, fixture.milestone);
    expect([status, body.details]).toEqual([
      409,
      { reason: "payout_account_required", contractId: fixture.contract },
    ]);
    await setPayoutAccount(app, fixture, PAYOUT_ACCOUNT);
    expect((await release(app, fixture.token, fixture.milestone)).status).toBe(202);
  });

  test("of another account's milestone is answered as of none", async () => {
    const { token } = await createFixture(app);
    const foreign = await release(app, token, escrow.fixture.milestone);
    expect([foreign.status, foreign.body.details]).toEqual([
      404,
      { resource: "milestones", milestoneId: escrow.fixture.milestone },
    ]);
  });

  test("without the scope, the feature or a claim is refused as funding is", async () => {
    const readOnly = await createFixture(app, { scopes: ["payments:read"] });
    expect((await release(app, readOnly.token, readOnly.milestone)).body.details).toMatchObject({
      requiredScopes: ["payments:write"],
    });
    const unclaimed = await createFixture(app, { claimed: false, card: false });
    expect((await release(app, unclaimed.token, unclaimed.milestone)).body.details).toMatchObject({
      reason: "account_claim_required",
      action: "release milestones",
    });
  });

  test("a payout account that changes meanwhile ends the request, and a new one names it", async () => {
    const changed = await createEscrow(app, deps);
    const story = await askRelease(app, changed);
    await setPayoutAccount(app, changed.fixture, "acct_1Other");
    expect(await readApproval(app, changed, story)).toMatchObject({
      status: "expired",
      result: { reason: "terms_changed" },
    });
    const next = await askRelease(app, changed);
    expect(next.approvalId).not.toBe(story.approvalId);
    await confirmNow(deps, next);
    expect(await readOutcome(deps.db, next)).toEqual({ approval: "confirmed", payment: "succeeded" });
  });

  test("by 50 at once makes one approval", async () => {
    const { fixture } = escrow;
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => release(app, fixture.token, fixture.milestone)),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
    expect(new Set(answers.map(({ body }) => JSON.stringify(body.approval))).size).toBe(1);
    const approvals = await deps.db
      .selectFrom("approvals")
      .where("account_id", "=", accountKey(fixture.account))
      .where("type", "=", "milestone_approve")
      .select("id")
      .execute();
    expect(approvals).toHaveLength(1);
  });

  test("a funded milestone is not funded again", async () => {
    const { fixture } = escrow;
    expect((await fund(app, fixture.token, fixture.milestone)).status).toBe(409);
  });
});
