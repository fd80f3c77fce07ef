import { expect, test } from "vitest";
import { sendApprovalMails } from "../../src/approvals/mail-service.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { extendOperatorFeed, readOperatorUpdates } from "../../src/events/operator-service.ts";
import { createEscrow, readApproval } from "../support/escrow.ts";
import { call, createFixture, operate } from "../support/fixtures.ts";
import { OPERATOR_KEY, PUBLIC_URL, startService } from "../support/service.ts";
import { confirmNow } from "../support/stories.ts";

const { app, db, config } = await startService();
const deps = { db, config, processor: createSandbox(db, PUBLIC_URL) };

test("The operator asks for a release under a token of its own, which receipts name and no list shows", async () => {
  const escrow = await createEscrow(app, deps);
  const { account, milestone } = escrow.fixture;
  const path = `/accounts/${account}/milestones/${milestone}/approve`;
  const { approval } = await operate(app, "POST", path);
  expect(approval).toMatchObject({ type: "milestone_approve", status: "pending" });
  expect((await operate(app, "POST", path)).approval.id).toBe(approval.id);
  const story = { accountId: escrow.accountId, approvalId: approval.id, milestone, path: "" };
  await confirmNow(deps, story);
  expect(await readApproval(app, escrow, story)).toMatchObject({ status: "confirmed" });
  const { receipt } = (await call(app, "GET", `/approvals/${approval.id}/receipt`, escrow.fixture)).body;
  expect(receipt.askedBy).toMatchObject({ name: "The operator", preview: "operator" });
  const { tokens } = (await call(app, "GET", "/api/public/v1/tokens", escrow.fixture)).body;
  expect(tokens.map(({ name }: any) => name)).toEqual(["Test agent"]);
  const { entries } = await operate(app, "GET", `/accounts/${account}/audit`);
  expect(entries.map(({ action }: any) => action)).toContain("approval_requested");
});

test("The operator asks for a funding, and withdraws it; agents cannot", async () => {
  const { account, milestone, token } = await createFixture(app);
  const { approval } = await operate(app, "POST", `/accounts/${account}/milestones/${milestone}/fund`);
  const foreign = await call(app, "POST", `/approvals/${approval.id}/withdraw`, { token });
  expect(foreign.body.details).toMatchObject({ reason: "made_by_another_key" });
  const withdrawn = await operate(app, "POST", `/accounts/${account}/approvals/${approval.id}/withdraw`);
  expect(withdrawn.approval).toMatchObject({ status: "expired", result: { reason: "withdrawn" } });
});

test("The operator ends a contract without funded milestones at once; a frozen account asks for nothing", async () => {
  const { account, contract, milestone } = await createFixture(app);
  await operate(app, "PUT", `/accounts/${account}`, { frozen: true });
  const path = `/api/operator/v1/accounts/${account}/milestones/${milestone}/fund`;
  const frozen = await call(app, "POST", path, { token: OPERATOR_KEY });
  expect([frozen.status, frozen.body.details]).toEqual([403, { reason: "account_frozen" }]);
  await operate(app, "PUT", `/accounts/${account}`, { frozen: false });
  const ended = await operate(app, "POST", `/accounts/${account}/contracts/${contract}/end`);
  expect(ended).toEqual({ ok: true, contractId: contract, status: "ended" });
});

test("The operator's feed says once what was asked for: amount, payee and where a human decides", async () => {
  const { account, milestone, token } = await createFixture(app);
  const { approval } = (await call(app, "POST", `/milestones/${milestone}/fund`, { token })).body;
  await sendApprovalMails({ db, config });
  await sendApprovalMails({ db, config });
  await extendOperatorFeed(db);
  const { events } = await readOperatorUpdates(db, { limit: 200 });
  const asked = events.filter(
    ({ type, resourceId }) => type === "approval.requested" && resourceId === approval.id,
  );
  expect(asked).toMatchObject([
    {
      accountId: account,
      data: {
        ...{ approvalId: approval.id, approvalType: "milestone_fund", amountCents: 45_000, currency: "usd" },
        ...{ payee: { displayName: "Maria G." }, approvalUrl: approval.approvalUrl },
      },
    },
  ]);
});
