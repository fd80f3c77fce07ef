import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { ask, expectRefusal } from "../http/expectations.ts";
import { setMilestoneStatus, startExecuting } from "../http/rows.ts";
import { createFixture, createMilestone, type Fixture, fund, MARIA, operate } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();

const put = ({ account, contract }: Fixture, body: unknown) =>
  ask(app, "PUT", `/accounts/${account}/contracts/${contract}`, body);
const putMilestone = ({ account, milestone }: Fixture, body: unknown) =>
  ask(app, "PUT", `/accounts/${account}/milestones/${milestone}`, body);
const readContract = async ({ account, contract }: Fixture) =>
  (await operate(app, "GET", `/accounts/${account}/contracts/${contract}`)).contract;

async function createFunded(): Promise<Fixture> {
  const fixture = await createFixture(app);
  await setMilestoneStatus(db, fixture, "ACTIVE_FUNDED");
  return fixture;
}

async function createExecuting(): Promise<Fixture> {
  const fixture = await createFixture(app);
  const { approval } = (await fund(app, fixture.token, fixture.milestone)).body;
  await startExecuting(db, fixture, approval.id);
  return fixture;
}

/** Writes past the service, as a person at the database would. */
const write = (fixture: Fixture, table: "contracts" | "milestones", change: string) => {
  const id = table === "contracts" ? fixture.contract : fixture.milestone;
  return sql`
    update ${sql.table(table)} set ${sql.raw(change)} where account_id = ${accountKey(fixture.account)} and id = ${id}`.execute(
    db,
  );
};

describe("while a milestone of a contract is funded", () => {
  test.each<[string, object]>([
    ["it does not end", { status: "ended" }],
    ["its payee stays", { freelancer: { ...MARIA, userId: "freelancer-2" } }],
    ["its payee keeps their name", { freelancer: { ...MARIA, displayName: "Jo K." } }],
    ["another payee brings no account", { freelancer: { ...MARIA, userId: "f-2", payoutAccount: "acct_2" } }],
  ])("%s: 409 milestone_funded, with the milestones", async (_name, body) => {
    const fixture = await createFunded();
    await createMilestone(app, fixture, `${fixture.milestone}.2`);
    const before = await readContract(fixture);
    const details = { reason: "milestone_funded", milestoneIds: [fixture.milestone] };
    expectRefusal(await put(fixture, body), 409, "CONFLICT", details);
    expect(await readContract(fixture)).toEqual(before);
  });

  test("the payout account alone changes: pending approvals end, owners are mailed, both accounts are recorded", async () => {
    const fixture = await createFunded();
    const owner = await createHuman(app, fixture.account);
    const sister = `${fixture.milestone}.2`;
    await createMilestone(app, fixture, sister);
    await put(fixture, { freelancer: { ...MARIA, payoutAccount: "acct_1" } });
    const { approval } = (await fund(app, fixture.token, sister)).body;
    const { status, body } = await put(fixture, { freelancer: { ...MARIA, payoutAccount: "acct_2" } });
    expect([status, body.contract.freelancer.payoutAccount]).toEqual([200, "acct_2"]);
    const ended = await db
      .selectFrom("approvals")
      .where("id", "=", approval.id)
      .select(["status", "result"])
      .executeTakeFirstOrThrow();
    expect(ended).toEqual({ status: "expired", result: { reason: "terms_changed" } });
    const { entries } = await operate(app, "GET", `/accounts/${fixture.account}/audit`);
    expect(entries[0]).toMatchObject({
      action: "payout_account_changed",
      actor: { kind: "operator" },
      subject: { kind: "contract", id: fixture.contract },
      before: { payoutAccount: "acct_1" },
      after: { payoutAccount: "acct_2" },
    });
    const mails = await db.selectFrom("mails").where("recipient", "=", owner.email).select("body").execute();
    const said = mails.filter(({ body }) => body?.includes("acct_2"));
    expect(said).toHaveLength(1);
    expect(said[0]?.body).toContain("no longer to acct_1");
  });

  test("it ends once the money has gone out", async () => {
    const fixture = await createFunded();
    await setMilestoneStatus(db, fixture, "REFUNDED");
    expect((await put(fixture, { status: "ended" })).status).toBe(200);
  });

  test("the milestone is neither moved, changed nor cancelled", async () => {
    const fixture = await createFunded();
    const other = await createFixture(app);
    await operate(app, "PUT", `/accounts/${fixture.account}/contracts/${other.contract}`, {
      title: "Other",
      jobId: "job",
      paymentType: "FIXED_PRICE",
      freelancer: { ...MARIA, userId: "freelancer-2" },
    });
    const details = { reason: "milestone_not_fundable", status: "ACTIVE_FUNDED" };
    for (const body of [{ contractId: other.contract }, { amountUsd: 1 }, { description: "Less" }])
      expectRefusal(await putMilestone(fixture, body), 409, "CONFLICT", details);
    const cancelled = await ask(
      app,
      "POST",
      `/accounts/${fixture.account}/milestones/${fixture.milestone}/cancel`,
    );
    expectRefusal(cancelled, 409, "CONFLICT", details);
  });
});

