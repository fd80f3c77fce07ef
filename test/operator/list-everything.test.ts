import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import type { Db } from "../../src/database/connection.ts";
import { accountKey } from "../../src/lib/ids.ts";
import * as lists from "../../src/operator/list-store.ts";
import { expectRefusal } from "../http/expectations.ts";
import { call, createFixture, createMilestone, fund, operate } from "../support/fixtures.ts";
import { ownerOf } from "../support/owner.ts";
import { tablesReadWhole } from "../support/plans.ts";
import { OPERATOR_KEY, PUBLIC_URL, startService } from "../support/service.ts";
import { confirmNow, createStories, type Story } from "../support/stories.ts";

const { app, db, config, connection } = await startService();
const deps = { db, config, processor: createSandbox(db, PUBLIC_URL) };

/** Reads every page of a list, three at a time. */
async function readAll(path: string, key: string): Promise<any[]> {
  const all: any[] = [];
  const query = path.includes("?") ? "&" : "?";
  for (let cursor: string | null = ""; cursor !== null; ) {
    const at: string = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const page = await operate(app, "GET", `${path}${query}limit=3${at}`);
    expect(Object.keys(page)).toEqual([key, "nextCursor"]);
    expect(page[key].length).toBeLessThanOrEqual(3);
    all.push(...page[key]);
    cursor = page.nextCursor;
  }
  return all;
}

const newestFirst = (all: { createdAt: string }[]) => {
  const times = all.map(({ createdAt }) => createdAt);
  expect(times).toEqual([...times].sort().reverse());
};

describe("the operator's lists", () => {
  test("show every account once, newest first, page by page", async () => {
    const made: string[] = [];
    for (let i = 0; i < 7; i++) made.push((await createFixture(app, { card: false })).account);
    const all = await readAll("/accounts", "accounts");
    newestFirst(all);
    const ids = all.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.slice(0, 7)).toEqual(made.reverse());
  });

  test("show an account's tokens, members, milestones and webhooks, newest first, page by page", async () => {
    const fixture = await createFixture(app);
    const { account } = fixture;
    for (let i = 0; i < 4; i++) {
      await operate(app, "POST", `/accounts/${account}/tokens`, { name: `Token ${i}`, scopes: [] });
      await operate(app, "POST", `/accounts/${account}/members`, {
        email: `m${i}@example.com`,
        name: `Member ${i}`,
        role: "viewer",
      });
      await createMilestone(app, fixture, `${fixture.milestone}-${i}`);
    }
    const { tokens } = await operate(app, "GET", `/accounts/${account}/tokens?limit=1`);
    await operate(app, "DELETE", `/accounts/${account}/tokens/${tokens[0].id}`);
    await operate(app, "POST", `/accounts/${account}/milestones/${fixture.milestone}/cancel`);
    const read = (key: string) => readAll(`/accounts/${account}/${key}`, key);
    const listed = { tokens: await read("tokens"), members: await read("members") };
    expect(listed.tokens.map(({ name, status }) => `${name} ${status}`)).toEqual([
      "Token 3 revoked",
      "Token 2 active",
      "Token 1 active",
      "Token 0 active",
      "Test agent active",
    ]);
    expect(listed.members.map(({ name }) => name)).toEqual(["Member 3", "Member 2", "Member 1", "Member 0"]);
    const milestones = await read("milestones");
    expect(milestones.map(({ id, status }) => `${id.slice(fixture.milestone.length)} ${status}`)).toEqual([
      "-3 NOT_FUNDED",
      "-2 NOT_FUNDED",
      "-1 NOT_FUNDED",
      "-0 NOT_FUNDED",
      " CANCELLED",
    ]);
    expect(await read("webhooks")).toEqual([]);
  });

  test("refuse a cursor that was not given, with its field", async () => {
    const { account } = await createFixture(app);
    const paths = ["/accounts", "/approvals", "/payments", "/audit"];
    for (const key of ["tokens", "members", "milestones", "webhooks", "audit"])
      paths.push(`/accounts/${account}/${key}`);
    for (const path of paths) {
      const token = OPERATOR_KEY;
      const answer = await call(app, "GET", `/api/operator/v1${path}?cursor=nonsense`, { token });
      expectRefusal(answer, 400, "BAD_REQUEST", { field: "cursor" });
      const limit = await call(app, "GET", `/api/operator/v1${path}?limit=201`, { token });
      expect(limit.body.details, path).toEqual({ field: "limit" });
    }
  });
});

