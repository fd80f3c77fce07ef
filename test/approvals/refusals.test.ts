import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { SCOPES } from "../../src/lib/scopes.ts";
import { bytesOf, expectRefusal } from "../http/expectations.ts";
import {
  digestRows,
  endTokens,
  expire,
  readApprovalRow,
  setMilestoneStatus,
  startExecuting,
  unclaim,
} from "../http/rows.ts";
import {
  call,
  createFixture,
  type Fixture,
  type FixtureOptions,
  fund,
  operate,
} from "../support/fixtures.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";

const { app, db } = await startService();

const RESOURCE_METADATA = `Bearer resource_metadata="${PUBLIC_URL}/.well-known/oauth-protected-resource"`;
const claim = {
  reason: "account_claim_required",
  action: "fund milestones",
  claimUrl: `${PUBLIC_URL}/claim`,
};
const noCard = { reason: "payment_method_required", billingUrl: `${PUBLIC_URL}/billing` };

const endContract = (fixture: Fixture) =>
  operate(app, "PUT", `/accounts/${fixture.account}/contracts/${fixture.contract}`, { status: "ended" });
const cancel = (fixture: Fixture) =>
  operate(app, "POST", `/accounts/${fixture.account}/milestones/${fixture.milestone}/cancel`);
const setFeature = ({ account }: Fixture, on: boolean) =>
  operate(app, "PUT", `/accounts/${account}`, { features: { public_api_payments_write: on } });

async function removeCards({ account }: Fixture): Promise<void> {
  const { paymentMethods } = await operate(app, "GET", `/accounts/${account}/payment-methods`);
  for (const { id } of paymentMethods)
    await operate(app, "DELETE", `/accounts/${account}/payment-methods/${id}`);
}

describe("POST /milestones/{milestoneId}/fund refuses, and writes nothing", () => {
  test("a call without a token: 401, with the address of the API's description", async () => {
    const { milestone } = await createFixture(app);
    const answer = await call(app, "POST", `/milestones/${milestone}/fund`);
    expectRefusal(answer, 401, "UNAUTHORIZED");
    expect(answer.headers["www-authenticate"]).toBe(RESOURCE_METADATA);
  });

  test.each<[string, FixtureOptions, number, string, Record<string, unknown>]>([
    [
      "a token without payments:write: where a human mints one",
      { scopes: ["payments:read", "jobs:write"] },
      403,
      "FORBIDDEN",
      {
        requiredScopes: ["payments:write"],
        grantedScopes: ["payments:read", "jobs:write"],
        tokensUrl: `${PUBLIC_URL}/settings/keys`,
      },
    ],
    [
      "such a token of an unclaimed account: the claim instead, as that is what the agent lacks",
      { scopes: ["payments:read"], claimed: false },
      403,
      "FORBIDDEN",
      { requiredScopes: ["payments:write"], grantedScopes: ["payments:read"], ...claim },
    ],
    [
      "an account whose feature was never switched on",
      { features: {} },
      403,
      "FORBIDDEN",
      { featureKey: "public_api_payments_write" },
    ],
    [
      "an account whose feature is off",
      { features: { public_api_payments_write: false, public_api_credits: true } },
      403,
      "FORBIDDEN",
      { featureKey: "public_api_payments_write" },
    ],
    ["an unclaimed account", { claimed: false }, 403, "FORBIDDEN", claim],
    ["an account without a card", { card: false }, 409, "CONFLICT", noCard],
  ])("%s", async (_name, options, status, code, details) => {
    const fixture = await createFixture(app, options);
    const before = await digestRows(db);
    expectRefusal(await fund(app, fixture.token, fixture.milestone), status, code, details);
    expect(await digestRows(db)).toEqual(before);
  });

  test("an ended contract, a cancelled milestone, one that is funded, paid or refunded: 409 with its reason", async () => {
    const ended = await createFixture(app);
    await endContract(ended);
    expectRefusal(await fund(app, ended.token, ended.milestone), 409, "CONFLICT", {
      reason: "contract_ended",
      contractId: ended.contract,
    });
    const cancelled = await createFixture(app);
    await cancel(cancelled);
    expectRefusal(await fund(app, cancelled.token, cancelled.milestone), 409, "CONFLICT", {
      reason: "milestone_cancelled",
    });
    const moved = await createFixture(app);
    for (const status of ["ACTIVE_FUNDED", "PAID", "REFUNDED"] as const) {
      await setMilestoneStatus(db, moved, status);
      const details = { reason: "milestone_not_fundable", status };
      expectRefusal(await fund(app, moved.token, moved.milestone), 409, "CONFLICT", details);
    }
  });

  test("another account's milestone, with the bytes of an unknown one, whatever its state", async () => {
    const { token } = await createFixture(app);
    const unknown = `milestone-${newId().slice(-12)}`;
    const nothing = await fund(app, token, unknown);
    expectRefusal(nothing, 404, "NOT_FOUND", { resource: "milestones", milestoneId: unknown });
    const theirs = await createFixture(app);
    const pending = await createFixture(app);
    await fund(app, pending.token, pending.milestone);
    const ended = await createFixture(app, { card: false });
    await endContract(ended);
    for (const { milestone } of [theirs, pending, ended]) {
      expect(bytesOf(await fund(app, token, milestone), milestone)).toBe(bytesOf(nothing, unknown));
    }
  });
});

