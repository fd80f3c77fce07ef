import { sql } from "kysely";
import { describe, expect, test, vi } from "vitest";
import { afterRestore } from "../../src/app/after-restore.ts";
import { createLogger } from "../../src/app/logger.ts";
import { cancelPayment, type PaymentDeps } from "../../src/approvals/advance-service.ts";
import { sweepDuePayments, sweepLostIntents } from "../../src/approvals/jobs.ts";
import { searchLostIntents } from "../../src/billing/lost-service.ts";
import { findLatestPayment, type PaymentRow } from "../../src/billing/payment-service.ts";
import type { Processor } from "../../src/billing/processor.ts";
import { extendOperatorFeed, readOperatorUpdates } from "../../src/events/operator-service.ts";
import { auditAccounts } from "../../src/receipts/audit-service.ts";
import { booksOf, findFaults } from "../support/books.ts";
import { backUpDatabase, cloneDatabase } from "../support/clones.ts";
import { operate } from "../support/fixtures.ts";
import { ownerOf } from "../support/owner.ts";
import { openStripeRails } from "../support/rails.ts";
import { startService, type TestService } from "../support/service.ts";
import {
  ask,
  confirmNow,
  createStories,
  putCard,
  readOutcome,
  type Stories,
  type Story,
} from "../support/stories.ts";
import { AFTER_LOSS } from "./crossings.ts";

const rails = await openStripeRails();
const { stripe } = rails;
const CREATE = "POST /v1/payment_intents";
const PAID = { approval: "confirmed", payment: "succeeded" };
const quiet = createLogger("silent");

const depsOf = ({ db, config }: TestService): PaymentDeps => ({ db, config, processor: rails.open(db) });
const chargesFor = ({ milestone }: Story) =>
  [...stripe.books.charges.values()].filter(
    ({ metadata, status, refunded }) =>
      metadata.milestoneId === milestone && status === "succeeded" && !refunded,
  );
const intentsFor = ({ milestone }: Story) =>
  [...stripe.books.intents.values()].filter(({ intent }) => intent.metadata.milestoneId === milestone);

/** What is wrong in the books of a story's account: other tests' are at this Stripe, too. */
async function faultsIn({ db }: TestService, { accountId }: Story): Promise<string[]> {
  const { charges, intents } = booksOf(stripe);
  const own = (one: { account_id: string | null }) => one.account_id === accountId;
  const audits = await Array.fromAsync(auditAccounts(db, new Map()));
  const findings = audits.flatMap((audit) => audit.findings);
  return [
    ...findings,
    ...(await findFaults(db, { charges: charges.filter(own), intents: intents.filter(own) })),
  ];
}

type Lost = { service: TestService; restored: TestService; stories: Stories; story: Story };

/** A payment that is confirmed after a backup, which is then restored: what was committed since is lost, with the approval or without. */
async function loseAfter(
  goOn: (service: TestService, lost: { stories: Stories; story: Story }) => Promise<void>,
  {
    approval = "kept",
    card = rails.cards.pays,
  }: { approval?: "kept" | "lost"; card?: typeof rails.cards.pays } = {},
): Promise<Lost> {
  const url = await cloneDatabase();
  const service = await startService({}, url, rails);
  const stories = await createStories(service.app, card, 1);
  const [asked] = stories.stories;
  if (asked === undefined) throw new TypeError("one was made");
  const milestone = `${stories.fixture.milestone}-late`;
  const body = { contractId: stories.fixture.contract, description: "Label scenes", amountUsd: 450 };
  await operate(service.app, "PUT", `/accounts/${stories.fixture.account}/milestones/${milestone}`, body);
  const story = async () =>
    approval === "kept" ? asked : await ask(service.app, stories.fixture, milestone);
  const backup = await backUpDatabase(url);
  const paid = await story();
  await goOn(service, { stories, story: paid });
  const restored = await startService({}, backup, rails);
  return { service, restored, stories, story: paid };
}

