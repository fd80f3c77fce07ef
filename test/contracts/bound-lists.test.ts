import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import { expectRefusal } from "../http/expectations.ts";
import { call, createFixture, type Fixture, operate } from "../support/fixtures.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";

const { app, db } = await startService();

const API = "/api/public/v1";
const LIMIT = { reason: "milestone_limit_reached", limit: 1_000, limitBytes: 1_048_576 };
const TOO_LARGE = { reason: "list_too_large", narrowBy: ["jobId", "status"] };

const create = ({ token, contract }: Fixture, description = "More") =>
  call(app, "POST", `${API}/contracts/${contract}/milestones`, {
    token,
    body: { description, amountUsd: 1 },
  });
const put = ({ account, contract }: Fixture, id: string, body: object = {}) =>
  call(app, "PUT", `/api/operator/v1/accounts/${account}/milestones/${id}`, {
    token: OPERATOR_KEY,
    body: { contractId: contract, description: "More", amountUsd: 1, ...body },
  });
const list = ({ token }: Fixture, query = "") => call(app, "GET", `${API}/contracts${query}`, { token });

/** Adds milestones to a contract, each with a description of that many characters. */
async function fill(
  { account }: Fixture,
  contract: string,
  count: number,
  { characters = 1, status = "NOT_FUNDED" }: { characters?: number; status?: string } = {},
): Promise<void> {
  await sql`
    insert into milestones (account_id, id, contract_id, number, description, amount_cents, status, created_at, updated_at)
    select ${accountKey(account)}::uuid, ${contract} || '-' || n || ${status}, ${contract},
      (select coalesce(max(number), 0) from milestones where account_id = ${accountKey(account)} and contract_id = ${contract}) + n,
      repeat('x', ${characters}), 100, ${status}, now(), now()
    from generate_series(1, ${count}::integer) n`.execute(db);
}

describe("a contract", () => {
  test("a contract takes its 1,000th milestone and no other, also when many come at once", async () => {
    const fixture = await createFixture(app);
    await fill(fixture, fixture.contract, 994);
    const answers = await Promise.all([
      ...Array.from({ length: 8 }, () => create(fixture)),
      ...Array.from({ length: 8 }, (_, i) => put(fixture, `put-${i}`)),
    ]);
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(5);
    for (const answer of answers.filter(({ status }) => status !== 201))
      expectRefusal(answer, 409, "CONFLICT", LIMIT);
    const { body } = await call(app, "GET", `${API}/contracts/${fixture.contract}`, fixture);
    expect(body.contract.milestones).toHaveLength(1_000);
  });

  test("a contract holds 1 MiB of milestone text in bytes, also after a change of a milestone", async () => {
    const fixture = await createFixture(app);
    await fill(fixture, fixture.contract, 209, { characters: 5_000 });
    expect((await create(fixture, "x".repeat(3_000))).status).toBe(201);
    expectRefusal(await create(fixture, "€".repeat(500)), 409, "CONFLICT", LIMIT);
    const longer = { description: "€".repeat(500) };
    expectRefusal(await put(fixture, fixture.milestone, longer), 409, "CONFLICT", LIMIT);
    expect((await put(fixture, fixture.milestone, { description: "Less" })).status).toBe(200);
  });

  test("a milestone takes lines and tabs but no other control characters, as each is six bytes in JSON", async () => {
    const fixture = await createFixture(app);
    for (const text of ["\u0001", "a\u000bb", "\u001b[2J"]) {
      expectRefusal(await create(fixture, text), 400, "BAD_REQUEST", { field: "description" });
      const named = await put(fixture, fixture.milestone, { name: text });
      expectRefusal(named, 400, "BAD_REQUEST", { field: "name" });
    }
    expect((await create(fixture, "One\r\n\tTwo")).body.milestone.description).toBe("One\r\n\tTwo");
  });

  test("cancelled and refunded milestones do not count towards a contract's limits", async () => {
    const fixture = await createFixture(app);
    await fill(fixture, fixture.contract, 1_000, { status: "CANCELLED" });
    await fill(fixture, fixture.contract, 1_000, { status: "REFUNDED" });
    await fill(fixture, fixture.contract, 999);
    expectRefusal(await create(fixture), 409, "CONFLICT", LIMIT);
    await operate(app, "POST", `/accounts/${fixture.account}/milestones/${fixture.milestone}/cancel`);
    expect((await create(fixture)).status).toBe(201);
    expect((await list(fixture)).body.contracts[0].milestones).toHaveLength(1_000);
  });
});

describe("a list of contracts", () => {
  test("a list that is too large is refused, while a part of it and each contract can be read", async () => {
    const fixture = await createFixture(app);
    const contracts = Array.from({ length: 7 }, (_, i) => `full-${i}`);
    for (const id of contracts) {
      await operate(app, "PUT", `/accounts/${fixture.account}/contracts/${id}`, {
        title: "Full",
        jobId: id === "full-0" ? "job-0" : "job-more",
        paymentType: "FIXED_PRICE",
        freelancer: { userId: "freelancer-2", displayName: "Jo K." },
      });
      await fill(fixture, id, 209, { characters: 5_000 });
    }
    const whole = await list(fixture);
    expect([whole.status, whole.body.contracts?.length]).toEqual([200, 8]);
    await fill(fixture, fixture.contract, 209, { characters: 5_000 });

    expectRefusal(await list(fixture), 409, "CONFLICT", TOO_LARGE);
    const operators = `/api/operator/v1/accounts/${fixture.account}/contracts`;
    expectRefusal(await call(app, "GET", operators, { token: OPERATOR_KEY }), 409, "CONFLICT", TOO_LARGE);
    const part = await list(fixture, "?jobId=job-more&status=active");
    expect([part.status, part.body.contracts.length]).toEqual([200, 6]);
    const one = await call(app, "GET", `${API}/contracts/${fixture.contract}`, fixture);
    expect(one.body.contract.milestones).toHaveLength(210);
  });

  test("the list's limit counts contracts without milestones too", async () => {
    const fixture = await createFixture(app);
    await sql`
      insert into contracts (account_id, id, title, job_id, payment_type, status, freelancer_user_id, freelancer_name,
        created_at, updated_at)
      select ${accountKey(fixture.account)}::uuid, 'empty-' || n, 'Empty', 'job-empty', 'FIXED_PRICE', 'active', 'f', 'Jo',
        now(), now()
      from generate_series(1, 9000) n`.execute(db);
    expectRefusal(await list(fixture), 409, "CONFLICT", TOO_LARGE);
    expect((await list(fixture, "?jobId=nothing")).status).toBe(200);
  });
});