describe("of several conflicts the one that stands higher in the contract answers", () => {
  const faults = { ended: endContract, cancelled: cancel, paid: setPaid, cardless: removeCards };
  const paid = { reason: "milestone_not_fundable", status: "PAID" };
  // A contract with a funded milestone does not end.
  function setPaid(fixture: Fixture) {
    return setMilestoneStatus(db, fixture, "PAID");
  }

  // An ended contract comes last, as nothing under it can be changed any more.
  test.each<[(keyof typeof faults)[], Record<string, unknown>]>([
    [["cancelled", "cardless", "ended"], { reason: "contract_ended" }],
    [["paid", "cardless", "ended"], { reason: "contract_ended" }],
    [["cardless", "ended"], { reason: "contract_ended" }],
    [["cancelled", "cardless"], { reason: "milestone_cancelled" }],
    [["paid", "cardless"], paid],
  ])("%j", async (names, details) => {
    const fixture = await createFixture(app);
    for (const name of names) await faults[name](fixture);
    const contractId = details.reason === "contract_ended" ? { contractId: fixture.contract } : {};
    const answer = await fund(app, fixture.token, fixture.milestone);
    expectRefusal(answer, 409, "CONFLICT", { ...details, ...contractId });
  });
});

describe("the checks run also while an approval is pending, which stays as it is", () => {
  const addCard = ({ account }: Fixture) =>
    operate(app, "POST", `/accounts/${account}/payment-methods`, { paymentMethod: "pm_card_visa" });
  const claimAgain = ({ account }: Fixture) => operate(app, "PUT", `/accounts/${account}`, { claimed: true });

  test.each<[string, (f: Fixture) => Promise<unknown>, number, object, (f: Fixture) => Promise<unknown>]>([
    ["the card is removed", removeCards, 409, noCard, addCard],
    [
      "the feature is switched off",
      (f) => setFeature(f, false),
      403,
      { featureKey: "public_api_payments_write" },
      (f) => setFeature(f, true),
    ],
    ["the account is not claimed", (f) => unclaim(db, f), 403, claim, claimAgain],
    [
      "the milestone is funded otherwise",
      (f) => setMilestoneStatus(db, f, "ACTIVE_FUNDED"),
      409,
      { reason: "milestone_not_fundable", status: "ACTIVE_FUNDED" },
      (f) => setMilestoneStatus(db, f, "NOT_FUNDED"),
    ],
  ])("%s", async (_name, spoil, status, details, mend) => {
    const fixture = await createFixture(app);
    const first = await fund(app, fixture.token, fixture.milestone);
    const row = await readApprovalRow(db, fixture, first.body.approval.id);
    await spoil(fixture);
    const refused = await fund(app, fixture.token, fixture.milestone);
    expectRefusal(refused, status, status === 403 ? "FORBIDDEN" : "CONFLICT", { ...details });
    expect(await readApprovalRow(db, fixture, first.body.approval.id)).toEqual(row);
    await mend(fixture);
    expect((await fund(app, fixture.token, fixture.milestone)).text).toBe(first.text);
  });

  test("the token is revoked", async () => {
    const fixture = await createFixture(app);
    await fund(app, fixture.token, fixture.milestone);
    await endTokens(db, fixture, "revoked");
    expectRefusal(await fund(app, fixture.token, fixture.milestone), 401, "UNAUTHORIZED");
  });

  test("money is moving for it: asking again still answers the approval", async () => {
    const fixture = await createFixture(app);
    const first = await fund(app, fixture.token, fixture.milestone);
    await startExecuting(db, fixture, first.body.approval.id);
    expect((await fund(app, fixture.token, fixture.milestone)).text).toBe(first.text);
  });
});

