import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { sweepExpiredApprovals } from "../../src/approvals/jobs.ts";
import { expireApprovals } from "../../src/approvals/service.ts";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { bytesOf, expectRefusal } from "../http/expectations.ts";
import { digestRows, expire, readApprovalRow, startExecuting, unclaim } from "../http/rows.ts";
import {
  call,
  createFixture,
  createMilestone,
  type Fixture,
  fund,
  MARIA,
  operate,
} from "../support/fixtures.ts";
import { ownerOf } from "../support/owner.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { fundingOf } from "../support/terms.ts";

const { app, db } = await startService();

const read = (token: string, id: string) => call(app, "GET", `/approvals/${id}`, { token });

/** An account with one approval that waits. */
async function createPending() {
  const fixture = await createFixture(app);
  const { approval } = (await fund(app, fixture.token, fixture.milestone)).body;
  return { fixture, approval };
}

/** What the feed says of the account's approvals, oldest first. */
async function readOutcomes({ token }: Fixture): Promise<Record<string, unknown>[]> {
  const { body } = await call(app, "GET", "/updates?limit=200", { token });
  const events: { type: string; data: Record<string, unknown> }[] = body.events;
  return events.filter(({ type }) => type === "approval.confirmed").map(({ data }) => data);
}

describe("GET /approvals/{approvalId}", () => {
  test("answers what the fund request answered, with a prefix and without", async () => {
    const { fixture, approval } = await createPending();
    const answer = await read(fixture.token, approval.id);
    expect(answer.status).toBe(200);
    expect(answer.text).toBe(JSON.stringify({ approval }));
    const prefixed = await call(app, "GET", `/api/public/v1/approvals/${approval.id}`, {
      token: fixture.token,
    });
    expect(prefixed.text).toBe(answer.text);
  });

  test("works for an unclaimed account, and needs payments:read", async () => {
    const { fixture, approval } = await createPending();
    await unclaim(db, fixture);
    const mint = (scopes: string[]) =>
      operate(app, "POST", `/accounts/${fixture.account}/tokens`, { name: "Reader", scopes });
    expect((await read((await mint(["payments:read"])).token, approval.id)).status).toBe(200);
    expectRefusal(await read((await mint(["jobs:read"])).token, approval.id), 403, "FORBIDDEN", {
      requiredScopes: ["payments:read"],
      grantedScopes: ["jobs:read"],
      tokensUrl: `${PUBLIC_URL}/settings/keys`,
    });
  });

  test("answers another account's approval as it answers an unknown one, byte for byte", async () => {
    const { approval } = await createPending();
    const { token } = await createFixture(app);
    const unknown = newId();
    const nothing = await read(token, unknown);
    expectRefusal(nothing, 404, "NOT_FOUND", { resource: "approvals", approvalId: unknown });
    expect(bytesOf(await read(token, approval.id), approval.id)).toBe(bytesOf(nothing, unknown));
    for (const id of ["1", "milestone-1", unknown.toUpperCase(), `{${unknown}}`]) {
      expectRefusal(await read(token, id), 404, "NOT_FOUND", { resource: "approvals", approvalId: id });
    }
  });

  test("is a page for a browser without a token, the API for a caller with a token, and 401 for the rest", async () => {
    const { fixture, approval } = await createPending();
    const accept = { accept: "text/html,application/xhtml+xml,*/*;q=0.8" };
    const open = (id: string, headers: Record<string, string> = accept) =>
      call(app, "GET", `/approvals/${id}`, { headers });
    // The page wants a person, and does not say whether there is such an approval.
    for (const id of [approval.id, newId()]) {
      const page = await open(id);
      expect([page.status, page.text]).toEqual([303, ""]);
      expect(page.headers.location).toBe(`/sign-in?return_to=${encodeURIComponent(`/approvals/${id}`)}`);
    }

    const api = await call(app, "GET", `/approvals/${approval.id}`, {
      token: fixture.token,
      headers: accept,
    });
    expect(api.body).toEqual({ approval });
    expectRefusal(await open(approval.id, { ...accept, authorization: "Basic eDp5" }), 401, "UNAUTHORIZED");
    expectRefusal(await open(approval.id, { accept: "*/*" }), 401, "UNAUTHORIZED");
    const prefixed = await call(app, "GET", `/api/public/v1/approvals/${approval.id}`, { headers: accept });
    expectRefusal(prefixed, 401, "UNAUTHORIZED");
  });
});