describe("the database itself refuses, for every writer", () => {
  const ending = "status = 'ended', ended_at = now()";
  test.each<[string, () => Promise<Fixture>, "contracts" | "milestones", string]>([
    ["the end of a contract with a funded milestone", createFunded, "contracts", ending],
    ["another payee of one", createFunded, "contracts", "freelancer_user_id = 'other'"],
    ["another name of its payee", createFunded, "contracts", "freelancer_name = 'Other'"],
    ["the end of a contract whose milestone is executing", createExecuting, "contracts", ending],
    ["another payee of that", createExecuting, "contracts", "freelancer_user_id = 'other'"],
    ["another payout account of that", createExecuting, "contracts", "payout_account = 'acct_9'"],
    ["another amount of a funded milestone", createFunded, "milestones", "amount_cents = 51"],
    ["the cancel of a funded milestone", createFunded, "milestones", "status = 'CANCELLED'"],
    ["another amount of an executing milestone", createExecuting, "milestones", "amount_cents = 51"],
    ["the cancel of an executing milestone", createExecuting, "milestones", "status = 'CANCELLED'"],
  ])("%s", async (_name, create, table, change) => {
    await expect(write(await create(), table, change)).rejects.toMatchObject({ code: "23001" });
  });

  test("a funded milestone moved to another contract", async () => {
    const fixture = await createFunded();
    const id = `${fixture.contract}.2`;
    await operate(app, "PUT", `/accounts/${fixture.account}/contracts/${id}`, {
      title: "Other",
      jobId: "job",
      paymentType: "FIXED_PRICE",
      freelancer: MARIA,
    });
    const moved = write(fixture, "milestones", `contract_id = '${id}', number = 9`);
    await expect(moved).rejects.toMatchObject({ code: "23001" });
  });

  test("an action that begins under a contract that has ended", async () => {
    const fixture = await createFixture(app);
    const { approval } = (await fund(app, fixture.token, fixture.milestone)).body;
    await put(fixture, { status: "ended" });
    const begun = sql`
      insert into executing_milestones (account_id, milestone_id, approval_id, started_at)
      values (${accountKey(fixture.account)}, ${fixture.milestone}, ${approval.id}, now())`.execute(db);
    await expect(begun).rejects.toMatchObject({ code: "23001" });
  });

  test("what stays free: the payout account while funded, and the rest of the contract", async () => {
    const fixture = await createFunded();
    await write(fixture, "contracts", "payout_account = 'acct_3', title = 'New', freelancer_country = null");
    expect((await readContract(fixture)).freelancer.payoutAccount).toBe("acct_3");
  });
});
