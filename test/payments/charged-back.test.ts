import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { findForHuman } from "../../src/approvals/human-store.ts";
import { receiveProcessorEvent } from "../../src/approvals/processor-event-service.ts";
import { getCredits } from "../../src/billing/credit-service.ts";
import { newId } from "../../src/lib/ids.ts";
import {
  askEnd,
  askRelease,
  createEscrow,
  type Escrow,
  endContract,
  PAYOUT_ACCOUNT,
  readApproval,
  readMilestones,
  release,
  setPayoutAccount,
} from "../support/escrow.ts";
import { createMilestone, operate } from "../support/fixtures.ts";
import { findDisagreements, openStripeRails } from "../support/rails.ts";
import { startService } from "../support/service.ts";
import { ask, confirmNow } from "../support/stories.ts";

const rails = await openStripeRails();
const { stripe } = rails;
const { app, db, config } = await startService({}, undefined, rails);
const deps = { db, config, processor: rails.open(db), logger: createLogger("silent") };

const find = <T extends { id: string; metadata: Record<string, string> | null }>(
  all: Map<string, T>,
  { accountId }: Escrow,
): string => [...all.values()].find(({ metadata }) => metadata?.accountId === accountId)?.id ?? "";

const intentOf = (escrow: Escrow): string =>
  String(stripe.books.charges.get(find(stripe.books.charges, escrow))?.payment_intent);

/** What Stripe tells of the charge that funded the escrow. */
function tellOfCharge(escrow: Escrow, type: string): Promise<void> {
  const event = { setupId: null, sessionId: null, sent: null, accountId: escrow.accountId };
  return receiveProcessorEvent(deps, { id: newId(), type, intentId: intentOf(escrow), ...event });
}

function tellOfSent(escrow: Escrow, kind: "payout" | "refund", id: string): Promise<void> {
  const event = { type: "", intentId: null, setupId: null, sessionId: null, accountId: escrow.accountId };
  return receiveProcessorEvent(deps, { id: newId(), ...event, sent: { kind, id } });
}

async function lose(escrow: Escrow): Promise<void> {
  stripe.closeDispute(stripe.dispute(intentOf(escrow)).id, "lost");
  await tellOfCharge(escrow, "charge.dispute.closed");
}

async function available({ accountId }: Escrow): Promise<number> {
  return (await getCredits(db, accountId)).availableCents;
}

/** An escrow whose refund has come back to the account's credits, and a milestone that they have funded. */
async function createFromRefund(): Promise<Escrow> {
  const escrow = await createEscrow(app, deps);
  const { fixture } = escrow;
  await operate(app, "PUT", `/accounts/${fixture.account}`, { billing: "credits_first" });
  await confirmNow(deps, await askEnd(app, escrow));
  const refund = find(stripe.books.refunds, escrow);
  stripe.failRefund(refund);
  await tellOfSent(escrow, "refund", refund);
  expect(await available(escrow)).toBe(45_000);
  const second = { ...fixture, contract: `${fixture.contract}-2`, milestone: `${fixture.milestone}-2` };
  await operate(app, "PUT", `/accounts/${fixture.account}/contracts/${second.contract}`, {
    ...{ title: "More", jobId: "job-2", paymentType: "FIXED_PRICE" },
    freelancer: { userId: "freelancer-1", displayName: "Maria G." },
  });
  await setPayoutAccount(app, second, PAYOUT_ACCOUNT);
  await createMilestone(app, second, second.milestone);
  await confirmNow(deps, await ask(app, second, second.milestone));
  expect(await available(escrow)).toBe(0);
  return { ...escrow, fixture: second, milestones: [second.milestone] };
}

describe("a card that is charged back after its money became credits", () => {
  test("releases nothing while the dispute is open, and can still be given back", async () => {
    const escrow = await createFromRefund();
    const { status } = stripe.dispute(intentOf(escrow));
    await tellOfCharge(escrow, "charge.dispute.created");
    const { token, milestone } = escrow.fixture;
    const refused = await release(app, token, milestone);
    expect(refused.body.details).toEqual({ reason: "payment_disputed", status });
    await confirmNow(deps, await askEnd(app, escrow));
    expect(await readMilestones(app, escrow)).toEqual(["REFUNDED"]);
    expect(await findDisagreements(db, rails)).toEqual([]);
  });

  test("takes the credits back when it is lost, below zero, and releases nothing until they are paid", async () => {
    const escrow = await createFromRefund();
    await lose(escrow);
    expect(await available(escrow)).toBe(-45_000);
    const { token, milestone, account } = escrow.fixture;
    const disputed = { reason: "payment_disputed", status: "credits_below_zero" };
    expect((await release(app, token, milestone)).body.details).toEqual(disputed);
    await operate(app, "POST", `/accounts/${account}/credits/adjustments`, {
      amountCents: 45_000,
      note: "Paid",
    });
    stripe.addBalance(45_000);
    await confirmNow(deps, await askRelease(app, escrow));
    expect(await readMilestones(app, escrow)).toEqual(["PAID"]);
    expect(await findDisagreements(db, rails)).toEqual([]);
  });
});

