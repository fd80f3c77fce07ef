import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { confirmApproval, type Decider, declineApproval } from "../../src/approvals/decision-service.ts";
import { findForHuman } from "../../src/approvals/human-store.ts";
import { sweepDuePayments } from "../../src/approvals/jobs.ts";
import { statementOf } from "../../src/approvals/statement-rules.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { type Decision, statementDigest } from "../../src/lib/statement.ts";
import { createActor } from "../support/actors.ts";
import { call, createFixture, type Fixture, fund, operate } from "../support/fixtures.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const { app, db, config } = await startService();
const deps = { db, config, processor: createSandbox(db, PUBLIC_URL) };
const quiet = createLogger("silent");

/** An approver of the account, as if they had accepted an invitation. */
async function createApprover(
  account: string,
  role: "owner" | "approver" | "viewer" = "approver",
): Promise<Decider> {
  const userId = randomUUID();
  const now = new Date();
  await db
    .insertInto("members")
    .values({
      account_id: accountKey(account),
      id: randomUUID(),
      email: `${userId}@example.com`,
      name: "Ann Approver",
      role,
      status: "active",
      user_id: userId,
      created_at: now,
      updated_at: now,
    })
    .execute();
  return {
    actor: await createActor(db, userId),
    name: "Ann Approver",
    origin: { address: "192.0.2.1", requestId: "request-1" },
    presence: { kind: "password", provedAt: now },
  };
}

type Waiting = Fixture & { accountId: string; approvalId: string; decider: Decider };

async function createWaiting(paymentMethod = "pm_card_visa"): Promise<Waiting> {
  const fixture = await createFixture(app, { card: false });
  await operate(app, "POST", `/accounts/${fixture.account}/payment-methods`, { paymentMethod });
  const { body } = await fund(app, fixture.token, fixture.milestone);
  const decider = await createApprover(fixture.account);
  return { ...fixture, accountId: accountKey(fixture.account), approvalId: body.approval.id, decider };
}

async function showPage({ accountId, approvalId }: Waiting, decision: Decision) {
  const row = await findForHuman(db, [accountId], approvalId);
  if (row === undefined) throw new Error("no such approval");
  const nonce = randomUUID();
  return { nonce, digest: statementDigest(statementOf(row, decision, nonce)) };
}

async function readAll(waiting: Waiting) {
  const approval = await call(app, "GET", `/approvals/${waiting.approvalId}`, { token: waiting.token });
  const contract = await call(app, "GET", `/api/public/v1/contracts/${waiting.contract}`, {
    token: waiting.token,
  });
  const updates = await call(app, "GET", "/updates?limit=200", { token: waiting.token });
  const charges = await db
    .selectFrom("sandbox.charges")
    .where("account_id", "=", waiting.accountId)
    .selectAll()
    .execute();
  const ledger = await db
    .selectFrom("ledger_entries")
    .where("account_id", "=", waiting.accountId)
    .selectAll()
    .execute();
  return {
    approval: approval.body.approval,
    contract: contract.body.contract,
    events: updates.body.events,
    charges,
    ledger,
  };
}

test("each decision leaves an audit entry with who decided, from where, and which statement they signed", async () => {
  const [confirmed, declined] = [await createWaiting(), await createWaiting()];
  const page = await showPage(confirmed, "confirm");
  await confirmApproval(deps, confirmed, confirmed.decider, page);
  await declineApproval({ db, config }, declined, declined.decider, await showPage(declined, "decline"));
  for (const [waiting, action] of [
    [confirmed, "approval_confirmed"],
    [declined, "approval_declined"],
  ] as const) {
    const entries = (await operate(app, "GET", `/accounts/${waiting.account}/audit`)).entries;
    expect(entries.filter((entry: { action: string }) => entry.action === action)).toEqual([
      expect.objectContaining({
        actor: { kind: "person", id: waiting.decider.actor.userId, name: "Ann Approver", rootId: null },
        subject: { kind: "approval", id: waiting.approvalId },
        address: "192.0.2.1",
        requestId: "request-1",
        detail: { by: "password", statement: expect.stringMatching(/^[0-9a-f]{64}$/) },
      }),
    ]);
  }
});

