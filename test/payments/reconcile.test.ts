import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { reconcile as runCommand } from "../../src/app/reconcile.ts";
import { receiveProcessorEvent } from "../../src/approvals/processor-event-service.ts";
import { findLatestPayment } from "../../src/billing/payment-service.ts";
import type { Processor } from "../../src/billing/processor.ts";
import { judge, reconcile } from "../../src/billing/reconcile-service.ts";
import type { Db } from "../../src/database/connection.ts";
import { newId } from "../../src/lib/ids.ts";
import { prepareLost } from "../support/charges.ts";
import { cloneDatabase } from "../support/clones.ts";
import { some } from "../support/long.ts";
import { runProgram } from "../support/process.ts";
import { openRails, openStripeRails, type Rails, SANDBOX } from "../support/rails.ts";
import { serviceEnvironment, startService } from "../support/service.ts";
import { confirmNow, createStories, type Story } from "../support/stories.ts";

const HOUR = 60 * 60;
const LOOK = { days: 1, dryRun: false };

/** A service of the test's own, with one payment that has been settled by each way that a card can go. */
async function createWorld(rails: Rails) {
  const url = await cloneDatabase();
  const service = await startService({}, url, rails);
  const deps = { db: service.db, config: service.config, processor: rails.open(service.db) };
  const pay = async (card: "pays" | "declines" | "authenticates"): Promise<Story & { intentId: string }> => {
    const { stories } = await createStories(service.app, rails.cards[card], 1);
    const story = stories[0] as Story;
    await confirmNow(deps, story).catch(() => {});
    const payment = await findLatestPayment(service.db, story.accountId, story.approvalId);
    return { ...story, intentId: payment?.intentId ?? "" };
  };
  return { ...service, url, deps, pay, compare: (options = LOOK) => reconcile(deps, options) };
}

/** An intent as a lost answer leaves it behind: nothing refers to it. */
function prepareUnknown(db: Db, processor: Processor, { accountId }: Story, cardId: string): Promise<string> {
  const metadata = { approvalId: newId(), milestoneId: "m1" };
  return prepareLost(db, processor, { accountId, cardId, amountCents: 45_000, currency: "usd", metadata });
}

describe.for(await openRails())("over the rails of $name", (rails) => {
  test("two books that say the same give no difference, whatever has happened in them", async () => {
    const { pay, compare } = await createWorld(rails);
    for (const card of ["pays", "declines", "authenticates", "pays"] as const) await pay(card);
    expect(await compare()).toMatchObject({ compared: 4, differences: [], leftOver: [] });
    expect(await compare({ days: 1, dryRun: true })).toMatchObject({ compared: 4, differences: [] });
  });
});