describe("an approval whose 72 hours have passed", () => {
  test("reads expired from that instant, without a sweep, and reading it writes nothing", async () => {
    const { fixture, approval } = await createPending();
    await expire(db, fixture, approval.id);
    const before = await digestRows(db);
    const { body } = await read(fixture.token, approval.id);
    expect(body.approval).toMatchObject({ status: "expired", result: null });
    expect(body.approval.resolvedAt).toBe(body.approval.expiresAt);
    expect(await digestRows(db)).toEqual(before);
    expect((await readApprovalRow(db, fixture, approval.id)).status).toBe("pending");
  });

  test("is flipped once, with one event, by however many sweeps at once", async () => {
    const { fixture, approval } = await createPending();
    await expire(db, fixture, approval.id);
    const seen = await read(fixture.token, approval.id);
    await Promise.all(Array.from({ length: 4 }, () => sweepExpiredApprovals(db)));
    expect(await sweepExpiredApprovals(db)).toBe(0);

    const row = await readApprovalRow(db, fixture, approval.id);
    expect([row.status, row.resolved_at]).toEqual(["expired", row.expires_at]);
    expect((await read(fixture.token, approval.id)).text).toBe(seen.text);
    expect(await readOutcomes(fixture)).toEqual([{ approvalId: approval.id, status: "expired" }]);
  });

  test("is flipped by the next fund request, with its event, and a new one takes its place", async () => {
    const { fixture, approval } = await createPending();
    await expire(db, fixture, approval.id);
    const next = await fund(app, fixture.token, fixture.milestone);
    expect(next.status).toBe(202);
    expect(next.body.approval.id).not.toBe(approval.id);
    expect((await readApprovalRow(db, fixture, approval.id)).status).toBe("expired");
    expect(await readOutcomes(fixture)).toEqual([{ approvalId: approval.id, status: "expired" }]);
  });

  test("stays pending while its payment is under way, for readers, sweeps and fund requests alike", async () => {
    const { fixture, approval } = await createPending();
    await startExecuting(db, fixture, approval.id);
    await expire(db, fixture, approval.id);
    await sweepExpiredApprovals(db);
    expect(await expireApprovals(db, accountKey(fixture.account), [approval.id])).toBe(0);
    const { body } = await read(fixture.token, approval.id);
    expect(body.approval).toMatchObject({ status: "pending", resolvedAt: null });
    expect((await fund(app, fixture.token, fixture.milestone)).body.approval.id).toBe(approval.id);
    expect(await readOutcomes(fixture)).toEqual([]);
  });
});