describe("after a restore that lost a payment", () => {
  test("the person confirms again, and the payment that was made is booked: nothing is charged twice", async () => {
    const { restored, story } = await loseAfter(async (service, { story: one }) => {
      await confirmNow(depsOf(service), one);
      expect(await readOutcome(service.db, one)).toEqual(PAID);
    });
    await confirmNow(depsOf(restored), story);
    expect(await readOutcome(restored.db, story)).toEqual(PAID);
    expect(chargesFor(story)).toHaveLength(1);
    expect(await faultsIn(restored, story)).toEqual([]);
  });

  test("and its approval, the agent asks again, and the payment is booked on the new approval", async () => {
    const { restored, stories, story } = await loseAfter(
      (service, { story: one }) => confirmNow(depsOf(service), one),
      { approval: "lost" },
    );
    const again = await ask(restored.app, stories.fixture, story.milestone);
    expect(again.approvalId).not.toBe(story.approvalId);
    await confirmNow(depsOf(restored), again);
    expect(await readOutcome(restored.db, again)).toEqual(PAID);
    expect(chargesFor(story)).toHaveLength(1);
    expect(await faultsIn(restored, story)).toEqual([]);
  });

  test("long ago, so that the processor has forgotten its key, nothing is charged twice either", async () => {
    const { restored, story } = await loseAfter((service, { story: one }) =>
      confirmNow(depsOf(service), one),
    );
    stripe.books.keys.clear();
    await confirmNow(depsOf(restored), story);
    expect(await readOutcome(restored.db, story)).toEqual(PAID);
    expect(chargesFor(story)).toHaveLength(1);
  });

  test("that the card had refused, another card pays, once", async () => {
    const { restored, stories, story } = await loseAfter(
      (service, { story: one }) => confirmNow(depsOf(service), one),
      { card: rails.cards.declines },
    );
    await putCard(restored.app, stories.fixture.account, rails.cards.pays);
    await confirmNow(depsOf(restored), story);
    expect(await readOutcome(restored.db, story)).toEqual(PAID);
    expect(chargesFor(story)).toHaveLength(1);
    expect(
      intentsFor(story)
        .map(({ intent }) => intent.status)
        .sort(),
    ).toEqual(["canceled", "succeeded"]);
  });

  test("that was never confirmed at the processor, what could still move is cancelled, and one is charged", async () => {
    const { restored, story } = await loseAfter(async (service, { story: one }) => {
      const boundaries = (boundary: string) => {
        if (boundary === "call-execute") throw new Error("it died");
      };
      await confirmNow({ ...depsOf(service), boundaries }, one).catch(() => {});
    });
    expect(intentsFor(story).map(({ intent }) => intent.status)).toEqual(["requires_confirmation"]);
    await confirmNow(depsOf(restored), story);
    expect(await readOutcome(restored.db, story)).toEqual(PAID);
    expect(chargesFor(story)).toHaveLength(1);
  });

  test.for(["freezes the account", "cancels the payment"])(
    "and that it was submitted, the payment is booked even if a person %s",
    async (why) => {
      const url = await cloneDatabase();
      const service = await startService({}, url, rails);
      const { stories, fixture } = await createStories(service.app, rails.cards.pays, 1);
      const [story] = stories as [Story];
      let backup = "";
      const boundaries = async (boundary: string, moment: string) => {
        if (`${boundary}:${moment}` === "write-submitted:before") backup = await backUpDatabase(url);
      };
      await confirmNow({ ...depsOf(service), boundaries }, story);
      const restored = await startService({}, backup, rails);
      expect(await readOutcome(restored.db, story)).toEqual({ approval: "pending", payment: "created" });
      await sql`update payments set due_at = now() - interval '1 second', lease = null, leased_until = null`.execute(
        restored.db,
      );
      if (why === "freezes the account") {
        await operate(restored.app, "PUT", `/accounts/${fixture.account}`, { frozen: true });
        await sweepDuePayments(depsOf(restored), quiet);
      } else {
        const { accountId, approvalId } = story;
        const payment = await findLatestPayment(restored.db, accountId, approvalId);
        await cancelPayment(depsOf(restored), payment as PaymentRow);
      }
      expect(await readOutcome(restored.db, story)).toEqual(PAID);
      expect(chargesFor(story)).toHaveLength(1);
    },
  );

  test("is found though the lost server's clock was ahead", async () => {
    const { restored, story } = await loseAfter((service, { story: one }) =>
      confirmNow(depsOf(service), one),
    );
    const { db } = restored;
    stripe.books.keys.clear();
    await sql`update processor_search set seen_at = now() + interval '1 day'`.execute(db);
    await confirmNow(depsOf(restored), story);
    expect(await readOutcome(db, story)).toEqual(PAID);
    expect(chargesFor(story)).toHaveLength(1);
    await sql`update processor_search set seen_at = now() + interval '1 day'`.execute(db);
    await sweepLostIntents(depsOf(restored), quiet);
    const { rows } = await sql<{
      ahead: boolean;
    }>`select seen_at > now() as ahead from processor_search`.execute(db);
    expect(rows).toEqual([{ ahead: false }]);
  });

  test("the operator is told once, even without another confirmation", async () => {
    const { restored, story } = await loseAfter((service, { story: one }) =>
      confirmNow(depsOf(service), one),
    );
    const logger = createLogger("silent");
    const told = vi.spyOn(logger, "error");
    await sweepLostIntents(depsOf(restored), logger);
    await sweepLostIntents(depsOf(restored), logger);
    const alerts = told.mock.calls.map(([details]) => details as unknown as Record<string, unknown>);
    expect(alerts.filter(({ milestoneId }) => milestoneId === story.milestone)).toMatchObject([
      { alert: "charge_not_booked", accountId: story.accountId, intentId: expect.any(String) },
    ]);
  });

  test("however many wait for it, the processor is searched once, and longer than any of them waits", async () => {
    const { restored } = await loseAfter((service, { story: one }) => confirmNow(depsOf(service), one));
    const { db } = restored;
    const processor: Processor = rails.open(db);
    const gate = Promise.withResolvers<void>();
    const listed = vi.fn<Processor["listIntents"]>(async function* (of) {
      await gate.promise;
      yield* processor.listIntents(of);
    });
    const deps = { db, processor: { ...processor, listIntents: listed } };
    const waiting = Array.from({ length: 5 }, () => searchLostIntents(deps, 1));
    expect((await Promise.allSettled(waiting)).map(({ status }) => status)).toEqual(
      Array(5).fill("rejected"),
    );
    gate.resolve();
    await searchLostIntents(deps);
    expect(listed).toHaveBeenCalledOnce();
  });

  test("a search that another loss overtakes does not count: it is made again", async () => {
    const { restored, story } = await loseAfter((service, { story: one }) =>
      confirmNow(depsOf(service), one),
    );
    const { db } = restored;
    stripe.books.keys.clear();
    const deps = depsOf(restored);
    let searches = 0;
    const processor: Processor = {
      ...deps.processor,
      // What is listed first is lost, with the server that kept it.
      async *listIntents(of) {
        searches += 1;
        if (searches > 1) yield* deps.processor.listIntents(of);
        await sql`
          create or replace function server_run() returns text language sql stable as $$ select 'another' $$`.execute(
          ownerOf(db),
        );
      },
    };
    await sweepLostIntents({ ...deps, processor }, quiet);
    await confirmNow(deps, story);
    expect(await readOutcome(db, story)).toEqual(PAID);
    expect(chargesFor(story)).toHaveLength(1);
  });

  test("of another amount, it waits for a person, who is told once; a refund at the processor lets it go on", async () => {
    const { restored, stories, story } = await loseAfter(
      (service, { story: one }) => confirmNow(depsOf(service), one),
      { approval: "lost" },
    );
    const path = `/accounts/${stories.fixture.account}/milestones/${story.milestone}`;
    await operate(restored.app, "PUT", path, { amountUsd: 300 });
    const again = await ask(restored.app, stories.fixture, story.milestone);
    const deps = depsOf(restored);
    await expect(confirmNow(deps, again)).rejects.toThrow("not of this amount");
    expect(await readOutcome(restored.db, again)).toEqual({ approval: "pending", payment: "created" });
    const sweep = async () => {
      await sql`update payments set due_at = now() - interval '1 second' where due_at is not null`.execute(
        restored.db,
      );
      await sweepDuePayments(deps, quiet);
    };
    await sweep();
    await extendOperatorFeed(restored.db);
    const { events } = await readOperatorUpdates(restored.db, { limit: 200 });
    expect(events.filter(({ type }) => type === "payment.in_doubt")).toMatchObject([
      { data: { approvalId: again.approvalId, milestoneId: story.milestone, amountCents: 30_000 } },
    ]);
    expect(chargesFor(story)).toHaveLength(1);
    stripe.refund(String(chargesFor(story)[0]?.payment_intent));
    await sweep();
    expect(await readOutcome(restored.db, again)).toEqual(PAID);
    expect(chargesFor(story)).toMatchObject([{ amount: 30_000 }]);
  });
});

