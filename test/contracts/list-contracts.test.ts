import { describe, expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { expectRefusal } from "../http/expectations.ts";
import { call, createFixture, createMilestone, type Fixture, operate } from "../support/fixtures.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const { app, db } = await startService();

const list = (token: string, query = "") => call(app, "GET", `/api/public/v1/contracts${query}`, { token });
const read = (token: string, id: string) => call(app, "GET", `/api/public/v1/contracts/${id}`, { token });
const idsOf = ({ body }: { body: { contracts: { id: string }[] } }) => body.contracts.map(({ id }) => id);

const CONTRACT_KEYS = [
  "id",
  "status",
  "title",
  "jobId",
  "proposalId",
  "paymentType",
  "rateUsd",
  "estimatedTotalUsd",
  "estimatedVolume",
  "hasActiveMilestone",
  "startDate",
  "endDate",
  "createdAt",
  "updatedAt",
  "freelancer",
  "milestones",
];

const MILESTONE_KEYS = [
  "id",
  "name",
  "description",
  "status",
  "amountUsd",
  "volume",
  "milestoneNumber",
  "dueDate",
  "pendingApproval",
  "needsReview",
  "invoiceId",
  "createdAt",
];

/** Adds a contract to the account, created `seconds` ago. */
async function createContract(
  { account }: Fixture,
  id: string,
  seconds: number,
  body: object = {},
): Promise<void> {
  await operate(app, "PUT", `/accounts/${account}/contracts/${id}`, {
    title: "More",
    jobId: "job-more",
    paymentType: "PAY_PER_HOUR",
    rateUsd: 12.5,
    freelancer: { userId: "freelancer-2", displayName: "Jo K." },
    ...body,
  });
  const created_at = new Date(Date.now() - seconds * 1_000);
  await db
    .updateTable("contracts")
    .set({ created_at })
    .where("account_id", "=", accountKey(account))
    .where("id", "=", id)
    .execute();
}

describe("GET /contracts", () => {
  test("the list has each contract with its milestones, with exactly the documented keys", async () => {
    const fixture = await createFixture(app);
    const { status, body } = await list(fixture.token);
    expect(status).toBe(200);
    expect(Object.keys(body)).toEqual(["contracts"]);
    const [contract] = body.contracts;
    expect(Object.keys(contract)).toEqual(CONTRACT_KEYS);
    expect(contract).toMatchObject({
      id: fixture.contract,
      status: "active",
      title: "Street scenes",
      jobId: fixture.contract.replace("contract", "job"),
      proposalId: null,
      paymentType: "FIXED_PRICE",
      rateUsd: null,
      estimatedTotalUsd: 450,
      estimatedVolume: null,
      hasActiveMilestone: false,
      startDate: contract.createdAt,
      endDate: null,
    });
    expect(contract.freelancer).toStrictEqual({
      userId: "freelancer-1",
      displayName: "Maria G.",
      country: "Spain",
      profilePath: "/profile/maria-g",
    });
    expect(Object.keys(contract.milestones[0])).toEqual(MILESTONE_KEYS);
    expect(contract.milestones).toMatchObject([
      {
        id: fixture.milestone,
        name: null,
        description: "Label 5,000 street scenes",
        status: "NOT_FUNDED",
        amountUsd: 450,
        volume: null,
        milestoneNumber: 1,
        dueDate: null,
        pendingApproval: false,
        needsReview: false,
        invoiceId: null,
      },
    ]);
  });

  test("contracts are listed newest first, and milestones by number", async () => {
    const fixture = await createFixture(app);
    await createContract(fixture, "older", 60);
    await createContract(fixture, "oldest", 120);
    for (const id of ["z", "a"]) await createMilestone(app, fixture, id);
    const answer = await list(fixture.token);
    expect(idsOf(answer)).toEqual([fixture.contract, "older", "oldest"]);
    const milestones: { id: string; milestoneNumber: number }[] = answer.body.contracts[0].milestones;
    expect(milestones.map(({ id, milestoneNumber }) => [milestoneNumber, id])).toEqual([
      [1, fixture.milestone],
      [2, "z"],
      [3, "a"],
    ]);
  });

  test("contracts are filtered by job, by status and by both", async () => {
    const fixture = await createFixture(app);
    await createContract(fixture, "active", 60);
    await createContract(fixture, "ended", 120, { status: "ended" });
    const shown = async (query: string) => idsOf(await list(fixture.token, query));
    expect(await shown("?status=active")).toEqual([fixture.contract, "active"]);
    expect(await shown("?status=ended")).toEqual(["ended"]);
    expect(await shown("?jobId=job-more")).toEqual(["active", "ended"]);
    expect(await shown("?jobId=job-more&status=ended&unknown=1")).toEqual(["ended"]);
    expect(await shown("?jobId=nothing")).toEqual([]);
  });

  test("an unknown status filter is refused", async () => {
    const { token } = await createFixture(app);
    for (const status of ["", "ACTIVE", "done", "active,ended"]) {
      const answer = await list(token, `?status=${status}`);
      expectRefusal(answer, 400, "BAD_REQUEST", { field: "status" });
    }
  });

  test("the list shows nothing of another account", async () => {
    const [mine, theirs] = [await createFixture(app), await createFixture(app)];
    expect(idsOf(await list(mine.token, `?jobId=${theirs.contract.replace("contract", "job")}`))).toEqual([]);
    expect((await list(mine.token)).text).not.toContain(theirs.contract);
  });

  test("listing contracts works before the claim and without the feature, and needs payments:read", async () => {
    const unclaimed = await createFixture(app, { claimed: false, features: {}, scopes: ["payments:read"] });
    expect((await list(unclaimed.token)).status).toBe(200);
    expect((await read(unclaimed.token, unclaimed.contract)).status).toBe(200);
    const { token, contract } = await createFixture(app, { scopes: ["proposals:write"] });
    for (const answer of [await list(token), await read(token, contract)]) {
      expectRefusal(answer, 403, "FORBIDDEN", {
        requiredScopes: ["payments:read"],
        grantedScopes: ["proposals:write"],
        tokensUrl: `${PUBLIC_URL}/settings/keys`,
      });
    }
  });
});
