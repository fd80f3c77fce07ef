import { expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { settle } from "../payments/outgoing.ts";
import { askRelease, createEscrow, setPayoutAccount } from "../support/escrow.ts";
import { call } from "../support/fixtures.ts";
import { findDisagreements, SANDBOX } from "../support/rails.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { confirmNow, createStories, putCard } from "../support/stories.ts";

const { app, db, config } = await startService();
const deps = { db, config, processor: createSandbox(db, PUBLIC_URL) };
const readPending = async (token: string) =>
  (await call(app, "GET", "/api/public/v1/payments/pending", { token })).body.payments;
const readWaiting = async (token: string) => {
  const { events } = (await call(app, "GET", "/updates?limit=200", { token })).body;
  return events.filter(({ type }: any) => type === "payment.pending");
};

test("A payment that waits for the bank is listed with its invoice's number, and the feed says so once", async () => {
  const { fixture, stories } = await createStories(app, "pm_card_authenticationRequired", 1);
  const [story] = stories;
  if (story === undefined) throw new TypeError("one card, one story");
  expect(await readPending(fixture.token)).toEqual([]);
  await confirmNow(deps, story);
  const [payment, second] = await readPending(fixture.token);
  expect(second).toBeUndefined();
  expect(payment).toEqual({
    ...{ id: expect.any(String), status: "PENDING_FUNDING", invoiceKind: "FUNDING", viewerRole: "EMPLOYER" },
    ...{ amountUsd: 450, createdAt: expect.any(String), invoiceNumber: 1 },
    ...{ job: { id: expect.any(String), title: null }, milestone: { id: story.milestone, name: null } },
  });
  expect(await readWaiting(fixture.token)).toMatchObject([
    {
      resourceId: payment.id,
      data: { invoiceId: payment.id, milestoneId: story.milestone, contractId: fixture.contract },
    },
  ]);
});

test("A refused payment voids its invoice and keeps its number; the next one has the next", async () => {
  const { fixture, stories } = await createStories(app, "pm_card_chargeDeclined", 1);
  const [story] = stories;
  if (story === undefined) throw new TypeError("one card, one story");
  await confirmNow(deps, story);
  await putCard(app, fixture.account, "pm_card_visa");
  await confirmNow(deps, story);
  const invoices = await db
    .selectFrom("invoices")
    .where("account_id", "=", story.accountId)
    .select(["number", "status", "kind"])
    .orderBy("number")
    .execute();
  expect(invoices).toEqual([
    { number: 1, status: "void", kind: "FUNDING" },
    { number: 2, status: "paid", kind: "FUNDING" },
  ]);
  expect(await readPending(fixture.token)).toEqual([]);
  expect(await findDisagreements(db, SANDBOX)).toEqual([]);
});

test("A payout that is pending is listed until it is paid", async () => {
  const escrow = await createEscrow(app, deps);
  await setPayoutAccount(app, escrow.fixture, "acct_sandbox_pending");
  await confirmNow(deps, await askRelease(app, escrow));
  const { token } = escrow.fixture;
  expect(await readPending(token)).toMatchObject([
    { status: "PENDING_PAYOUT", invoiceNumber: 2, amountUsd: 450 },
  ]);
  expect(await readWaiting(token)).toHaveLength(1);
  await settle({ name: "sandbox", rails: SANDBOX, app, db, deps }, escrow.accountId, "pays");
  expect(await readPending(token)).toEqual([]);
});
