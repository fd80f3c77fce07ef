import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { receiveProcessorEvent } from "../../src/approvals/processor-event-service.ts";
import type { ProcessorEvent } from "../../src/billing/processor.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { listRefunds, listTransfers } from "../../src/billing/sandbox-outgoing-store.ts";
import { newId } from "../../src/lib/ids.ts";
import {
  askEnd,
  askRelease,
  createEscrow,
  type Escrow,
  endContract,
  readApproval,
  readMilestones,
  release,
  setPayoutAccount,
} from "../support/escrow.ts";
import { mailsTo } from "../support/mails.ts";
import { findDisagreements, openStripeRails } from "../support/rails.ts";
import { failRefund, reverseTransfer } from "../support/sandbox-bank.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { confirmNow, readOutcome } from "../support/stories.ts";

const rails = await openStripeRails();
const { stripe } = rails;
const { app, db, config } = await startService({}, undefined, rails);
const deps = { db, config, processor: rails.open(db), logger: createLogger("silent") };

function tell(notice: Partial<ProcessorEvent>): Promise<void> {
  const nothing = { intentId: null, setupId: null, sessionId: null, sent: null, accountId: null };
  return receiveProcessorEvent(deps, { id: newId(), type: "", ...nothing, ...notice });
}

const intentOf = ({ accountId }: Escrow): string => {
  const [found] = [...stripe.books.intents.values()].filter(
    ({ intent }) => intent.metadata.accountId === accountId,
  );
  return found?.intent.id ?? "";
};
const sentBy = <T extends { id: string; metadata: Record<string, string> | null }>(
  all: Map<string, T>,
  { accountId }: Escrow,
): T[] => [...all.values()].filter(({ metadata }) => metadata?.accountId === accountId);

describe("a dispute about the payment that funded a milestone", () => {
  test("blocks the release and the end, says why, and lets them go on once it is won", async () => {
    const escrow = await createEscrow(app, deps);
    const { token, milestone, contract } = escrow.fixture;
    const asked = await askRelease(app, escrow);
    const intentId = intentOf(escrow);
    const dispute = stripe.dispute(intentId);
    await tell({ type: "charge.dispute.created", intentId, accountId: escrow.accountId });
    const disputed = { reason: "payment_disputed", status: dispute.status };
    expect((await release(app, token, milestone)).body.details).toEqual(disputed);
    expect((await endContract(app, token, contract)).body.details).toEqual(disputed);
    await expect(confirmNow(deps, asked)).rejects.toMatchObject({ problem: "payment_disputed" });
    stripe.closeDispute(dispute.id, "won");
    await tell({ type: "charge.dispute.closed", intentId, accountId: escrow.accountId });
    await confirmNow(deps, asked);
    expect(await readMilestones(app, escrow)).toEqual(["PAID"]);
    expect(await findDisagreements(db, rails)).toEqual([]);
  });

  test("that comes between the confirmation and the payout keeps the payout back", async () => {
    const escrow = await createEscrow(app, deps);
    const asked = await askRelease(app, escrow);
    const intentId = intentOf(escrow);
    const boundaries = async (boundary: string, moment: string) => {
      if (`${boundary}:${moment}` !== "call-search:after") return;
      stripe.dispute(intentId);
      await tell({ type: "charge.dispute.created", intentId, accountId: escrow.accountId });
    };
    await confirmNow({ ...deps, boundaries }, asked);
    expect(await readOutcome(db, asked)).toEqual({ approval: "pending", payment: "refused" });
    expect(sentBy(stripe.books.transfers, escrow)).toEqual([]);
  });

  test("that is booked after the payout is a loss, and takes nothing that is held", async () => {
    const escrow = await createEscrow(app, deps);
    await confirmNow(deps, await askRelease(app, escrow));
    const intentId = intentOf(escrow);
    stripe.closeDispute(stripe.dispute(intentId).id, "lost");
    await tell({ type: "charge.dispute.closed", intentId, accountId: escrow.accountId });
    const lines = await db
      .selectFrom("ledger_entries")
      .where("account_id", "=", escrow.accountId)
      .select((select) => ["ledger_account", select.fn.sum<string>("amount_cents").as("sum")])
      .groupBy("ledger_account")
      .execute();
    expect(Object.fromEntries(lines.map(({ ledger_account, sum }) => [ledger_account, Number(sum)]))).toEqual(
      {
        processor: -45_000,
        losses: 45_000,
        [`milestone:${escrow.fixture.milestone}`]: 0,
      },
    );
    expect(await readMilestones(app, escrow)).toEqual(["PAID"]);
  });
});