describe("where the server's run does not show it", () => {
  test("the key of the milestone keeps a lost payment from being made again within a day", async () => {
    const { restored, stories, story } = await loseAfter(
      (service, { story: one }) => confirmNow(depsOf(service), one),
      { approval: "lost" },
    );
    await sql`update processor_search set run = server_run()`.execute(restored.db);
    const again = await ask(restored.app, stories.fixture, story.milestone);
    await confirmNow(depsOf(restored), again);
    expect(await readOutcome(restored.db, again)).toEqual(PAID);
    expect(chargesFor(story)).toHaveLength(1);
  });

  test("after-restore has the processor searched, and numbers go on beyond what was given", async () => {
    const { restored, story } = await loseAfter((service, { story: one }) =>
      confirmNow(depsOf(service), one),
    );
    const { db } = restored;
    for (const table of ["processor_search", "account_heads", "operator_head"])
      await sql`update ${sql.table(table)} set run = server_run()`.execute(db);
    stripe.books.keys.clear();
    const said = await afterRestore(restored.config, [], stripe.at);
    expect(said).toContain(`$450.00 USD  milestone ${story.milestone}  account ${story.accountId}`);
    await confirmNow(depsOf(restored), story);
    expect(chargesFor(story)).toHaveLength(1);
    const { last_event } = await db
      .selectFrom("account_heads")
      .where("account_id", "=", story.accountId)
      .select("last_event")
      .executeTakeFirstOrThrow();
    expect(last_event).toBeGreaterThan(1_000_000_000);
  });
});

