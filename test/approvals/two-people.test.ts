import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { confirmApproval, type Decider, declineApproval } from "../../src/approvals/decision-service.ts";
import { findForHuman } from "../../src/approvals/human-store.ts";
import { readSigning } from "../../src/approvals/second-signer-service.ts";
import { statementOf } from "../../src/approvals/statement-rules.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import type { MemberRole } from "../../src/database/schema.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { NO_ORIGIN } from "../../src/lib/origin.ts";
import { createActor } from "../support/actors.ts";
import { createFixture, createMilestone, operate } from "../support/fixtures.ts";
import { countWaiting } from "../support/locks.ts";
import { mailsTo } from "../support/mails.ts";
import { ownerOf } from "../support/owner.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { ask, putCard, readOutcome, readStatement, type Story } from "../support/stories.ts";

const { app, db, config } = await startService();
const deps = { db, config, processor: createSandbox(db, PUBLIC_URL) };

type Person = Decider & { email: string };

async function createPerson(account: string, name: string, role: MemberRole = "approver"): Promise<Person> {
  const userId = randomUUID();
  const email = `${userId}@example.com`;
  const now = new Date();
  await db
    .insertInto("members")
    .values({
      account_id: accountKey(account),
      id: randomUUID(),
      email,
      name,
      role,
      status: "active",
      user_id: userId,
      created_at: now,
      updated_at: now,
    })
    .execute();
  const actor = await createActor(db, userId);
  return { email, actor, name, origin: NO_ORIGIN, presence: { kind: "password", provedAt: now } };
}

/** An account with this limit, two approvers, and as many requests for $450 as are named. */
async function createWorld(secondSignerFromUsd: number | null, requests = 1, card = "pm_card_visa") {
  const fixture = await createFixture(app, { card: false });
  const { account } = fixture;
  await putCard(app, account, card);
  if (secondSignerFromUsd !== null)
    await operate(app, "PUT", `/accounts/${account}`, { secondSignerFromUsd });
  const hanna = await createPerson(account, "Hanna");
  const bob = await createPerson(account, "Bob");
  const stories: Story[] = [];
  for (let i = 1; i <= requests; i++) {
    await createMilestone(app, fixture, `${fixture.milestone}-${i}`);
    stories.push(await ask(app, fixture, `${fixture.milestone}-${i}`));
  }
  const [story] = stories as [Story];
  return { ...fixture, accountId: accountKey(account), hanna, bob, story, stories };
}

async function confirm(story: Story, person: Decider): Promise<void> {
  await confirmApproval(deps, story, person, await readStatement(db, story, "confirm"));
}

function signatures({ accountId, approvalId }: Story) {
  return db
    .selectFrom("signatures")
    .where("account_id", "=", accountId)
    .where("approval_id", "=", approvalId)
    .selectAll()
    .execute();
}

async function countCharges(accountId: string): Promise<number> {
  const charges = await db
    .selectFrom("sandbox.charges")
    .where("account_id", "=", accountId)
    .where("status", "=", "succeeded")
    .select("id")
    .execute();
  return charges.length;
}

const WAITING = { approval: "pending", payment: undefined };
const PAID = { approval: "confirmed", payment: "succeeded" };

