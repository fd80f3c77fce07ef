import { describe, expect, test } from "vitest";
import { ask, expectRefusal } from "../http/expectations.ts";
import { call, createFixture, type Fixture, fund, operate } from "../support/fixtures.ts";
import { startService } from "../support/service.ts";

const { app } = await startService();

const read = async ({ token }: Fixture) =>
  (await call(app, "GET", "/updates?limit=200", { token })).body.events as Record<string, unknown>[];
const jobOf = ({ contract }: Fixture) => contract.replace("contract-", "job-");

/** What the feed says from its third event on: the first two tell of the fixture's contract and milestone. */
const readSince = async (fixture: Fixture) =>
  (await read(fixture))
    .slice(2)
    .map(({ type, resourceId, jobId, data }) => ({ type, resourceId, jobId, data }));

describe("the feed tells", () => {
  test("of a contract and a milestone that are new", async () => {
    const fixture = await createFixture(app);
    const { contract, milestone } = fixture;
    const jobId = jobOf(fixture);
    expect(await read(fixture)).toMatchObject([
      {
        id: "1",
        type: "contract.created",
        resourceId: contract,
        jobId,
        data: { contractId: contract, jobId, proposalId: null },
      },
      {
        id: "2",
        type: "milestone.status_changed",
        resourceId: milestone,
        jobId,
        data: { milestoneId: milestone, contractId: contract, status: "NOT_FUNDED" },
      },
    ]);
  });

  test("of a contract's proposal", async () => {
    const fixture = await createFixture(app);
    await operate(app, "PUT", `/accounts/${fixture.account}/contracts/${fixture.contract}.2`, {
      title: "Second",
      jobId: "job-2",
      proposalId: "proposal-2",
      paymentType: "PAY_PER_LABEL",
      freelancer: { userId: "f", displayName: "F." },
    });
    const contractId = `${fixture.contract}.2`;
    expect(await readSince(fixture)).toEqual([
      {
        type: "contract.created",
        resourceId: contractId,
        jobId: "job-2",
        data: { contractId, jobId: "job-2", proposalId: "proposal-2" },
      },
    ]);
  });

  test("of a cancelled milestone, and of the approval that ends with it", async () => {
    const fixture = await createFixture(app);
    const { approval } = (await fund(app, fixture.token, fixture.milestone)).body;
    const cancel = `/accounts/${fixture.account}/milestones/${fixture.milestone}/cancel`;
    await operate(app, "POST", cancel);
    await operate(app, "POST", cancel);
    const jobId = jobOf(fixture);
    expect(await readSince(fixture)).toEqual([
      {
        type: "milestone.status_changed",
        resourceId: fixture.milestone,
        jobId,
        data: { milestoneId: fixture.milestone, contractId: fixture.contract, status: "CANCELLED" },
      },
      {
        type: "approval.confirmed",
        resourceId: approval.id,
        jobId,
        data: { approvalId: approval.id, status: "expired" },
      },
    ]);
  });

  test("of every approval that a contract's end takes along, once each", async () => {
    const fixture = await createFixture(app);
    const second = `${fixture.milestone}.2`;
    await operate(app, "PUT", `/accounts/${fixture.account}/milestones/${second}`, {
      contractId: fixture.contract,
      description: "More",
      amountUsd: 2,
    });
    const ids = [
      (await fund(app, fixture.token, fixture.milestone)).body.approval.id,
      (await fund(app, fixture.token, second)).body.approval.id,
    ];
    const path = `/accounts/${fixture.account}/contracts/${fixture.contract}`;
    for (let i = 0; i < 2; i++) await operate(app, "PUT", path, { status: "ended" });
    const ended = (await readSince(fixture)).filter(({ type }) => type === "approval.confirmed");
    expect(ended.map(({ resourceId }) => resourceId).sort()).toEqual(ids.sort());
  });

  test("nothing of a fund request, of a repeat, and of what changes nothing that it speaks of", async () => {
    const fixture = await createFixture(app);
    const account = `/accounts/${fixture.account}`;
    await fund(app, fixture.token, fixture.milestone);
    await fund(app, fixture.token, fixture.milestone);
    await operate(app, "PUT", account, { name: "Other" });
    await operate(app, "PUT", `${account}/contracts/${fixture.contract}`, { title: "Other" });
    await operate(app, "PUT", `${account}/milestones/${fixture.milestone}`, { name: "Other" });
    await operate(app, "POST", `${account}/payment-methods`, { paymentMethod: "pm_card_visa" });
    expect(await readSince(fixture)).toEqual([]);
  });

  test("nothing of a change that is refused", async () => {
    const fixture = await createFixture(app);
    const path = `/accounts/${fixture.account}/contracts/${fixture.contract}`;
    await operate(app, "PUT", path, { status: "ended" });
    expect((await ask(app, "PUT", path, { title: "Too late" })).status).toBe(409);
    const milestone = `/accounts/${fixture.account}/milestones/${fixture.milestone}.2`;
    const body = { contractId: fixture.contract, description: "x", amountUsd: 1 };
    expect((await ask(app, "PUT", milestone, body)).status).toBe(409);
    expect(await readSince(fixture)).toEqual([]);
  });
});