describe("over Stripe's", async () => {
  const { stripe, ...rails } = await openStripeRails();
  const world = await createWorld(rails);
  const { db, deps, pay, compare } = world;
  const { processor } = deps;
  const intentOf = (id: string) => {
    const intent = stripe.books.intents.get(id)?.intent;
    if (intent === undefined) throw new TypeError(`no intent ${id}`);
    return intent;
  };
  const found = async () => (await compare({ days: 1, dryRun: true })).differences;

  test("money that Stripe has and we have not is found, with what is needed to look into it", async () => {
    const paid = await pay("pays");
    const id = await prepareUnknown(db, processor, paid, String(intentOf(paid.intentId).payment_method));
    await processor.execute(id, "https://pay.example.com/");
    expect(await found()).toEqual([
      {
        kind: "not booked",
        id,
        accountId: paid.accountId,
        paymentId: null,
        processor: "$450.00 USD paid",
        books: "unknown",
      },
    ]);
    stripe.books.intents.delete(id);
  });

  test("money that we have and Stripe has not is found, as is what differs by a cent", async () => {
    const [one, other] = [await pay("pays"), await pay("pays")];
    const kept = stripe.books.intents.get(one.intentId);
    stripe.books.intents.delete(one.intentId);
    intentOf(other.intentId).amount += 1;
    const about = { accountId: one.accountId, paymentId: expect.any(String), books: "$450.00 USD paid" };
    expect(await found()).toEqual(
      expect.arrayContaining([
        { ...about, kind: "not at processor", id: one.intentId, processor: "unknown" },
        {
          ...about,
          kind: "amounts differ",
          id: other.intentId,
          accountId: other.accountId,
          processor: "$450.01 USD paid",
        },
      ]),
    );
    intentOf(other.intentId).amount -= 1;
    if (kept !== undefined) stripe.books.intents.set(one.intentId, kept);
    expect(await found()).toEqual([]);
  });

  test("refunds and disputes are compared both ways, those that are open however old they are", async () => {
    const [refunded, disputed] = [await pay("pays"), await pay("pays")];
    const refund = stripe.refund(refunded.intentId, 100);
    expect(await found()).toMatchObject([
      { kind: "reversal not booked", id: refund.id, accountId: refunded.accountId, books: "unknown" },
    ]);
    const logger = createLogger("silent");
    const tell = (intentId: string, type: string) =>
      receiveProcessorEvent(
        { ...deps, logger },
        { id: newId(), type, intentId, setupId: null, sessionId: null, sent: null, accountId: null },
      );
    await tell(refunded.intentId, "refund.created");
    expect(await found()).toEqual([]);

    const dispute = stripe.dispute(disputed.intentId);
    await tell(disputed.intentId, "charge.dispute.created");
    dispute.created -= 100 * 24 * HOUR;
    await sql`update reversals set created_at = now() - interval '100 days' where id = ${dispute.id}`.execute(
      db,
    );
    expect(await found()).toEqual([]);
    stripe.closeDispute(dispute.id, "lost");
    expect(await found()).toMatchObject([{ kind: "reversal differs", id: dispute.id }]);
    await tell(disputed.intentId, "charge.dispute.closed");
    expect(await found()).toEqual([]);
    stripe.books.refunds.delete(refund.id);
    expect(await found()).toMatchObject([{ kind: "reversal not at processor", id: refund.id }]);
    stripe.books.refunds.set(refund.id, refund);
  });

  test("intents that never moved and belong to nothing are cancelled, once they are old; others are not", async () => {
    const paid = await pay("pays");
    const card = String(intentOf(paid.intentId).payment_method);
    const refused = await pay("declines");
    const waiting = await pay("authenticates");
    const [old, young, foreign] = [
      await prepareUnknown(db, processor, paid, card),
      await prepareUnknown(db, processor, paid, card),
      await prepareUnknown(db, processor, paid, card),
    ];
    intentOf(foreign).metadata.databaseId = newId();
    for (const id of [old, foreign, refused.intentId, waiting.intentId]) intentOf(id).created -= 7 * HOUR;

    const dry = await compare({ days: 1, dryRun: true });
    expect(dry.leftOver.map(({ id }) => id).sort()).toEqual([old, refused.intentId].sort());
    expect(intentOf(old).status).toBe("requires_confirmation");
    expect(await compare()).toMatchObject({ differences: [] });
    const standing = [old, refused.intentId, young, foreign, waiting.intentId].map(
      (id) => intentOf(id).status,
    );
    expect(standing).toEqual([
      "canceled",
      "canceled",
      "requires_confirmation",
      "requires_confirmation",
      "requires_action",
    ]);
    expect((await compare()).leftOver).toEqual([]);
  });

  test("an intent that was paid before it could be cancelled is a difference", async () => {
    const paid = await pay("pays");
    const id = await prepareUnknown(db, processor, paid, String(intentOf(paid.intentId).payment_method));
    intentOf(id).created -= 7 * HOUR;
    const quicker = { ...processor, cancel: async () => processor.execute(id, "https://pay.example.com/") };
    const { differences } = await reconcile({ db, processor: quicker }, LOOK);
    expect(differences).toMatchObject([{ kind: "not booked", id }]);
    stripe.books.intents.delete(id);
  });

  test("a list that breaks off is no result", async () => {
    stripe.plan({ on: "GET /v1/payment_intents", does: "unauthorized" });
    await expect(compare()).rejects.toMatchObject({ statusCode: 401 });
    stripe.plan({ on: "GET /v1/disputes", does: "no_error_key" });
    await expect(compare()).rejects.toThrow();
  });

  test("the command says the same, as a table, and ends with 0 or 1", async () => {
    const paid = await pay("pays");
    const { code, text } = await runCommand(world.config, [], stripe.at);
    expect([code, text]).toEqual([
      0,
      expect.stringMatching(/^Compared \d+ payments since .*Z\.\nNo differences\.$/),
    ]);
    intentOf(paid.intentId).amount = 1;
    const second = await runCommand(world.config, ["--dry-run", "--days", "2"], stripe.at);
    expect(second.code).toBe(1);
    expect(second.text).toMatch(/\ndifference +id +processor +our books +payment +account\n/);
    expect(second.text).toContain(`amounts differ  ${paid.intentId}  $0.01 USD paid  $450.00 USD paid`);
    intentOf(paid.intentId).amount = 45_000;
    stripe.plan({ on: "GET /v1/refunds", does: "unauthorized" });
    await expect(runCommand(world.config, [], stripe.at)).rejects.toThrow(/^Stripe cannot be asked: /);
  });
});

