import { describe, expect, test } from "vitest";
import { ask, expectRefusal } from "../http/expectations.ts";
import { startExecuting } from "../http/rows.ts";
import { createFixture, fund, MARIA, operate } from "../support/fixtures.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();

const CONTRACT = {
  title: "Street scenes",
  jobId: "job-1",
  paymentType: "FIXED_PRICE",
  freelancer: { userId: "freelancer-1", displayName: "Maria G." },
};

const put = (account: string, id: string, body: unknown) =>
  ask(app, "PUT", `/accounts/${account}/contracts/${id}`, body);
const get = async (account: string, id: string) =>
  (await operate(app, "GET", `/accounts/${account}/contracts/${id}`)).contract;

async function createAccount(): Promise<string> {
  const id = `acct-${crypto.randomUUID()}`;
  await operate(app, "PUT", `/accounts/${id}`, { name: "Acme" });
  return id;
}

describe("PUT /accounts/{id}/contracts/{contractId}", () => {
  test("creates a contract (201) with nothing for what is not named, which GET answers too", async () => {
    const account = await createAccount();
    const { status, body } = await put(account, "c-1", CONTRACT);
    expect(status).toBe(201);
    expect(body.contract).toMatchObject({
      id: "c-1",
      status: "active",
      title: "Street scenes",
      jobId: "job-1",
      proposalId: null,
      paymentType: "FIXED_PRICE",
      rateUsd: null,
      endDate: null,
      freelancer: {
        userId: "freelancer-1",
        displayName: "Maria G.",
        country: null,
        profilePath: null,
      },
      milestones: [],
    });
    const { budget, jobDmConversationId, ...contract } = await get(account, "c-1");
    expect(contract).toEqual(body.contract);
    expect([budget.contractId, jobDmConversationId]).toEqual(["c-1", null]);
    expect((await operate(app, "GET", `/accounts/${account}/contracts?jobId=job-1`)).contracts).toEqual([
      contract,
    ]);
  });

  test("sets the named keys (200), the payee whole, and leaves the others as they are", async () => {
    const account = await createAccount();
    const freelancer = {
      ...CONTRACT.freelancer,
      country: "Spain",
      profilePath: "/p",
      payoutAccount: "acct_1",
    };
    await put(account, "c", { ...CONTRACT, proposalId: "p-1", rateUsd: 12.34, freelancer });
    const { status, body } = await put(account, "c", { title: "New" });
    expect(status).toBe(200);
    expect(body.contract).toMatchObject({
      title: "New",
      jobId: "job-1",
      proposalId: "p-1",
      rateUsd: 12.34,
      freelancer,
    });
    const cleared = await put(account, "c", { proposalId: null, rateUsd: null });
    expect(cleared.body.contract).toMatchObject({ proposalId: null, rateUsd: null, freelancer });
  });

  test("gives a payee who is named without a payout account none, and never the one before", async () => {
    const account = await createAccount();
    const before = { ...CONTRACT.freelancer, country: "Spain", profilePath: "/p", payoutAccount: "acct_1" };
    await put(account, "c", { ...CONTRACT, freelancer: before });
    const next = { userId: "freelancer-2", displayName: "Jo K." };
    const { body } = await put(account, "c", { freelancer: next });
    const whole = { ...next, country: null, profilePath: null, payoutAccount: null };
    expect(body.contract.freelancer).toEqual(whole);
    expect((await get(account, "c")).freelancer).toEqual(whole);
    const [listed] = (await operate(app, "GET", `/accounts/${account}/contracts`)).contracts;
    expect(listed.freelancer).toEqual(whole);
    for (const part of [{ displayName: "J." }, { userId: "f" }, { payoutAccount: "acct_2" }, {}])
      expect((await put(account, "c", { freelancer: part })).status).toBe(400);
    expect((await get(account, "c")).freelancer).toEqual(whole);
  });

  test("the same again changes nothing, not even when it was last changed", async () => {
    const account = await createAccount();
    const first = (await put(account, "c", CONTRACT)).body;
    for (const body of [CONTRACT, {}]) {
      const again = await put(account, "c", body);
      expect([again.status, again.body]).toEqual([200, first]);
    }
  });

  test("needs what a contract cannot be without, and creates nothing otherwise", async () => {
    const account = await createAccount();
    const { title, jobId, paymentType, freelancer } = CONTRACT;
    const lacking: [object, string][] = [
      [{ jobId, paymentType, freelancer }, "title"],
      [{ title, paymentType, freelancer }, "jobId"],
      [{ title, jobId, freelancer }, "paymentType"],
      [{ title, jobId, paymentType }, "freelancer"],
      [{ title, jobId, paymentType, freelancer: { userId: "f" } }, "freelancer.displayName"],
    ];
    for (const [body, field] of lacking) {
      expectRefusal(await put(account, "c", body), 400, "BAD_REQUEST", { field });
    }
    expect((await ask(app, "GET", `/accounts/${account}/contracts/c`)).status).toBe(404);
  });

  test("refuses unknown keys and every bad value, names the field, and changes nothing", async () => {
    const account = await createAccount();
    await put(account, "c", CONTRACT);
    const before = await get(account, "c");
    const bad: [object, string][] = [
      [{ id: "other" }, "id"],
      [{ titel: "x" }, "titel"],
      [{ freelancer: { ...MARIA, name: "x" } }, "freelancer.name"],
      [{ title: "" }, "title"],
      [{ title: "x".repeat(201) }, "title"],
      [{ title: null }, "title"],
      [{ jobId: "" }, "jobId"],
      [{ jobId: "a b" }, "jobId"],
      [{ jobId: "x".repeat(65) }, "jobId"],
      [{ jobId: "job\n" }, "jobId"],
      [{ jobId: null }, "jobId"],
      [{ proposalId: "ä" }, "proposalId"],
      [{ proposalId: "x".repeat(65) }, "proposalId"],
      [{ paymentType: "fixed_price" }, "paymentType"],
      [{ paymentType: null }, "paymentType"],
      [{ status: "ENDED" }, "status"],
      [{ status: null }, "status"],
      [{ rateUsd: 0 }, "rateUsd"],
      [{ rateUsd: -1 }, "rateUsd"],
      [{ rateUsd: 0.001 }, "rateUsd"],
      [{ rateUsd: 1.005 }, "rateUsd"],
      [{ rateUsd: 1_000_000 }, "rateUsd"],
      [{ rateUsd: "12.5" }, "rateUsd"],
      [{ freelancer: null }, "freelancer"],
      [{ freelancer: [] }, "freelancer"],
      [{ freelancer: { ...MARIA, userId: "" } }, "freelancer.userId"],
      [{ freelancer: { ...MARIA, userId: "x".repeat(129) } }, "freelancer.userId"],
      [{ freelancer: { ...MARIA, displayName: "" } }, "freelancer.displayName"],
      [{ freelancer: { ...MARIA, displayName: null } }, "freelancer.displayName"],
      [{ freelancer: { ...MARIA, country: "" } }, "freelancer.country"],
      [{ freelancer: { ...MARIA, profilePath: "x".repeat(501) } }, "freelancer.profilePath"],
      [{ freelancer: { ...MARIA, payoutAccount: "x".repeat(20) } }, "freelancer.payoutAccount"],
      [{ freelancer: { ...MARIA, payoutAccount: `acct_${"x".repeat(251)}` } }, "freelancer.payoutAccount"],
      [{ freelancer: { ...MARIA, payoutAccount: "acct_\u202e1" } }, "freelancer.payoutAccount"],
      [{ freelancer: { payoutAccount: "acct_2" } }, "freelancer.userId"],
      [{ freelancer: { userId: "f" } }, "freelancer.displayName"],
    ];
    for (const [body, field] of bad) {
      expectRefusal(await put(account, "c", body), 400, "BAD_REQUEST", { field });
    }
    expect(await get(account, "c")).toEqual(before);
  });

  test("takes what lies on the edge: ids of 1 and 64 characters, one cent, names in any script", async () => {
    const account = await createAccount();
    for (const id of ["c", "x".repeat(64), "-._"]) {
      const body = { ...CONTRACT, jobId: id, proposalId: id, rateUsd: 0.01, title: "💼".repeat(200) };
      const answer = await put(account, id, body);
      expect(answer.status, id).toBe(201);
      expect(answer.body.contract).toMatchObject({ id, ...body });
    }
    const rateUsd = 999_999.99;
    expect((await put(account, "c", { rateUsd })).body.contract.rateUsd).toBe(rateUsd);
  });

  test("finds nothing at an id that cannot be one, and at an account that is not there", async () => {
    const account = await createAccount();
    for (const [sent, contractId] of [
      ["x".repeat(65), "x".repeat(65)],
      ["a%20b", "a b"],
    ] as const) {
      const answer = await put(account, sent, CONTRACT);
      expectRefusal(answer, 404, "NOT_FOUND", { resource: "contracts", contractId });
    }
    const nobody = await put("nobody", "c", CONTRACT);
    expectRefusal(nobody, 404, "NOT_FOUND", { resource: "accounts", accountId: "nobody" });
  });

  test("lets two accounts use one id for two contracts", async () => {
    const [one, other] = [await createAccount(), await createAccount()];
    for (const account of [one, other]) expect((await put(account, "c", CONTRACT)).status).toBe(201);
    await put(one, "c", { title: "Changed", status: "ended" });
    expect(await get(other, "c")).toMatchObject({ title: "Street scenes", status: "active" });
  });
});