describe("money that comes back after it was booked", () => {
  test("of a refund goes to the account's credits, once, however often Stripe tells of it", async () => {
    const escrow = await createEscrow(app, deps);
    await confirmNow(deps, await askEnd(app, escrow));
    const [refund] = sentBy(stripe.books.refunds, escrow);
    stripe.failRefund(refund?.id ?? "");
    const sent = { kind: "refund", id: refund?.id ?? "" } as const;
    for (let times = 1; times <= 2; times++)
      await tell({ type: "refund.failed", sent, intentId: intentOf(escrow), accountId: escrow.accountId });
    const credits = await db
      .selectFrom("ledger_entries")
      .where("account_id", "=", escrow.accountId)
      .where("ledger_account", "like", "credits%")
      .select("amount_cents")
      .execute();
    expect(credits).toEqual([{ amount_cents: -45_000 }]);
    expect(await readMilestones(app, escrow)).toEqual(["REFUNDED"]);
    expect((await findDisagreements(db, rails)).filter((said) => said.includes(refund?.id ?? "-"))).toEqual(
      [],
    );
  });

  test("of a payout is held for its milestone again, which can be released once more", async () => {
    const escrow = await createEscrow(app, deps);
    await confirmNow(deps, await askRelease(app, escrow));
    const [transfer] = sentBy(stripe.books.transfers, escrow);
    stripe.reverseTransfer(transfer?.id ?? "");
    const sent = { kind: "payout", id: transfer?.id ?? "" } as const;
    for (let times = 1; times <= 2; times++)
      await tell({ type: "transfer.reversed", sent, accountId: escrow.accountId });
    expect(await readMilestones(app, escrow)).toEqual(["ACTIVE_FUNDED"]);
    await setPayoutAccount(app, escrow.fixture, "acct_1Elsewhere");
    const again = await askRelease(app, escrow);
    await confirmNow(deps, again);
    expect(await readApproval(app, escrow, again)).toMatchObject({ status: "confirmed" });
    expect(await readMilestones(app, escrow)).toEqual(["PAID"]);
    expect(sentBy(stripe.books.transfers, escrow).filter(({ reversed }) => !reversed)).toHaveLength(1);
  });
});