describe("a human confirms", () => {
  test("the money moves once, and approval, milestone, invoice, ledger and feed say so together", async () => {
    const waiting = await createWaiting();
    await confirmApproval(deps, waiting, waiting.decider, await showPage(waiting, "confirm"));
    const { approval, contract, events, charges, ledger } = await readAll(waiting);
    const { intent_id: paymentIntentId } = charges[0] ?? {};
    const result = { invoiceId: expect.any(String), paymentIntentId };
    expect(paymentIntentId).toBeDefined();
    expect(approval).toMatchObject({ status: "confirmed", result });
    expect(contract.milestones[0]).toMatchObject({
      status: "ACTIVE_FUNDED",
      invoiceId: approval.result.invoiceId,
    });
    expect(charges).toHaveLength(1);
    expect(charges[0]?.amount_cents).toBe(45_000);
    expect(ledger.map((entry) => entry.amount_cents).sort()).toEqual([-45_000, 45_000]);
    expect(events.slice(-2).map((event: { type: string; data: object }) => [event.type, event.data])).toEqual(
      [
        ["approval.confirmed", { approvalId: waiting.approvalId, status: "confirmed" }],
        [
          "milestone.status_changed",
          { milestoneId: waiting.milestone, contractId: waiting.contract, status: "ACTIVE_FUNDED" },
        ],
      ],
    );
  });

  test("a refused card leaves it pending, and another card pays", async () => {
    const waiting = await createWaiting("pm_card_chargeDeclinedInsufficientFunds");
    await confirmApproval(deps, waiting, waiting.decider, await showPage(waiting, "confirm"));
    expect((await readAll(waiting)).approval.status).toBe("pending");
    await operate(app, "POST", `/accounts/${waiting.account}/payment-methods`, {
      paymentMethod: "pm_card_visa",
    });
    await confirmApproval(deps, waiting, waiting.decider, await showPage(waiting, "confirm"));
    const after = await readAll(waiting);
    expect(after.approval.status).toBe("confirmed");
    expect(after.charges).toHaveLength(1);
  });

  test("a lost answer is settled by reading the processor's record, without a second charge", async () => {
    const waiting = await createWaiting("pm_sandbox_timeout");
    await expect(
      confirmApproval(deps, waiting, waiting.decider, await showPage(waiting, "confirm")),
    ).rejects.toThrow("lost");
    expect((await readAll(waiting)).approval.status).toBe("pending");
    await db
      .updateTable("payments")
      .set({ due_at: new Date(0) })
      .where("account_id", "=", waiting.accountId)
      .execute();
    await sweepDuePayments(deps, quiet);
    const after = await readAll(waiting);
    expect(after.approval.status).toBe("confirmed");
    expect(after.charges).toHaveLength(1);
  });

  test("terms that changed under the page are not signed", async () => {
    const waiting = await createWaiting();
    const page = await showPage(waiting, "confirm");
    await operate(app, "POST", `/accounts/${waiting.account}/payment-methods`, {
      paymentMethod: "pm_sandbox_slow",
    });
    await expect(confirmApproval(deps, waiting, waiting.decider, page)).rejects.toMatchObject({
      problem: "statement_stale",
    });
    expect((await readAll(waiting)).charges).toHaveLength(0);
  });

  test("a viewer and a stranger cannot", async () => {
    const waiting = await createWaiting();
    const viewer = await createApprover(waiting.account, "viewer");
    const page = await showPage(waiting, "confirm");
    await expect(confirmApproval(deps, waiting, viewer, page)).rejects.toMatchObject({
      problem: "not_permitted",
    });
    const stranger = { ...viewer, actor: await createActor(db, randomUUID()) };
    await expect(confirmApproval(deps, waiting, stranger, page)).rejects.toMatchObject({
      problem: "not_found",
    });
    expect((await readAll(waiting)).approval.status).toBe("pending");
  });

  test("twice at once: one goes through, the other is told", async () => {
    const waiting = await createWaiting();
    const pages = await Promise.all([showPage(waiting, "confirm"), showPage(waiting, "confirm")]);
    const outcomes = await Promise.allSettled(
      pages.map((page) => confirmApproval(deps, waiting, waiting.decider, page)),
    );
    expect(outcomes.map((outcome) => outcome.status).sort()).toEqual(["fulfilled", "rejected"]);
    expect((await readAll(waiting)).charges).toHaveLength(1);
  });
});

describe("a human declines", () => {
  test("nothing moves, the agent learns of it, and it cannot be confirmed after that", async () => {
    const waiting = await createWaiting();
    const confirm = await showPage(waiting, "confirm");
    await declineApproval({ db, config }, waiting, waiting.decider, await showPage(waiting, "decline"));
    const { approval, events, charges } = await readAll(waiting);
    expect(approval).toMatchObject({ status: "declined", result: null });
    expect(events.at(-1)).toMatchObject({ type: "approval.confirmed", data: { status: "declined" } });
    expect(charges).toHaveLength(0);
    await expect(confirmApproval(deps, waiting, waiting.decider, confirm)).rejects.toMatchObject({
      problem: "already_decided",
    });
  });
});

test("an account that demands passkeys since the request was made takes no other confirmation", async () => {
  const waiting = await createWaiting();
  await db
    .updateTable("accounts")
    .set({ co_sign: "passkey" })
    .where("account_id", "=", waiting.accountId)
    .execute();
  const confirmed = confirmApproval(deps, waiting, waiting.decider, await showPage(waiting, "confirm"));
  await expect(confirmed).rejects.toMatchObject({ problem: "passkey_required" });
  expect((await readAll(waiting)).charges).toEqual([]);
});
