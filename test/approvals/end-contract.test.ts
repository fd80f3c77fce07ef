import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { sweepDuePayments } from "../../src/approvals/jobs.ts";
import {
  askEnd,
  askRelease,
  createEscrow,
  endContract,
  readApproval,
  readMilestones,
  release,
} from "../support/escrow.ts";
import { call, createFixture, createMilestone, fund, operate } from "../support/fixtures.ts";
import { findDisagreements, openRails, SANDBOX } from "../support/rails.ts";
import { startService } from "../support/service.ts";
import { ask, confirmNow } from "../support/stories.ts";

const quiet = createLogger("silent");
const worlds = await Promise.all(
  (await openRails()).map(async (rails) => {
    const { app, db, config } = await startService({}, undefined, rails);
    return { name: rails.name, rails, app, db, deps: { db, config, processor: rails.open(db) } };
  }),
);

describe.each(worlds)("a contract's end over the rails of $name", ({ rails, app, db, deps }) => {
  test("refunds each funded milestone once, ends the contract, and its receipt proves it", async () => {
    const escrow = await createEscrow(app, deps, { count: 3 });
    const { fixture, milestones } = escrow;
    await createMilestone(app, fixture, `${fixture.milestone}-open`);
    const pending = await ask(app, fixture, `${fixture.milestone}-open`);
    const story = await askEnd(app, escrow);
    expect(await readApproval(app, escrow, story)).toMatchObject({ type: "contract_end", milestoneId: null });
    expect((await askEnd(app, escrow)).approvalId).toBe(story.approvalId);
    await confirmNow(deps, story);
    const approval = await readApproval(app, escrow, story);
    expect(approval).toMatchObject({ status: "confirmed", result: { contractEnded: true } });
    expect(approval.result.refunds).toEqual(
      milestones.map((milestoneId) => ({
        ...{ milestoneId, amountCents: 45_000, to: "card" },
        refundId: expect.stringMatching(/^re_/),
      })),
    );
    expect(await readMilestones(app, escrow)).toEqual(["REFUNDED", "REFUNDED", "REFUNDED"]);
    const { contract } = await operate(
      app,
      "GET",
      `/accounts/${fixture.account}/contracts/${fixture.contract}`,
    );
    expect(contract.status).toBe("ended");
    expect(await readApproval(app, escrow, pending)).toMatchObject({ result: { reason: "contract_ended" } });
    const { body } = await call(app, "GET", `/approvals/${story.approvalId}/receipt`, fixture);
    expect(body.receipt.terms.refunds).toHaveLength(3);
    expect(body.receipt.payments.map(({ kind, status }: any) => [kind, status])).toEqual(
      Array.from({ length: 3 }, () => ["refund", "succeeded"]),
    );
    expect(await findDisagreements(db, rails)).toEqual([]);
    expect((await endContract(app, fixture.token, fixture.contract)).body.details).toEqual({
      ...{ reason: "contract_ended", contractId: fixture.contract },
    });
  });

  test("takes all milestones: none is funded or released while it executes", async () => {
    const escrow = await createEscrow(app, deps, { count: 2 });
    const { fixture } = escrow;
    await createMilestone(app, fixture, `${fixture.milestone}-open`);
    const funding = await ask(app, fixture, `${fixture.milestone}-open`);
    const releasing = await askRelease(app, escrow);
    const story = await askEnd(app, escrow);
    const results = await Promise.allSettled([
      confirmNow(deps, story),
      confirmNow(deps, funding),
      confirmNow(deps, releasing),
    ]);
    const { fulfilled = [] } = Object.groupBy(results, ({ status }) => status);
    expect(fulfilled.length).toBeGreaterThan(0);
    expect(await findDisagreements(db, rails)).toEqual([]);
  });

  test("with a bank that takes nothing back any more goes to the account's credits", async () => {
    const card = rails.name === "sandbox" ? "pm_sandbox_refund_refused" : "pm_card_visa";
    const escrow = await createEscrow(app, deps, { card, count: 2 });
    const { stripe } = rails;
    if (stripe !== undefined) {
      // The bank's answer comes later here: the refunds are pending, and then fail.
      for (const held of stripe.books.methods.values()) held.behaves = "pm_card_pendingRefund";
    }
    const story = await askEnd(app, escrow);
    await confirmNow(deps, story);
    if (stripe !== undefined) {
      for (const { id, status } of stripe.books.refunds.values())
        if (status === "pending") stripe.failRefund(id);
      await db
        .updateTable("payments")
        .set({ due_at: new Date(0) })
        .where("due_at", "is not", null)
        .execute();
      await sweepDuePayments(deps, quiet);
      for (const held of stripe.books.methods.values()) held.behaves = "pm_card_visa";
    }
    const approval = await readApproval(app, escrow, story);
    expect(approval.result.refunds.map(({ to }) => to)).toEqual(["credits", "credits"]);
    expect(await readMilestones(app, escrow)).toEqual(["REFUNDED", "REFUNDED"]);
    expect(await findDisagreements(db, rails)).toEqual([]);
  });
});