describe("a payout that comes back while its contract ends", () => {
  /** Two milestones, of which one was released: its payout comes back as the other's refund is under way. */
  async function endMeanwhile(also: (escrow: Escrow) => Promise<void> = async () => {}) {
    const escrow = await createEscrow(app, deps, { count: 2 });
    await confirmNow(deps, await askRelease(app, escrow));
    const [transfer] = sentBy(stripe.books.transfers, escrow);
    const asked = await askEnd(app, escrow);
    const boundaries = async (boundary: string, moment: string) => {
      if (`${boundary}:${moment}` !== "call-search:after") return;
      stripe.reverseTransfer(transfer?.id ?? "");
      const sent = { kind: "payout", id: transfer?.id ?? "" } as const;
      await tell({ type: "transfer.reversed", sent, accountId: escrow.accountId });
      await also(escrow);
    };
    await confirmNow({ ...deps, boundaries }, asked);
    expect(await readApproval(app, escrow, asked)).toMatchObject({
      status: "expired",
      result: { reason: "terms_changed" },
    });
    return escrow;
  }

  test("is held again, the refund is booked, and the contract goes on until its end is confirmed again", async () => {
    const escrow = await endMeanwhile();
    expect(await readMilestones(app, escrow)).toEqual(["ACTIVE_FUNDED", "REFUNDED"]);
    const mails = await mailsTo(db, escrow.human.email);
    expect(mails.at(-1)?.body).toContain("came back while it ended, so it goes on");
    const again = await askEnd(app, escrow);
    await confirmNow(deps, again);
    expect(await readApproval(app, escrow, again)).toMatchObject({
      status: "confirmed",
      result: { refunds: [{ milestoneId: escrow.milestones[0], to: "card" }] },
    });
    expect(await readMilestones(app, escrow)).toEqual(["REFUNDED", "REFUNDED"]);
    expect(await findDisagreements(db, rails)).toEqual([]);
  });

  test("leaves no request for another sum pending where the refund is refused", async () => {
    const intentOfSecond = ({ milestones }: Escrow) =>
      [...stripe.books.intents.values()].find(({ intent }) => intent.metadata.milestoneId === milestones[1])
        ?.intent.id ?? "";
    const disputes: string[] = [];
    const escrow = await endMeanwhile(async (ending) => {
      const intentId = intentOfSecond(ending);
      disputes.push(stripe.dispute(intentId).id);
      await tell({ type: "charge.dispute.created", intentId, accountId: ending.accountId });
    });
    expect(await readMilestones(app, escrow)).toEqual(["ACTIVE_FUNDED", "ACTIVE_FUNDED"]);
    for (const id of disputes) stripe.closeDispute(id, "won");
    const { accountId } = escrow;
    await tell({ type: "charge.dispute.closed", intentId: intentOfSecond(escrow), accountId });
    await confirmNow(deps, await askEnd(app, escrow));
    expect(await readMilestones(app, escrow)).toEqual(["REFUNDED", "REFUNDED"]);
    expect(await findDisagreements(db, rails)).toEqual([]);
  });
});

test("money that is refunded at the dashboard while its contract ends: no request for the old sum is left", async () => {
  const escrow = await createEscrow(app, deps);
  const intentId = intentOf(escrow);
  const asked = await askEnd(app, escrow);
  const boundaries = async (boundary: string, moment: string) => {
    if (`${boundary}:${moment}` !== "call-search:after") return;
    stripe.refund(intentId, 10_000);
    await tell({ type: "charge.refunded", intentId, accountId: escrow.accountId });
  };
  await confirmNow({ ...deps, boundaries }, asked);
  expect(await readApproval(app, escrow, asked)).toMatchObject({
    status: "expired",
    result: { reason: "terms_changed" },
  });
  const again = await askEnd(app, escrow);
  await confirmNow(deps, again);
  expect(await readApproval(app, escrow, again)).toMatchObject({
    status: "confirmed",
    result: { refunds: [{ amountCents: 35_000, to: "card" }] },
  });
  expect(await findDisagreements(db, rails)).toEqual([]);
});

test("The sandbox plays both: a refund and a payout that come back after they had succeeded", async () => {
  const service = await startService();
  const sandbox = {
    db: service.db,
    config: service.config,
    processor: createSandbox(service.db, PUBLIC_URL),
    logger: createLogger("silent"),
  };
  const tellSandbox = (kind: "payout" | "refund", id: string) =>
    receiveProcessorEvent(sandbox, {
      id: newId(),
      type: "",
      intentId: null,
      setupId: null,
      sessionId: null,
      sent: { kind, id },
      accountId: null,
    });
  const refunded = await createEscrow(service.app, sandbox);
  await confirmNow(sandbox, await askEnd(service.app, refunded));
  const paid = await createEscrow(service.app, sandbox);
  await confirmNow(sandbox, await askRelease(service.app, paid));
  const [refund] = await listRefunds(service.db, { since: new Date(0) });
  const [transfer] = await listTransfers(service.db, { since: new Date(0) });
  await failRefund(service.db, refund?.id ?? "", "expired_or_canceled_card");
  await reverseTransfer(service.db, transfer?.id ?? "");
  await tellSandbox("refund", refund?.id ?? "");
  await tellSandbox("payout", transfer?.id ?? "");
  expect(await readMilestones(service.app, refunded)).toEqual(["REFUNDED"]);
  expect(await readMilestones(service.app, paid)).toEqual(["ACTIVE_FUNDED"]);
});