describe("a key that the processor has already", () => {
  test("for a failure, is followed by the next one, and one is charged", async () => {
    const service = await startService({}, undefined, rails);
    const { stories } = await createStories(service.app, rails.cards.pays, 1);
    const [story] = stories as [Story];
    stripe.plan({ on: CREATE, does: "error", when: "after", about: story.approvalId });
    await confirmNow(depsOf(service), story).catch(() => {});
    await makeDue(service);
    await sweepDuePayments(depsOf(service), quiet);
    expect(await readOutcome(service.db, story)).toEqual(PAID);
    expect(chargesFor(story)).toHaveLength(1);
    expect(intentsFor(story).filter(({ intent }) => intent.status === "requires_confirmation")).toEqual([]);
  });

  test.for(AFTER_LOSS)(
    "is followed by the next one by the process that goes on after a death at %s",
    async (died) => {
      const service = await startService({}, undefined, rails);
      const { stories } = await createStories(service.app, rails.cards.pays, 1);
      const [story] = stories as [Story];
      stripe.plan({ on: CREATE, does: "error", about: story.approvalId });
      await confirmNow(depsOf(service), story).catch(() => {});
      await makeDue(service);
      const stands = Promise.withResolvers<void>();
      const boundaries = (boundary: string, moment: string) => {
        if (`${boundary}:${moment}` !== died) return undefined;
        stands.resolve();
        return new Promise<never>(() => {});
      };
      void sweepDuePayments({ ...depsOf(service), boundaries }, quiet);
      await stands.promise;
      await makeDue(service);
      await sweepDuePayments(depsOf(service), quiet);
      expect(await readOutcome(service.db, story)).toEqual(PAID);
      expect(chargesFor(story)).toHaveLength(1);
    },
  );

  async function makeDue({ db }: TestService): Promise<void> {
    await sql`update payments set due_at = now() - interval '1 second', leased_until = now() - interval '1 second' where due_at is not null`.execute(
      db,
    );
  }
});