describe("asking for a contract's end", () => {
  const { app, db, deps } = worlds.find(({ name }) => name === SANDBOX.name) as (typeof worlds)[0];

  test("without a funded milestone ends it at once, and what is pending under it", async () => {
    const fixture = await createFixture(app);
    const { body } = await fund(app, fixture.token, fixture.milestone);
    const ended = await endContract(app, fixture.token, fixture.contract);
    expect([ended.status, ended.body]).toEqual([
      200,
      { ok: true, contractId: fixture.contract, status: "ended" },
    ]);
    const { approval } = (await call(app, "GET", `/approvals/${body.approval.id}`, fixture)).body;
    expect(approval).toMatchObject({ status: "expired", result: { reason: "contract_ended" } });
  });

  test("ends with terms_changed when a milestone is funded meanwhile, and when one is released", async () => {
    const escrow = await createEscrow(app, deps, { count: 2 });
    const { fixture } = escrow;
    await createMilestone(app, fixture, `${fixture.milestone}-open`);
    const funding = await ask(app, fixture, `${fixture.milestone}-open`);
    const first = await askEnd(app, escrow);
    await confirmNow(deps, funding);
    expect(await readApproval(app, escrow, first)).toMatchObject({ result: { reason: "terms_changed" } });
    const second = await askEnd(app, escrow);
    await confirmNow(deps, await askRelease(app, escrow));
    expect(await readApproval(app, escrow, second)).toMatchObject({ result: { reason: "terms_changed" } });
    const third = await askEnd(app, escrow);
    await confirmNow(deps, third);
    expect((await readApproval(app, escrow, third)).result.refunds).toHaveLength(2);
    expect(await readMilestones(app, escrow)).toEqual(["PAID", "REFUNDED"]);
  });

  test("of an unknown or another account's contract is 404, and of one that money moves under is refused", async () => {
    const { token } = await createFixture(app);
    const escrow = await createEscrow(app, deps);
    const { fixture } = escrow;
    expect((await endContract(app, token, fixture.contract)).body.details).toEqual({
      ...{ resource: "contracts", contractId: fixture.contract },
    });
    const releasing = await askRelease(app, escrow);
    const held = Promise.withResolvers<void>();
    const stands = Promise.withResolvers<void>();
    const boundaries = (boundary: string, moment: string) => {
      if (`${boundary}:${moment}` !== "call-send:before") return undefined;
      stands.resolve();
      return held.promise;
    };
    const confirming = confirmNow({ ...deps, boundaries }, releasing);
    await stands.promise;
    expect((await endContract(app, fixture.token, fixture.contract)).body.details).toEqual({
      ...{ reason: "payment_in_progress", contractId: fixture.contract },
    });
    expect((await release(app, fixture.token, fixture.milestone)).body.approval.id).toBe(
      releasing.approvalId,
    );
    held.resolve();
    await confirming;
    expect(await readMilestones(app, escrow)).toEqual(["PAID"]);
  });

  test("of 60 funded milestones refunds each once, while its human waits or by the sweep", async () => {
    const escrow = await createEscrow(app, deps, { count: 60 });
    const story = await askEnd(app, escrow);
    await confirmNow(deps, story);
    for (let turn = 1; turn <= 5; turn++) await sweepDuePayments(deps, quiet);
    const approval = await readApproval(app, escrow, story);
    expect(approval.status).toBe("confirmed");
    expect(approval.result.refunds).toHaveLength(60);
    expect(await findDisagreements(db, SANDBOX)).toEqual([]);
  }, 120_000);
});