describe("an account with 100 pending approvals", () => {
  test("gets no further one (429), while asking again for a pending one still answers it", async () => {
    const fixture = await createFixture(app);
    const first = await fund(app, fixture.token, fixture.milestone);
    const [last, beyond] = await createMilestones(fixture, 100, { pending: 98, ofOthers: true });
    expect((await fund(app, fixture.token, last)).status).toBe(202);

    const details = { reason: "too_many_pending", limit: 100, retryAfterSeconds: 60 };
    expectRefusal(await fund(app, fixture.token, beyond), 429, "RATE_LIMITED", details);
    expect((await fund(app, fixture.token, fixture.milestone)).text).toBe(first.text);
    await cancel(fixture);
    expect((await fund(app, fixture.token, beyond)).status).toBe(202);
  });

  /** Writes milestones by the hundred, most of them with a pending approval; names the two that have none. */
  async function createMilestones(
    { account, contract, milestone }: Fixture,
    count: number,
    { pending, ofOthers = false }: { pending: number; ofOthers?: boolean },
  ): Promise<[string, string]> {
    const accountId = accountKey(account);
    await sql`
      insert into milestones (account_id, id, contract_id, number, description, amount_cents, created_at, updated_at)
      select account_id, id || '.' || i, contract_id, 1 + i, description, amount_cents, created_at, updated_at
      from milestones, generate_series(1, ${count}::integer) i
      where account_id = ${accountId} and id = ${milestone}`.execute(db);
    await sql`
      insert into approvals (account_id, id, type, contract_id, milestone_id, job_id, terms, terms_digest, co_sign,
        token_id, token_name, token_preview, root_token_id, created_at, expires_at)
      select account_id, gen_random_uuid(), type, ${contract}, milestone_id || '.' || i, job_id, terms, terms_digest,
        co_sign, token_id, token_name, token_preview,
        case when ${ofOthers} then gen_random_uuid() else root_token_id end, created_at, expires_at
      from approvals, generate_series(1, ${pending}::integer) i
      where account_id = ${accountId} and milestone_id = ${milestone}`.execute(db);
    return [`${milestone}.${count - 1}`, `${milestone}.${count}`];
  }

  test("keeps to 100 also when many ask at once", async () => {
    const fixture = await createFixture(app);
    await fund(app, fixture.token, fixture.milestone);
    await createMilestones(fixture, 128, { pending: 98, ofOthers: true });
    const ids = Array.from({ length: 30 }, (_, i) => `${fixture.milestone}.${99 + i}`);
    const answers = await Promise.all(ids.map((id) => fund(app, fixture.token, id)));
    expect(answers.filter(({ status }) => status === 202)).toHaveLength(1);
  });

  test("which one agent and its tokens asked for are 50 at most, while another agent goes on", async () => {
    const fixture = await createFixture(app);
    await fund(app, fixture.token, fixture.milestone);
    await createMilestones(fixture, 60, { pending: 48 });
    const minted = await call(app, "POST", "/api/public/v1/tokens", { token: fixture.token });
    const body = { name: "Another agent", scopes: SCOPES };
    const other = await operate(app, "POST", `/accounts/${fixture.account}/tokens`, body);
    const id = (i: number) => `${fixture.milestone}.${i}`;
    expect((await fund(app, minted.body.token, id(49))).status).toBe(202);
    const details = { reason: "too_many_pending", limit: 50, retryAfterSeconds: 60 };
    for (const token of [fixture.token, minted.body.token])
      expectRefusal(await fund(app, token, id(50)), 429, "RATE_LIMITED", details);
    expect((await fund(app, other.token, id(50))).status).toBe(202);
    // One that another agent asked for is still answered.
    expect((await fund(app, fixture.token, id(50))).status).toBe(202);
  });

  test("of which all have expired may ask again, before any sweep", async () => {
    const fixture = await createFixture(app);
    await fund(app, fixture.token, fixture.milestone);
    const [last] = await createMilestones(fixture, 101, { pending: 99 });
    const { rows } = await sql<{ id: string }>`
      select id from approvals where account_id = ${accountKey(fixture.account)}`.execute(db);
    for (const { id } of rows) await expire(db, fixture, id);
    expect((await fund(app, fixture.token, last)).status).toBe(202);
  });
});
