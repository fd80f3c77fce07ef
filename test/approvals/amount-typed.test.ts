import { describe, expect, test } from "vitest";
import { confirmApproval } from "../../src/approvals/decision-service.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { createFixture, createMilestone } from "../support/fixtures.ts";
import { createHuman } from "../support/humans.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { ask, deciderOf, putCard, readOutcome, readStatement, type Story } from "../support/stories.ts";

const { app, db, config } = await startService();
const deps = { db, config, processor: createSandbox(db, PUBLIC_URL) };
const OPERATORS = 100_000;
const PAID = { approval: "confirmed", payment: "succeeded" };
const WAITING = { approval: "pending", payment: undefined };
const REFUSED = { problem: "amount_untyped" };

/** Requests for $450 each, in an account with this policy. */
async function begin(ownCents: number | null): Promise<[Story, Story, Story]> {
  const fixture = await createFixture(app, { card: false });
  await putCard(app, fixture.account, "pm_card_visa");
  await createHuman(app, fixture.account);
  const values = { amount_typed_from_cents: ownCents };
  await db
    .updateTable("accounts")
    .set(values)
    .where("account_id", "=", accountKey(fixture.account))
    .execute();
  const stories: Story[] = [];
  for (const n of [1, 2, 3]) {
    await createMilestone(app, fixture, `${fixture.milestone}-${n}`);
    stories.push(await ask(app, fixture, `${fixture.milestone}-${n}`));
  }
  return stories as [Story, Story, Story];
}

async function confirm(story: Story, untypedBelowCents: number | undefined): Promise<void> {
  const signed = { ...(await readStatement(db, story, "confirm")), untypedBelowCents };
  await confirmApproval(deps, story, await deciderOf(db, story), signed);
}

describe("a confirmation whose amount was not typed", () => {
  test("counts until what was confirmed within 24 hours reaches the operator's amount with it", async () => {
    const [first, second, third] = await begin(null);
    await confirm(first, OPERATORS);
    await confirm(second, OPERATORS);
    await expect(confirm(third, OPERATORS)).rejects.toMatchObject(REFUSED);
    expect(await readOutcome(db, third)).toEqual(WAITING);
    await confirm(third, undefined);
    expect(await readOutcome(db, third)).toEqual(PAID);
  });

  test("is refused from the account's own amount on, which cannot be above the operator's", async () => {
    const [low] = await begin(45_000);
    await expect(confirm(low, OPERATORS)).rejects.toMatchObject(REFUSED);
    const [high] = await begin(90_000);
    await expect(confirm(high, 45_000)).rejects.toMatchObject(REFUSED);
    await confirm(high, OPERATORS);
    expect(await readOutcome(db, high)).toEqual(PAID);
  });

  test("is refused for one of two that are confirmed at once and reach the amount together", async () => {
    const [first, second] = await begin(90_000);
    const done = await Promise.allSettled([confirm(first, OPERATORS), confirm(second, OPERATORS)]);
    expect(done.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(done.find(({ status }) => status === "rejected")).toMatchObject({ reason: REFUSED });
  });
});
