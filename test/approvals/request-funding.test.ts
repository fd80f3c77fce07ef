import { describe, expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { addSeconds } from "../../src/lib/time.ts";
import { call, createFixture, fund, operate } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { givePasskey, userIdOf } from "../support/passkeys.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const { app, db } = await startService();

const KEYS = [
  "id",
  "type",
  "status",
  "contractId",
  "milestoneId",
  "jobId",
  "proposalId",
  "approvalUrl",
  "expiresAt",
  "resolvedAt",
  "result",
  "createdAt",
];

describe("POST /milestones/{milestoneId}/fund", () => {
  test("answers 202 with a pending approval of exactly the contract's keys, in their order", async () => {
    const fixture = await createFixture(app);
    const answer = await fund(app, fixture.token, fixture.milestone);

    expect(answer.status).toBe(202);
    const { approval, message } = answer.body;
    expect(Object.keys(approval)).toEqual(KEYS);
    expect(approval).toMatchObject({
      type: "milestone_fund",
      status: "pending",
      contractId: fixture.contract,
      milestoneId: fixture.milestone,
      proposalId: null,
      approvalUrl: `${PUBLIC_URL}/approvals/${approval.id}`,
      resolvedAt: null,
      result: null,
    });
    expect(approval.expiresAt).toBe(addSeconds(new Date(approval.createdAt), 72 * 60 * 60).toISOString());
    expect(message).toContain("Nothing has been charged");
  });

  test("answers the same bytes again while one is pending, with a prefix and without", async () => {
    const fixture = await createFixture(app);
    const first = await fund(app, fixture.token, fixture.milestone);
    const again = await fund(app, fixture.token, fixture.milestone);
    const prefixed = await call(app, "POST", `/api/public/v1/milestones/${fixture.milestone}/fund`, {
      token: fixture.token,
    });
    expect(again.text).toBe(first.text);
    expect(prefixed.text).toBe(first.text);
  });

  test("stores the terms, their digest, who asked and the co-sign policy with the approval", async () => {
    const fixture = await createFixture(app);
    const { email } = await createHuman(app, fixture.account);
    await givePasskey(db, await userIdOf(db, email));
    await operate(app, "PUT", `/accounts/${fixture.account}`, { coSign: "passkey" });
    const { body } = await fund(app, fixture.token, fixture.milestone);
    const row = await db
      .selectFrom("approvals")
      .where("account_id", "=", accountKey(fixture.account))
      .where("id", "=", body.approval.id)
      .select(["terms", "terms_digest", "token_name", "token_preview", "co_sign"])
      .executeTakeFirstOrThrow();
    expect(row.terms).toEqual({
      amountCents: 45_000,
      currency: "usd",
      milestoneId: fixture.milestone,
      description: "Label 5,000 street scenes",
      contractId: fixture.contract,
      jobId: body.approval.jobId,
      payee: { userId: "freelancer-1", displayName: "Maria G.", payoutAccount: null },
    });
    expect(row.terms_digest).toHaveLength(32);
    expect(row.token_name).toBe("Test agent");
    expect(row.token_preview).toMatch(/^ot_pat_.{4}\*{8}.{4}$/);
    expect(row.co_sign).toBe("passkey");
  });
});