describe("POST /accounts/{id}/events passes on", () => {
  test.each([
    "proposal.received",
    "proposal.status_changed",
    "message.received",
    "contract.budget_state_changed",
  ])("%s, as the operator sent it", async (type) => {
    const fixture = await createFixture(app);
    const data = { proposalId: "p-1", status: "SHORTLISTED", nested: [{ ok: true }] };
    const sent = { type, resourceId: "p-1", jobId: "job-1", data };
    const { status, body } = await ask(app, "POST", `/accounts/${fixture.account}/events`, sent);
    expect(status).toBe(201);
    expect(body.event).toMatchObject({ id: "3", apiVersion: "v1", ...sent });
    expect((await read(fixture)).slice(2)).toEqual([body.event]);
    const twin = await operate(app, "GET", `/accounts/${fixture.account}/events?cursor=2`);
    expect(twin.events).toEqual([{ ...body.event, accountId: fixture.account }]);
    expect(twin).toMatchObject({ nextCursor: "3", hasMore: false });
  });

  test("one with nothing but a type and a resource", async () => {
    const fixture = await createFixture(app);
    const sent = { type: "message.received", resourceId: "m-1" };
    const { body } = await ask(app, "POST", `/accounts/${fixture.account}/events`, sent);
    expect(body.event).toMatchObject({ jobId: null, data: {} });
  });

  test("none with a bad or an unknown field", async () => {
    const changes: [object, string][] = [
      [{ type: "approval.confirmed" }, "type"],
      [{ type: "milestone.status_changed" }, "type"],
      [{ type: "milestone.status_changed" }, "type"],
      [{ type: "nonsense" }, "type"],
      [{ type: undefined }, "type"],
      [{ resourceId: undefined }, "resourceId"],
      [{ resourceId: "" }, "resourceId"],
      [{ resourceId: "x".repeat(129) }, "resourceId"],
      [{ jobId: "a b" }, "jobId"],
      [{ jobId: 7 }, "jobId"],
      [{ data: [] }, "data"],
      [{ data: null }, "data"],
      [{ data: "text" }, "data"],
      [{ createdAt: "2026-11-23T09:30:00.000Z" }, "createdAt"],
      [{ id: "7" }, "id"],
    ];
    const fixture = await createFixture(app);
    for (const [change, field] of changes) {
      const sent = { type: "message.received", resourceId: "m-1", ...change };
      const answer = await ask(app, "POST", `/accounts/${fixture.account}/events`, sent);
      expectRefusal(answer, 400, "BAD_REQUEST", { field });
    }
    expect(await readSince(fixture)).toEqual([]);
  });

  test("none to an account that is not there", async () => {
    const sent = { type: "message.received", resourceId: "m-1" };
    const answer = await ask(app, "POST", "/accounts/nobody/events", sent);
    expectRefusal(answer, 404, "NOT_FOUND", { resource: "accounts", accountId: "nobody" });
  });
});
