import { describe, expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { readClock } from "../../src/database/clock.ts";
import { auditAccounts } from "../../src/receipts/audit-service.ts";
import { ownClock } from "../support/clock.ts";
import { asAdmin, cloneDatabase } from "../support/clones.ts";
import { call, operate } from "../support/fixtures.ts";
import { createChain, declineNow, readReceipt } from "../support/receipts.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { confirmNow, putCard, type Story } from "../support/stories.ts";

const HOUR = 3_600;
const url = await cloneDatabase();
const clock = await ownClock(asAdmin(url));
const service = await startService({}, url);
const { app, db, config } = service;
const deps = { db, config, processor: createSandbox(db, PUBLIC_URL) };

async function readApproval(token: string, { approvalId }: Story) {
  return (await call(app, "GET", `/approvals/${approvalId}`, { token })).body.approval;
}

async function listFindings(): Promise<string[]> {
  return (await Array.fromAsync(auditAccounts(db, new Map()))).flatMap(({ findings }) => findings);
}

describe("when the database's clock is set back", () => {
  test("receipts verify when the database's clock was set back after the request", async () => {
    await clock.set(0);
    const { token, stories } = await createChain(service, 2);
    const [confirmed, declined] = stories as [Story, Story];
    await clock.set(-HOUR);
    await confirmNow(deps, confirmed);
    await declineNow(deps, declined);
    for (const story of stories) {
      const { createdAt, resolvedAt } = await readApproval(token, story);
      expect(resolvedAt >= createdAt).toBe(true);
    }
    const { receipt } = await readReceipt(service, token, confirmed);
    const signedAt = receipt.statements[0]?.signedAt ?? "";
    expect(signedAt >= receipt.approval.createdAt && signedAt <= receipt.approval.resolvedAt).toBe(true);
    expect(await listFindings()).toEqual([]);
  });

  test("payments stay in order when the clock was set back between a refused card and the next", async () => {
    await clock.set(0);
    const { token, stories, account } = await createChain(service, 1);
    const [story] = stories as [Story];
    await putCard(app, account, "pm_card_chargeDeclined");
    await confirmNow(deps, story);
    await clock.set(-HOUR);
    await putCard(app, account, "pm_card_visa");
    await confirmNow(deps, story);
    const { receipt } = await readReceipt(service, token, story);
    expect(receipt.payments.map(({ status }) => status)).toEqual(["refused", "succeeded"]);
    expect(await listFindings()).toEqual([]);
  });

  test("a payment is booked after its signature when the clock was set back in between", async () => {
    await clock.set(0);
    const { token, stories } = await createChain(service, 1);
    const [story] = stories as [Story];
    const boundaries = async (boundary: string, moment: string) => {
      if (boundary === "call-execute" && moment === "before") await clock.set(-HOUR);
    };
    await confirmNow({ ...deps, boundaries }, story);
    const { approval, statements } = (await readReceipt(service, token, story)).receipt;
    expect(approval.resolvedAt >= (statements[0]?.signedAt ?? "")).toBe(true);
    expect(await listFindings()).toEqual([]);
  });

  test("a cancelled approval does not end before its request when the clock was set back", async () => {
    await clock.set(0);
    const { token, stories, account } = await createChain(service, 1);
    const [story] = stories as [Story];
    await clock.set(-HOUR);
    await operate(app, "POST", `/accounts/${account}/milestones/${story.milestone}/cancel`);
    const { createdAt, resolvedAt } = await readApproval(token, story);
    expect(resolvedAt).toBe(createdAt);
  });
});

test("an approval ended in its last seconds has no time in the future", async () => {
  await clock.set(0);
  const { token, stories, account } = await createChain(service, 1);
  const [story] = stories as [Story];
  await clock.set(config.approvalTtlSeconds - 8);
  await operate(app, "POST", `/accounts/${account}/milestones/${story.milestone}/cancel`);
  const { expiresAt, resolvedAt, result } = await readApproval(token, story);
  expect(result).toEqual({ reason: "milestone_cancelled" });
  expect(resolvedAt < expiresAt).toBe(true);
  expect(resolvedAt <= (await readClock(db)).toISOString()).toBe(true);
});
