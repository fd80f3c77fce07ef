import { expect, test } from "vitest";
import { declineApproval } from "../../src/approvals/decision-service.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { askRelease, createEscrow } from "../support/escrow.ts";
import { call, createFixture, fund, operate } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { findDisagreements, SANDBOX } from "../support/rails.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { confirmNow, deciderOf, readStatement } from "../support/stories.ts";

const { app, db, config } = await startService();
const deps = { db, config, processor: createSandbox(db, PUBLIC_URL) };

const withdraw = (token: string, approvalId: string) =>
  call(app, "POST", `/approvals/${approvalId}/withdraw`, { token });

test("A withdrawn request reads expired, with its reason and one event, however often it is withdrawn", async () => {
  const { token, milestone } = await createFixture(app);
  const { id } = (await fund(app, token, milestone)).body.approval;
  const { status, body } = await withdraw(token, id);
  expect(status).toBe(200);
  expect(body.approval).toMatchObject({ id, status: "expired", result: { reason: "withdrawn" } });
  expect(body.approval.resolvedAt).not.toBeNull();
  expect((await withdraw(token, id)).body).toEqual(body);
  const { events } = (await call(app, "GET", "/updates", { token })).body;
  expect(events.filter((event: any) => event.resourceId === id)).toHaveLength(1);
  expect((await fund(app, token, milestone)).body.approval.id).not.toBe(id);
});

test("A request of another root, of another account, or one that was decided cannot be withdrawn", async () => {
  const escrow = await createEscrow(app, deps);
  const { account, token } = escrow.fixture;
  const story = await askRelease(app, escrow);
  const other = await operate(app, "POST", `/accounts/${account}/tokens`, {
    name: "Other",
    scopes: ["payments:write"],
  });
  expect((await withdraw(other.token, story.approvalId)).body.details).toMatchObject({
    reason: "made_by_another_key",
  });
  const stranger = await createFixture(app);
  expect((await withdraw(stranger.token, story.approvalId)).body.details).toEqual({
    ...{ resource: "approvals", approvalId: story.approvalId },
  });
  await confirmNow(deps, story);
  expect((await withdraw(token, story.approvalId)).body.details).toEqual({
    ...{ reason: "already_decided", status: "confirmed" },
  });
});

test("A request is withdrawn or confirmed, never both, when both happen at once", async () => {
  for (let round = 1; round <= 5; round++) {
    const escrow = await createEscrow(app, deps);
    const story = await askRelease(app, escrow);
    const [withdrawn, confirmed] = await Promise.allSettled([
      withdraw(escrow.fixture.token, story.approvalId),
      confirmNow(deps, story),
    ]);
    const won = withdrawn.status === "fulfilled" && withdrawn.value.status === 200;
    expect(won).toBe(confirmed.status === "rejected");
  }
  expect(await findDisagreements(db, SANDBOX)).toEqual([]);
});

test("A decline holds the note that the person wrote, for the agent to read", async () => {
  const { account, token, milestone } = await createFixture(app);
  await createHuman(app, account);
  const { id: approvalId } = (await fund(app, token, milestone)).body.approval;
  const subject = { accountId: accountKey(account), approvalId };
  const signed = await readStatement(db, subject, "decline");
  await declineApproval(
    { db, config },
    subject,
    await deciderOf(db, subject),
    signed,
    "Too early: ask again in May.",
  );
  const { approval } = (await call(app, "GET", `/approvals/${approvalId}`, { token })).body;
  expect(approval).toMatchObject({ status: "declined", result: { note: "Too early: ask again in May." } });
  expect(await findDisagreements(db, SANDBOX)).toEqual([]);
});