describe("what a bank left of a payment that it took back in part", () => {
  const takeBack: [string, (escrow: Escrow) => Promise<void>][] = [
    [
      "a dispute about a part",
      async (escrow) => {
        const dispute = stripe.dispute(intentOf(escrow), "fraudulent", 35_000);
        stripe.closeDispute(dispute.id, "lost");
      },
    ],
    [
      "a dispute about the rest, after a refund that then failed",
      async (escrow) => {
        const refund = stripe.refund(intentOf(escrow), 10_000);
        await tellOfCharge(escrow, "charge.refunded");
        stripe.closeDispute(stripe.dispute(intentOf(escrow)).id, "lost");
        stripe.failRefund(refund.id);
      },
    ],
  ];
  test.each(takeBack)("by %s, goes to the credits, as the terms say", async (_, take) => {
    const escrow = await createEscrow(app, deps);
    await take(escrow);
    await tellOfCharge(escrow, "charge.dispute.closed");
    const { token, milestone } = escrow.fixture;
    expect((await release(app, token, milestone)).body.details.reason).toBe("payment_disputed");
    const end = await askEnd(app, escrow);
    const asked = await findForHuman(db, [escrow.accountId], end.approvalId);
    expect(asked?.terms).toMatchObject({ refunds: [{ amountCents: 10_000, to: "credits" }] });
    await confirmNow(deps, end);
    expect(await readApproval(app, escrow, end)).toMatchObject({
      status: "confirmed",
      result: {
        contractEnded: true,
        refunds: [{ milestoneId: milestone, amountCents: 10_000, to: "credits" }],
      },
    });
    expect(await readMilestones(app, escrow)).toEqual(["REFUNDED"]);
    expect(await available(escrow)).toBe(10_000);
    expect(await findDisagreements(db, rails)).toEqual([]);
  });

  test("is not signed for by those who agreed to an end before", async () => {
    const escrow = await createEscrow(app, deps);
    const end = await askEnd(app, escrow);
    const dispute = stripe.dispute(intentOf(escrow), "fraudulent", 35_000);
    await tellOfCharge(escrow, "charge.dispute.created");
    await expect(confirmNow(deps, end)).rejects.toMatchObject({ problem: "already_decided" });
    stripe.closeDispute(dispute.id, "lost");
    await tellOfCharge(escrow, "charge.dispute.closed");
    const again = await askEnd(app, escrow);
    expect(again).not.toEqual(end);
    expect(await readApproval(app, escrow, end)).toMatchObject({ status: "expired" });
    await confirmNow(deps, again);
    expect(await available(escrow)).toBe(10_000);
    expect(await findDisagreements(db, rails)).toEqual([]);
  });
});

describe("money that comes back of a milestone that a bank has taken money of", () => {
  test("as its payout makes up for the loss first, and nothing is held that nobody could refund", async () => {
    const escrow = await createEscrow(app, deps);
    await confirmNow(deps, await askRelease(app, escrow));
    await lose(escrow);
    const transfer = find(stripe.books.transfers, escrow);
    stripe.reverseTransfer(transfer);
    await tellOfSent(escrow, "payout", transfer);
    expect(await readMilestones(app, escrow)).toEqual(["REFUNDED"]);
    expect(await available(escrow)).toBe(0);
    const { fixture } = escrow;
    expect((await endContract(app, fixture.token, fixture.contract)).status).toBe(200);
    expect(await findDisagreements(db, rails)).toEqual([]);
  });

  test("as its payout, of which a part is lost, is held for the rest, which is refunded", async () => {
    const escrow = await createEscrow(app, deps);
    await confirmNow(deps, await askRelease(app, escrow));
    stripe.refund(intentOf(escrow), 10_000);
    await tellOfCharge(escrow, "charge.refunded");
    const transfer = find(stripe.books.transfers, escrow);
    stripe.reverseTransfer(transfer);
    await tellOfSent(escrow, "payout", transfer);
    expect(await readMilestones(app, escrow)).toEqual(["ACTIVE_FUNDED"]);
    await confirmNow(deps, await askEnd(app, escrow));
    expect(await readMilestones(app, escrow)).toEqual(["REFUNDED"]);
    expect(stripe.books.charges.get(find(stripe.books.charges, escrow))?.amount_refunded).toBe(45_000);
    expect(await findDisagreements(db, rails)).toEqual([]);
  });

  test("as a refund at the processor that fails goes to the credits, each part of it", async () => {
    const escrow = await createEscrow(app, deps);
    const parts = [stripe.refund(intentOf(escrow), 20_000), stripe.refund(intentOf(escrow), 25_000)];
    await tellOfCharge(escrow, "charge.refunded");
    expect(await readMilestones(app, escrow)).toEqual(["REFUNDED"]);
    for (const { id } of parts) {
      stripe.failRefund(id);
      await tellOfCharge(escrow, "refund.failed");
    }
    expect(await available(escrow)).toBe(45_000);
    expect(await findDisagreements(db, rails)).toEqual([]);
  });

  test("that was refunded in part while its payout was on the way is a loss, not held twice", async () => {
    const escrow = await createEscrow(app, deps);
    const asked = await askRelease(app, escrow);
    const boundaries = async (boundary: string, moment: string) => {
      if (`${boundary}:${moment}` !== "write-submitted:after") return;
      stripe.refund(intentOf(escrow), 10_000);
      await tellOfCharge(escrow, "charge.refunded");
    };
    await confirmNow({ ...deps, boundaries }, asked);
    expect(await readMilestones(app, escrow)).toEqual(["PAID"]);
    expect(await findDisagreements(db, rails)).toEqual([]);
  });
});
