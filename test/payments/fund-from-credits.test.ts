import { describe, expect, test } from "vitest";
import { confirmApproval, type Decider } from "../../src/approvals/decision-service.ts";
import { adjustCredits, getCredits } from "../../src/billing/credit-service.ts";
import type { Processor } from "../../src/billing/processor.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { asUnavailable, inTransaction } from "../../src/database/transaction.ts";
import { canonicalDigest } from "../../src/lib/canonical.ts";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { NO_ORIGIN } from "../../src/lib/origin.ts";
import type { FundingTerms } from "../../src/lib/statement.ts";
import { createActor } from "../support/actors.ts";
import { call, createFixture, createMilestone, type Fixture, operate } from "../support/fixtures.ts";
import { createHuman, open } from "../support/humans.ts";
import { ownerOf } from "../support/owner.ts";
import { findDisagreements, SANDBOX } from "../support/rails.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { ask, confirmNow, deciderOf, readOutcome, readStatement, type Story } from "../support/stories.ts";

const { app, db, config } = await startService();
const calls: string[] = [];
const sandbox = createSandbox(db, PUBLIC_URL);
const watched: Processor = {
  ...sandbox,
  prepare: (request) => {
    calls.push(request.key);
    return sandbox.prepare(request);
  },
};
const deps = { db, config, processor: watched };
const PRICE = 45_000;

type Story2 = Awaited<ReturnType<typeof createStories>>;

/** An account that draws on its credits first, with a card on file, and what its agent asks a person for. */
async function createStories(availableCents: number, count = 1) {
  const fixture = await createFixture(app, {
    features: { public_api_payments_write: true, public_api_credits: true },
  });
  const human = await createHuman(app, fixture.account);
  await operate(app, "PUT", `/accounts/${fixture.account}`, { billing: "credits_first" });
  const accountId = accountKey(fixture.account);
  await adjust(accountId, availableCents);
  await payee(fixture);
  const story = await ask(app, fixture, fixture.milestone);
  const stories = [story];
  for (let i = 1; i < count; i++) {
    const milestone = `${fixture.milestone}-${i}`;
    await createMilestone(app, fixture, milestone);
    stories.push(await copyFor(story, milestone));
  }
  return { fixture, human, accountId, stories, story };
}

/** The same approval for another milestone: agents may have 100 pending at most. */
async function copyFor(story: Story, milestone: string): Promise<Story> {
  const { accountId } = story;
  const row = await db
    .selectFrom("approvals")
    .where("account_id", "=", accountId)
    .where("id", "=", story.approvalId)
    .selectAll()
    .executeTakeFirstOrThrow();
  const { subject_id: _, ...copied } = row;
  const terms = { ...(row.terms as FundingTerms), milestoneId: milestone };
  const approvalId = newId();
  const copy = { ...copied, id: approvalId, milestone_id: milestone, asker: JSON.stringify(row.asker) };
  const digest = canonicalDigest(terms);
  const values = { ...copy, terms: JSON.stringify(terms), terms_digest: digest, result: null };
  await ownerOf(db).insertInto("approvals").values(values).execute();
  return { ...story, approvalId, milestone };
}

/** Another owner, with a session of their own. */
async function addSecondPerson(accountId: string): Promise<Decider> {
  const userId = newId();
  const actor = await createActor(db, userId);
  const times = { created_at: new Date(), updated_at: new Date() };
  await ownerOf(db)
    .insertInto("members")
    .values({
      ...{ account_id: accountId, id: newId(), email: `${userId}@example.com`, name: "Bob", role: "owner" },
      ...{ status: "active", user_id: userId, ...times },
    })
    .execute();
  const presence = { kind: "password" as const, provedAt: new Date() };
  return { actor, name: "Bob", origin: NO_ORIGIN, presence };
}

const adjust = (accountId: string, amountCents: number) =>
  inTransaction(db, (trx) => adjustCredits(trx, { accountId, amountCents, note: "Test" }, new Date()));

async function balance({ accountId }: Pick<Story2, "accountId">) {
  const { availableCents, reservedCents } = await getCredits(db, accountId);
  return { availableCents, reservedCents };
}

const read = ({ fixture }: Story2, path: string) =>
  call(app, "GET", path, { token: fixture.token }).then(({ body }) => body);