describe("an intent and its payment", () => {
  const now = new Date("2026-11-25T12:00:00Z");
  const ago = (seconds: number) => new Date(now.getTime() - seconds * 1_000);
  const record = (status: "succeeded" | "unconfirmed" | "processing", age = 7 * HOUR) => ({
    id: "pi_1",
    accountId: newId(),
    milestoneId: "m1",
    topUpId: null,
    amountCents: 100,
    refundedCents: 0,
    currency: "usd",
    state: { status },
    createdAt: ago(age),
  });
  const payment = (status: "created" | "submitted" | "refused" | "succeeded", age = 7 * HOUR) => ({
    accountId: newId(),
    id: newId(),
    intentId: "pi_1",
    status,
    amountCents: 100,
    currency: "usd",
    createdAt: ago(age),
  });

  test.for([
    ["both paid", record("succeeded"), payment("succeeded"), undefined],
    ["paid, and still under way here", record("succeeded", 60), payment("submitted", 60), undefined],
    ["paid, and under way here for too long", record("succeeded"), payment("submitted"), "not booked"],
    ["paid, and refused here", record("succeeded", 60), payment("refused", 60), "not booked"],
    ["paid, and unknown here", record("succeeded", 1), undefined, "not booked"],
    ["not paid, and paid here", record("processing"), payment("succeeded"), "not at processor"],
    ["not paid, and under way here", record("unconfirmed"), payment("created"), undefined],
    ["forgotten and old", record("unconfirmed"), undefined, "left over"],
    ["forgotten and young", record("unconfirmed", 5 * HOUR), undefined, undefined],
    ["forgotten, old, and about to move", record("processing"), undefined, undefined],
  ] as const)("%s", ([, intent, paid, kind]) => {
    expect(judge(intent, paid, now)).toBe(kind);
  });
});

describe("npm run reconcile", () => {
  // In a long run it is started six times.
  test("ends with 0, 1 or 2: none, some, could not run", { timeout: 120_000 }, async () => {
    const { url, pay, db } = await createWorld(SANDBOX);
    const paid = await pay("pays");
    const run = (args: string[], env = serviceEnvironment(url)) => runProgram(["reconcile", ...args], env);
    expect(await run([])).toMatchObject({
      code: 0,
      stderr: "",
      stdout: expect.stringContaining("No differences.\n"),
    });
    await sql`update sandbox.intents set amount_cents = 1 where id = ${paid.intentId}`.execute(db);
    expect(await run(["--dry-run"])).toMatchObject({
      code: 1,
      stdout: expect.stringContaining(paid.intentId),
    });
    const { DATABASE_URL: _, ...without } = serviceEnvironment(url);
    const failing = [
      [["--forever"], serviceEnvironment(url), "reconcile [--days N] [--dry-run]: "],
      [["--days", "0"], serviceEnvironment(url), "--days must be"],
      [[], without, "reconcile needs DATABASE_URL"],
      [
        [],
        { ...serviceEnvironment(url), DATABASE_URL: "postgres://127.0.0.1:1/none" },
        "The database cannot be used",
      ],
    ] as const;
    for (const [args, env, said] of some<(typeof failing)[number]>(failing, 1)) {
      const ended = await run([...args], env);
      expect([ended.code, ended.stdout]).toEqual([2, ""]);
      expect(ended.stderr).toMatch(/^[^\n]+\n$/);
      expect(ended.stderr).toContain(said);
    }
  });
});