describe("the limit", () => {
  test("one person confirms a payment below the limit", async () => {
    const { story, hanna } = await createWorld(450.01);
    await confirm(story, hanna);
    expect(await readOutcome(db, story)).toEqual(PAID);
  });

  test("a payment that reaches the limit waits for a second person and is then charged once", async () => {
    const { story, accountId, hanna, bob } = await createWorld(450);
    await confirm(story, hanna);
    expect(await readOutcome(db, story)).toEqual(WAITING);
    expect(await countCharges(accountId)).toBe(0);
    await confirm(story, bob);
    expect(await readOutcome(db, story)).toEqual(PAID);
    expect(await countCharges(accountId)).toBe(1);
  });

  test("what was confirmed within 24 hours counts, and what was before does not", async () => {
    const { stories, accountId, hanna } = await createWorld(900, 3);
    const [first, second, third] = stories as [Story, Story, Story];
    await confirm(first, hanna);
    await confirm(second, hanna);
    expect([await readOutcome(db, first), await readOutcome(db, second)]).toEqual([PAID, WAITING]);
    await ownerOf(db)
      .transaction()
      .execute(async (trx) => {
        await sql`set local session_replication_role = replica`.execute(trx);
        await sql`update payments set created_at = created_at - interval '25 hours',
          resolved_at = resolved_at - interval '24 hours 1 minute' where account_id = ${accountId}`.execute(
          trx,
        );
      });
    await confirm(third, hanna);
    expect(await readOutcome(db, third)).toEqual(PAID);
  });

  test("a limit that the operator sets or lowers after the request counts at the confirmation", async () => {
    for (const at of [null, 1000]) {
      const { story, account, hanna } = await createWorld(at);
      await operate(app, "PUT", `/accounts/${account}`, { secondSignerFromUsd: 450 });
      await confirm(story, hanna);
      expect(await readOutcome(db, story)).toEqual(WAITING);
    }
  });

  test("the limit of the request counts though the account has none any more", async () => {
    const { story, accountId, hanna } = await createWorld(450);
    await db
      .updateTable("accounts")
      .set({ second_signer_from_cents: null })
      .where("account_id", "=", accountId)
      .execute();
    await confirm(story, hanna);
    expect(await readOutcome(db, story)).toEqual(WAITING);
  });
});

describe("the first signature", () => {
  test("is mailed to the others who may decide, once", async () => {
    const { story, account, hanna, bob } = await createWorld(450);
    const viewer = await createPerson(account, "Vera", "viewer");
    await confirm(story, hanna);
    await confirm(story, hanna);
    const mails = await mailsTo(db, bob.email);
    const second = mails.filter(
      ({ subject }) => subject === "Second confirmation: fund $450.00 USD for “Maria G.”",
    );
    expect(second).toHaveLength(1);
    expect(second[0]?.body).toContain(
      `“Hanna” (${hanna.email}) has confirmed for the account “Acme”: fund $450.00 USD for “Maria G.”`,
    );
    expect(second[0]?.body).toContain(story.path);
    expect([await mailsTo(db, hanna.email), await mailsTo(db, viewer.email)]).toEqual([[], []]);
  });

  test("counts once however often the same person confirms", async () => {
    const { story, hanna, bob } = await createWorld(450);
    await confirm(story, hanna);
    await confirm(story, hanna);
    await Promise.all([confirm(story, hanna), confirm(story, hanna)]);
    expect(await readOutcome(db, story)).toEqual(WAITING);
    expect(await signatures(story)).toHaveLength(1);
    await confirm(story, bob);
    expect(await readOutcome(db, story)).toEqual(PAID);
  });

  test.each([
    ["has left", { status: "removed" as const }],
    ["is a viewer now", { role: "viewer" as const }],
  ])("counts for nothing when the person %s", async (_, change) => {
    const { story, account, accountId, hanna, bob } = await createWorld(450);
    const cara = await createPerson(account, "Cara");
    await confirm(story, hanna);
    await db
      .updateTable("members")
      .set(change)
      .where("account_id", "=", accountId)
      .where("user_id", "=", hanna.actor.userId)
      .execute();
    await confirm(story, bob);
    expect(await readOutcome(db, story)).toEqual(WAITING);
    await confirm(story, cara);
    expect(await readOutcome(db, story)).toEqual(PAID);
  });

  test("by password counts for nothing once passkeys are demanded", async () => {
    const { story, accountId, hanna, bob } = await createWorld(450);
    await confirm(story, hanna);
    const demand = db.updateTable("accounts").set({ co_sign: "passkey" });
    await demand.where("account_id", "=", accountId).execute();
    const row = await findForHuman(db, [accountId], story.approvalId);
    if (row === undefined) throw new TypeError("there is no approval");
    expect(await readSigning(db, row, statementOf(row, "confirm", ""))).toEqual({
      required: 2,
      first: undefined,
    });
    await expect(confirm(story, bob)).rejects.toMatchObject({ problem: "passkey_required" });
  });

  test("counts for nothing when another card pays, and the second person's becomes the first", async () => {
    const { story, account, accountId, hanna, bob } = await createWorld(450, 1, "pm_card_chargeDeclined");
    await confirm(story, hanna);
    await putCard(app, account, "pm_card_visa");
    await confirm(story, bob);
    expect(await readOutcome(db, story)).toEqual(WAITING);
    await confirm(story, hanna);
    expect(await readOutcome(db, story)).toEqual(PAID);
    expect(await countCharges(accountId)).toBe(1);
  });

  test("ends with the approval when the terms change", async () => {
    const { story, account, contract, hanna, bob } = await createWorld(450);
    await confirm(story, hanna);
    const page = await readStatement(db, story, "confirm");
    await operate(app, "PUT", `/accounts/${account}/milestones/${story.milestone}`, {
      contractId: contract,
      amountUsd: 451,
    });
    await expect(confirmApproval(deps, story, bob, page)).rejects.toMatchObject({
      problem: "already_decided",
    });
    expect(await readOutcome(db, story)).toEqual({ approval: "expired", payment: undefined });
  });

  test.each(["first", "second"])("can be followed by a decline of the %s person", async (which) => {
    const { story, hanna, bob } = await createWorld(450);
    await confirm(story, hanna);
    const decider = which === "first" ? hanna : bob;
    await declineApproval({ db, config }, story, decider, await readStatement(db, story, "decline"));
    expect(await readOutcome(db, story)).toEqual({ approval: "declined", payment: undefined });
    await expect(confirm(story, bob)).rejects.toMatchObject({ problem: "already_decided" });
  });

  test("counts for nothing after a declined card: both sign again", async () => {
    const { story, account, hanna, bob } = await createWorld(450, 1, "pm_card_chargeDeclined");
    await confirm(story, hanna);
    await confirm(story, bob);
    expect(await readOutcome(db, story)).toEqual({ approval: "pending", payment: "refused" });
    await confirm(story, bob);
    await putCard(app, account, "pm_card_visa");
    await confirm(story, bob);
    expect(await readOutcome(db, story)).toEqual({ approval: "pending", payment: "refused" });
    await confirm(story, hanna);
    expect(await readOutcome(db, story)).toEqual(PAID);
  });
});