describe("a funding where credits come first", () => {
  test("holds credits that cover it, in the confirmation alone, and asks no processor", async () => {
    const setup = await createStories(50_000);
    const { story } = setup;
    const page = await open(app, story.path, setup.human);
    expect(page.text).toContain("credits of the account");
    expect(page.text).toContain("$500.00 USD");
    const before = calls.length;
    await confirmNow(deps, story);
    expect(calls.length).toBe(before);
    expect(await readOutcome(db, story)).toEqual({ approval: "confirmed", payment: undefined });
    expect(await balance(setup)).toEqual({ availableCents: 5_000, reservedCents: PRICE });
    const { approval } = await read(setup, `/approvals/${story.approvalId}`);
    expect(approval.result).toStrictEqual({ invoiceId: expect.any(String), paymentIntentId: null });
    const { receipt } = await read(setup, `/approvals/${story.approvalId}/receipt`);
    expect(receipt).toMatchObject({
      statements: [{ statement: { source: { kind: "credits", brand: null, last4: null } } }],
      payments: [],
      credits: [{ type: "HOLD", amountCents: -PRICE, statements: [receipt.statements[0].digest] }],
    });
    const { entries } = await read(setup, "/api/public/v1/credits/ledger?limit=1");
    expect(entries).toMatchObject([
      { type: "HOLD", amountCents: -PRICE, milestoneId: story.milestone, contractId: setup.fixture.contract },
    ]);
    const { events } = await read(setup, "/updates?limit=200");
    expect(events.slice(-2).map(({ type }: { type: string }) => type)).toEqual([
      "approval.confirmed",
      "milestone.status_changed",
    ]);
    const after = await open(app, story.path, setup.human);
    expect(after.text).toContain("Funded.");
    expect(after.text).toContain("credits of the account");
    expect(await findDisagreements(db, SANDBOX)).toEqual([]);
  });

  test("charges the card when the credits do not cover the whole amount", async () => {
    const setup = await createStories(PRICE - 1);
    const page = await open(app, setup.story.path, setup.human);
    expect(page.text).toContain("Visa card ending in 4242");
    await confirmNow(deps, setup.story);
    expect(await readOutcome(db, setup.story)).toEqual({ approval: "confirmed", payment: "succeeded" });
    expect(await balance(setup)).toEqual({ availableCents: PRICE - 1, reservedCents: 0 });
  });

  test("moves nothing when the balance no longer covers what was signed, and the page says so", async () => {
    const setup = await createStories(PRICE);
    const { story, accountId } = setup;
    const signed = await readStatement(db, story, "confirm");
    await adjust(accountId, -1);
    await expect(confirmApproval(deps, story, await deciderOf(db, story), signed)).rejects.toMatchObject({
      problem: "statement_stale",
    });
    expect(await readOutcome(db, story)).toEqual({ approval: "pending", payment: undefined });
    expect(await balance(setup)).toEqual({ availableCents: PRICE - 1, reservedCents: 0 });
  });

  test("moves nothing by credits when a card was signed for, also once they would cover it", async () => {
    const setup = await createStories(PRICE - 1);
    const { story, accountId } = setup;
    const signed = await readStatement(db, story, "confirm");
    await adjust(accountId, 1);
    await expect(confirmApproval(deps, story, await deciderOf(db, story), signed)).rejects.toMatchObject({
      problem: "statement_stale",
    });
    expect(await readOutcome(db, story)).toEqual({ approval: "pending", payment: undefined });
  });

  test("still asks for a card on file", async () => {
    const fixture = await createFixture(app, { card: false });
    await operate(app, "PUT", `/accounts/${fixture.account}`, { billing: "credits_first" });
    const refused = await call(app, "POST", `/milestones/${fixture.milestone}/fund`, fixture);
    expect(refused.body.details.reason).toBe("payment_method_required");
  });

  test("confirmed 200 times at once on a balance for 100 holds exactly 100", {
    timeout: 240_000,
  }, async () => {
    const setup = await createStories(100 * PRICE, 200);
    const decider = await deciderOf(db, setup.story);
    const signed = await Promise.all(setup.stories.map((story) => readStatement(db, story, "confirm")));
    const confirm = async (story: Story, i: number): Promise<void> => {
      const shown = signed[i] as NonNullable<(typeof signed)[number]>;
      try {
        await confirmApproval(deps, story, decider, shown);
      } catch (error) {
        // Too many wait for a connection: what a browser is answered with 503, and sends again.
        if (asUnavailable(error) === undefined) throw error;
        await confirm(story, i);
      }
    };
    const done = await Promise.allSettled(setup.stories.map(confirm));
    expect(done.filter(({ status }) => status === "fulfilled")).toHaveLength(100);
    const faults = done.filter((one) => one.status === "rejected").map(({ reason }) => reason.problem);
    expect(new Set(faults)).toEqual(new Set(["statement_stale"]));
    expect(await balance(setup)).toEqual({ availableCents: 0, reservedCents: 100 * PRICE });
    expect(await findDisagreements(db, SANDBOX)).toEqual([]);
  });
});