describe("the list of approvals", () => {
  test("shows each as it reads now: one that has expired under that status, before any sweep has written it", async () => {
    const { account, milestone, token } = await createFixture(app);
    const { approval } = (await fund(app, token, milestone)).body;
    const read = async (status: string) =>
      (await readAll(`/approvals?accountId=${account}&status=${status}`, "approvals")).map(({ id }) => id);
    expect(await read("pending")).toEqual([approval.id]);
    expect(await read("expired")).toEqual([]);
    await sql`alter table approvals disable trigger approvals_terms`.execute(ownerOf(db));
    await sql`update approvals set created_at = now() - interval '4 days', expires_at = now() - interval '1 day'
      where id = ${approval.id}`.execute(ownerOf(db));
    await sql`alter table approvals enable trigger approvals_terms`.execute(ownerOf(db));
    expect(await read("pending")).toEqual([]);
    expect(await read("expired")).toEqual([approval.id]);
    const [listed] = await readAll(`/approvals?accountId=${account}`, "approvals");
    expect(listed).toMatchObject({ id: approval.id, status: "expired", accountId: account });
    expect(listed).toMatchObject({ amountCents: 45_000, currency: "usd", askedBy: "Test agent" });
  });

  test("is of all accounts, filtered by account, status and time", async () => {
    const { stories } = await createStories(app, "pm_card_visa", 4);
    const [first, second] = stories as [Story, Story];
    await confirmNow(deps, first);
    const account = first.accountId;
    const all = (await readAll("/approvals", "approvals")).map(({ id }) => id);
    expect(all).toEqual(expect.arrayContaining(stories.map(({ approvalId }) => approvalId)));
    const confirmed = await readAll("/approvals?status=confirmed", "approvals");
    expect(confirmed.map(({ id }) => id)).toContain(first.approvalId);
    expect(confirmed.map(({ id }) => id)).not.toContain(second.approvalId);
    expect(await readAll("/approvals?accountId=nobody", "approvals")).toEqual([]);
    const { rows } = await sql<{ at: Date }>`
      select created_at as at from approvals where account_id = ${account} and id = ${first.approvalId}`.execute(
      db,
    );
    const since = rows[0]?.at.toISOString() ?? "";
    const later = await readAll(`/approvals?since=${since}`, "approvals");
    expect(later.map(({ createdAt }) => createdAt >= since)).not.toContain(false);
    expect(later.map(({ id }) => id)).toContain(first.approvalId);
    expect(await readAll("/approvals?since=2999-01-01T00:00:00Z", "approvals")).toEqual([]);
  });
});

test("the list of payments shows which are in doubt, and since when", async () => {
  const { stories } = await createStories(app, "pm_sandbox_timeout", 1);
  const [story] = stories as [Story];
  await confirmNow(deps, story).catch(() => {});
  const of = async (query: string) =>
    (await readAll(`/payments${query}`, "payments")).filter(
      ({ approvalId }) => approvalId === story.approvalId,
    );
  expect(await of("")).toMatchObject([{ kind: "charge", status: "unknown", inDoubtSince: null }]);
  expect(await of("?status=in_doubt")).toEqual([]);
  await sql`update payments set created_at = now() - interval '1 hour' where approval_id = ${story.approvalId}`.execute(
    ownerOf(db),
  );
  const [doubtful] = await of("?status=in_doubt");
  expect(Date.parse(doubtful.inDoubtSince)).toBe(Date.parse(doubtful.createdAt) + 15 * 60_000);
  expect(doubtful).toMatchObject({ amountCents: 45_000, attempt: 0, refusalCode: null, resolvedAt: null });
  expect(await of(`?status=in_doubt&accountId=${doubtful.accountId}`)).toEqual([doubtful]);
});

test("each list reads its page by an index, however much there is", async () => {
  const accountId = accountKey("acct-1");
  const before = "01900000-0000-7000-8000-000000000000";
  const since = new Date();
  const place = { at: since, id: accountId };
  const reads: [string, (db: Db) => Promise<unknown>][] = [
    ["accounts", (spy) => lists.listAccounts(spy, place, 51)],
    ["waiting", (spy) => lists.listOldestPending(spy, 51)],
    ["paying", (spy) => lists.listUnderWay(spy, 51)],
    ["webhooks", (spy) => lists.listFailingWebhooks(spy, 51)],
  ];
  for (const bounds of [{}, { before }, { accountId }, { accountId, before }, { since }]) {
    for (const status of ["pending", "confirmed", "declined", "expired"] as const)
      reads.push([`approvals ${status}`, (spy) => lists.listApprovals(spy, [status], bounds, 51)]);
    for (const status of ["created", "succeeded", "in_doubt"] as const)
      reads.push([`payments ${status}`, (spy) => lists.listPayments(spy, [status], bounds, 51)]);
  }
  for (const [name, read] of reads) {
    const whole = await tablesReadWhole(connection, read);
    // The pause is one row.
    expect(
      whole.filter((table) => table !== "payment_pause"),
      name,
    ).toEqual([]);
  }
});