describe("an approval that can no longer execute as it was asked", () => {
  const contractOf = ({ account, contract }: Fixture) => `/accounts/${account}/contracts/${contract}`;
  const milestoneOf = ({ account, milestone }: Fixture) => `/accounts/${account}/milestones/${milestone}`;
  const change = (path: (fixture: Fixture) => string, body: object) => (fixture: Fixture) =>
    operate(app, "PUT", path(fixture), body);

  test.each<[string, string, (fixture: Fixture) => Promise<unknown>]>([
    ["its contract ended", "contract_ended", change(contractOf, { status: "ended" })],
    [
      "its milestone was cancelled",
      "milestone_cancelled",
      (fixture) => operate(app, "POST", `${milestoneOf(fixture)}/cancel`),
    ],
    ["the amount changed", "terms_changed", change(milestoneOf, { amountUsd: 450.01 })],
    ["the description changed", "terms_changed", change(milestoneOf, { description: "Label 6,000" })],
    ["the job changed", "terms_changed", change(contractOf, { jobId: "job-other" })],
    [
      "the payee changed",
      "terms_changed",
      change(contractOf, { freelancer: { ...MARIA, userId: "freelancer-2" } }),
    ],
    [
      "the payee's name changed",
      "terms_changed",
      change(contractOf, { freelancer: { ...MARIA, displayName: "M." } }),
    ],
    [
      "the payee's payout account changed",
      "terms_changed",
      change(contractOf, { freelancer: { ...MARIA, payoutAccount: "acct_2" } }),
    ],
  ])("%s: it is expired there and then, with the reason and its event", async (_name, reason, spoil) => {
    const { fixture, approval } = await createPending();
    await spoil(fixture);
    const { body } = await read(fixture.token, approval.id);
    expect(body.approval).toMatchObject({ status: "expired", result: { reason } });
    expect(body.approval.resolvedAt >= approval.createdAt).toBe(true);
    expect(body.approval.resolvedAt < approval.expiresAt).toBe(true);
    expect(await readOutcomes(fixture)).toEqual([{ approvalId: approval.id, status: "expired" }]);
  });

  test("is followed by a new one over the new terms", async () => {
    const { fixture, approval } = await createPending();
    await change(milestoneOf, { amountUsd: 19.99 })(fixture);
    const next = (await fund(app, fixture.token, fixture.milestone)).body.approval;
    expect(next.id).not.toBe(approval.id);
    expect(fundingOf((await readApprovalRow(db, fixture, next.id)).terms).amountCents).toBe(1999);
    expect(fundingOf((await readApprovalRow(db, fixture, approval.id)).terms).amountCents).toBe(45_000);
  });

  test("outlives changes of unsigned fields, of the same values, and of a sister milestone", async () => {
    const { fixture, approval } = await createPending();
    const sister = { ...fixture, milestone: `${fixture.milestone}.2` };
    await createMilestone(app, fixture, sister.milestone);
    await change(milestoneOf, { name: "Batch", volume: 5000, dueDate: "2027-01-31", amountUsd: 450 })(
      fixture,
    );
    await change(contractOf, { title: "New", rateUsd: 3, freelancer: { ...MARIA, country: "France" } })(
      fixture,
    );
    await change(milestoneOf, { amountUsd: 1 })(sister);
    await operate(app, "POST", `${milestoneOf(sister)}/cancel`);
    expect((await read(fixture.token, approval.id)).body.approval).toEqual(approval);
  });

  test("but had expired before, unnoticed, ends as expired", async () => {
    const { fixture, approval } = await createPending();
    await expire(db, fixture, approval.id);
    await operate(app, "POST", `${milestoneOf(fixture)}/cancel`);
    const { body } = await read(fixture.token, approval.id);
    expect(body.approval).toMatchObject({ status: "expired", result: null });
    expect(body.approval.resolvedAt).toBe(body.approval.expiresAt);
  });
});

describe("the database itself", () => {
  const where = (fixture: Fixture, id: string) =>
    sql`where account_id = ${accountKey(fixture.account)} and id = ${id}`;

  test.each(["confirmed", "declined", "expired"] as const)(
    "refuses every change of a %s approval",
    async (status) => {
      const { fixture, approval } = await createPending();
      const mine = where(fixture, approval.id);
      const result = status === "confirmed" ? JSON.stringify({ invoiceId: "inv_1" }) : null;
      await sql`update approvals set status = ${status}, resolved_at = now(), result = ${result}::jsonb ${mine}`.execute(
        db,
      );
      const refusal = /approvals rows are never changed/;
      await expect(
        sql`update approvals set status = 'pending', resolved_at = null, result = null ${mine}`.execute(db),
      ).rejects.toThrow(refusal);
      await expect(sql`update approvals set job_id = job_id ${mine}`.execute(db)).rejects.toThrow(refusal);
      // The rights of the running role refuse it before.
      await expect(sql`delete from approvals ${mine}`.execute(ownerOf(db))).rejects.toThrow(refusal);
    },
  );

  test.each([
    "expires_at = expires_at + interval '1 hour'",
    "terms = terms || '{\"amountCents\": 1}'",
    "terms_digest = decode(repeat('00', 32), 'hex')",
    "token_id = gen_random_uuid()",
    "co_sign = 'passkey'",
  ])("refuses to change what was asked while it is pending: %s", async (assignment) => {
    const { fixture, approval } = await createPending();
    const changed = sql`update approvals set ${sql.raw(assignment)} ${where(fixture, approval.id)}`;
    await expect(changed.execute(db)).rejects.toThrow(/approvals rows are never changed/);
  });
});