describe("what credits have funded", () => {
  test("goes to the payee with a release, and the hold is captured", async () => {
    const setup = await createStories(PRICE);
    const { story } = setup;
    await confirmNow(deps, story);
    await confirmNow(deps, await askFor(setup, `/milestones/${story.milestone}/approve`));
    expect(await balance(setup)).toEqual({ availableCents: 0, reservedCents: 0 });
    const { entries } = await read(setup, "/api/public/v1/credits/ledger");
    expect(entries[0]).toMatchObject({ type: "CAPTURE", amountCents: 0, holdEntryId: entries[1].id });
    expect(await findDisagreements(db, SANDBOX)).toEqual([]);
  });

  test("comes back to the credits with the contract's end", async () => {
    const setup = await createStories(PRICE);
    const { fixture, story } = setup;
    await confirmNow(deps, story);
    const end = await askFor(setup, `/contracts/${fixture.contract}/end`);
    await confirmNow(deps, end);
    expect(await balance(setup)).toEqual({ availableCents: PRICE, reservedCents: 0 });
    const { entries } = await read(setup, "/api/public/v1/credits/ledger");
    expect(entries[0]).toMatchObject({
      type: "HOLD_RELEASE",
      amountCents: PRICE,
      holdEntryId: entries[1].id,
    });
    const { approval } = await read(setup, `/approvals/${end.approvalId}`);
    expect(approval.result.refunds).toEqual([
      { milestoneId: story.milestone, amountCents: PRICE, to: "credits", refundId: entries[0].id },
    ]);
    expect(await findDisagreements(db, SANDBOX)).toEqual([]);
  });

  test("needs both people where the account asks for two, and holds the credits with the second", async () => {
    const setup = await createStories(50_000);
    const { story, fixture, accountId } = setup;
    await operate(app, "PUT", `/accounts/${fixture.account}`, { secondSignerFromUsd: 450 });
    const first = await deciderOf(db, story);
    const confirmBy = async (decider: typeof first) =>
      confirmApproval(deps, story, decider, await readStatement(db, story, "confirm"));
    await confirmBy(first);
    expect(await balance(setup)).toEqual({ availableCents: 50_000, reservedCents: 0 });
    await confirmBy(first);
    expect(await balance(setup)).toEqual({ availableCents: 50_000, reservedCents: 0 });
    // What was signed for is gone meanwhile: the first signature is for another source now.
    await adjust(accountId, -10_000);
    const second = await addSecondPerson(accountId);
    await confirmBy(second);
    expect(await readOutcome(db, story)).toMatchObject({ approval: "pending" });
    await adjust(accountId, 10_000);
    await confirmBy(second);
    expect(await readOutcome(db, story)).toMatchObject({ approval: "confirmed" });
    expect(await balance(setup)).toEqual({ availableCents: 5_000, reservedCents: PRICE });
    const signers = await db
      .selectFrom("credit_signatures")
      .where("account_id", "=", accountId)
      .select("user_id")
      .execute();
    expect(new Set(signers.map(({ user_id }) => user_id)).size).toBe(2);
    expect(await findDisagreements(db, SANDBOX)).toEqual([]);
  });

  test("is not released while the available balance is below zero", async () => {
    const setup = await createStories(PRICE);
    const { fixture, story, accountId } = setup;
    await confirmNow(deps, story);
    await adjust(accountId, -1);
    const path = `/api/public/v1/milestones/${story.milestone}/approve`;
    const refused = await call(app, "POST", path, { token: fixture.token });
    expect([refused.status, refused.body.details]).toEqual([
      409,
      { reason: "payment_disputed", status: "credits_below_zero" },
    ]);
    await adjust(accountId, 1);
    expect((await call(app, "POST", path, { token: fixture.token })).status).toBe(202);
  });
});

async function payee({ account, contract }: Fixture): Promise<void> {
  await operate(app, "PUT", `/accounts/${account}/contracts/${contract}`, {
    freelancer: { userId: "freelancer-1", displayName: "Maria G.", payoutAccount: "acct_sandbox1" },
  });
}

async function askFor(setup: Story2, path: string): Promise<Story> {
  const answer = await call(app, "POST", `/api/public/v1${path}`, { token: setup.fixture.token });
  expect(answer.status, answer.text).toBe(202);
  return { ...setup.story, approvalId: answer.body.approval.id };
}