describe("an attempt that two people signed", () => {
  test.each(["hanna", "bob"] as const)("is given up when %s may no longer decide", async (who) => {
    const world = await createWorld(450);
    const { story, accountId, hanna, bob } = world;
    await confirm(story, hanna);
    const boundaries = async (boundary: string, moment: string) => {
      if (boundary !== "write-signed-attempt" || moment !== "after") return;
      await db
        .updateTable("members")
        .set({ role: "viewer" })
        .where("account_id", "=", accountId)
        .where("user_id", "=", world[who].actor.userId)
        .execute();
    };
    await confirmApproval({ ...deps, boundaries }, story, bob, await readStatement(db, story, "confirm"));
    expect(await readOutcome(db, story)).toEqual({ approval: "pending", payment: "refused" });
    expect(await countCharges(accountId)).toBe(0);
  });
});

describe("at once", () => {
  test("two people who confirm make one charge", async () => {
    for (let turn = 1; turn <= 5; turn++) {
      const { story, accountId, hanna, bob } = await createWorld(450);
      await Promise.all([confirm(story, hanna), confirm(story, bob)]);
      expect(await readOutcome(db, story)).toEqual(PAID);
      expect(await countCharges(accountId)).toBe(1);
    }
  });

  test("two approvals that reach the limit together are not both paid on one person's word each", async () => {
    const { stories, accountId, hanna, bob } = await createWorld(900, 2);
    const [first, second] = stories as [Story, Story];
    // No attempt can be written until both have got as far as they can.
    const confirmed = await ownerOf(db)
      .transaction()
      .execute(async (trx) => {
        await sql`lock table payments in share mode`.execute(trx);
        const both = Promise.all([confirm(first, hanna), confirm(second, bob)]);
        await expect.poll(() => countWaiting(db)).toBe(2);
        return { both };
      });
    await confirmed.both;
    expect(await countCharges(accountId)).toBe(1);
  });

  test("as many approvals are paid on one person's word as stay below the limit, and no more", async () => {
    const { stories, accountId, hanna, bob } = await createWorld(1000, 6);
    const people = [hanna, bob];
    await Promise.all(stories.map((story, i) => confirm(story, people[i % 2] as Person)));
    expect(await countCharges(accountId)).toBe(2);
    const outcomes = await Promise.all(stories.map((story) => readOutcome(db, story)));
    expect(outcomes.filter(({ approval }) => approval === "pending")).toEqual(Array(4).fill(WAITING));
  });
});