describe("a contract that has ended", () => {
  test("stays as it was: it is neither changed, opened again, nor given milestones", async () => {
    const account = await createAccount();
    await put(account, "c", CONTRACT);
    const ended = (await put(account, "c", { status: "ended" })).body.contract;
    expect(ended).toMatchObject({ status: "ended", endDate: ended.updatedAt });
    for (const body of [{}, { status: "ended" }, { title: CONTRACT.title }]) {
      const again = await put(account, "c", body);
      expect([again.status, again.body.contract]).toEqual([200, ended]);
    }
    const elsewhere = { ...CONTRACT.freelancer, country: "Spain" };
    for (const body of [{ title: "New" }, { freelancer: elsewhere }, { status: "active" }]) {
      const details = { reason: "contract_ended", contractId: "c" };
      expectRefusal(await put(account, "c", body), 409, "CONFLICT", details);
    }
    const milestone = { contractId: "c", description: "d", amountUsd: 1 };
    const refused = await ask(app, "PUT", `/accounts/${account}/milestones/m`, milestone);
    expectRefusal(refused, 409, "CONFLICT", { reason: "contract_ended", contractId: "c" });
  });

  test("can be brought in as one", async () => {
    const account = await createAccount();
    const { status, body } = await put(account, "c", { ...CONTRACT, status: "ended" });
    expect(status).toBe(201);
    expect(body.contract).toMatchObject({ status: "ended", endDate: body.contract.createdAt });
  });
});

describe("a contract under which money is moving", () => {
  test("is neither ended nor given other terms meanwhile, while the rest can change", async () => {
    const fixture = await createFixture(app);
    const { account, contract } = fixture;
    const { approval } = (await fund(app, fixture.token, fixture.milestone)).body;
    await startExecuting(db, fixture, approval.id);
    const details = { reason: "payment_in_progress", contractId: contract };
    for (const body of [
      { status: "ended" },
      { jobId: "job-other" },
      { freelancer: { userId: "freelancer-2", displayName: "Maria G." } },
      { freelancer: { userId: "freelancer-1", displayName: "Jo K." } },
      { freelancer: { userId: "freelancer-1", displayName: "Maria G.", payoutAccount: "acct_2" } },
    ]) {
      expectRefusal(await put(account, contract, body), 409, "CONFLICT", details);
    }
    expect((await put(account, contract, { title: "New", rateUsd: 3 })).status).toBe(200);
    expect((await fund(app, fixture.token, fixture.milestone)).body.approval).toEqual(approval);
  });
});
