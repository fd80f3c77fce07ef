import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import type { PaymentDeps } from "../../src/approvals/advance-service.ts";
import { alertInDoubt, sweepDuePayments } from "../../src/approvals/jobs.ts";
import type { Boundary } from "../../src/billing/boundaries.ts";
import { holdPause, PAUSING } from "../../src/billing/pause-store.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import { cloneDatabase } from "../support/clones.ts";
import { call, createFixture, fund, operate } from "../support/fixtures.ts";
import { hiddenValue, landing, open, submit } from "../support/humans.ts";
import { countWaiting, holdLock } from "../support/locks.ts";
import { ownerOf } from "../support/owner.ts";
import { waitUntil } from "../support/process.ts";
import { findDisagreements, openRails } from "../support/rails.ts";
import { startService } from "../support/service.ts";
import { confirmNow, createStories, readOutcome, type Story } from "../support/stories.ts";

const worlds = await Promise.all(
  (await openRails()).map(async (rails) => {
    const url = await cloneDatabase();
    const service = await startService({}, url, rails);
    const { app: other } = await startService({}, url, rails);
    return { ...service, name: rails.name, rails, other };
  }),
);
const logger = createLogger("silent");
const PAUSED = { reason: "payments_paused", retryAfterSeconds: 60 };

test("a pause waits for submissions that began before it, and later ones wait for the pause", async () => {
  const [{ db, connection, other }] = worlds as [(typeof worlds)[0]];
  await using held = await holdLock(connection, `select pg_advisory_xact_lock_shared(${PAUSING})`);
  const pausing = operate(other, "PUT", "/pause", { paymentsPaused: true });
  await waitUntil(async () => (await countWaiting(db)) === 1, "the pause waits");
  const submitting = inTransaction(db, holdPause);
  await waitUntil(async () => (await countWaiting(db)) === 2, "the submission waits for the pause");
  await held.letGo();
  expect(await pausing).toMatchObject({ paymentsPaused: true });
  expect(await submitting).toBe(true);
  await operate(other, "PUT", "/pause", { paymentsPaused: false });
});

describe.for(worlds)("over the rails of $name", ({ rails, app, db, config, connection, other }) => {
  const deps = (
    observer?: (boundary: Boundary, moment: "before" | "after") => Promise<void>,
  ): PaymentDeps => ({
    db,
    processor: rails.open(db),
    config,
    boundaries: observer,
  });
  const setPause = (paymentsPaused: boolean) => operate(other, "PUT", "/pause", { paymentsPaused });
  const sweep = () => sweepDuePayments(deps(), logger);
  const countCharges = async ({ fixture }: { fixture: { account: string } }): Promise<number> => {
    const books = rails.books();
    if (books !== undefined) return -1;
    const { charges } = await operate(app, "GET", `/sandbox/charges?accountId=${fixture.account}`);
    return charges.length;
  };

  test("payments that are paused: agents get 503, pages say so and confirm nothing, the rest goes on", async () => {
    const stories = await createStories(app, rails.cards.pays, 2);
    const [first, second] = stories.stories as [Story, Story];
    const page = await open(app, first.path, stories.human);
    const fieldsOf = (from: typeof page, path: string, decision: string) =>
      Object.fromEntries(
        ["nonce", "digest", "form_token"].map((name) => [
          name,
          hiddenValue(from, `${path}/${decision}`, name),
        ]),
      );
    expect(await setPause(true)).toMatchObject({ paymentsPaused: true });
    expect(await operate(app, "GET", "/pause")).toMatchObject({ paymentsPaused: true });
    const { token, milestone } = await createFixture(app);
    for (const [key, id] of [
      [token, milestone],
      [stories.fixture.token, first.milestone],
    ] as const) {
      const asked = await fund(app, key, id);
      expect([asked.status, asked.body.code, asked.body.details]).toEqual([503, "UNAVAILABLE", PAUSED]);
      expect(asked.headers["retry-after"]).toBe("60");
    }
    const confirmed = await submit(
      app,
      `${first.path}/confirm`,
      fieldsOf(page, first.path, "confirm"),
      stories.human,
    );
    const { text } = await landing(app, confirmed, stories.human);
    expect(text).toContain("Nothing was confirmed.");
    expect(text).toContain("Payments are paused.");
    const shown = await open(app, second.path, stories.human);
    expect(shown.text).toContain("Payments are paused.");
    expect(shown.text).not.toContain(`${second.path}/confirm`);
    await expect(confirmNow(deps(), first)).rejects.toMatchObject({ problem: "payments_paused" });
    const declined = await submit(
      app,
      `${second.path}/decline`,
      fieldsOf(shown, second.path, "decline"),
      stories.human,
    );
    expect(declined.status).toBe(303);
    expect(
      (await call(app, "GET", `/approvals/${first.approvalId}`, { token: stories.fixture.token })).status,
    ).toBe(200);
    expect(await readOutcome(db, first)).toEqual({ approval: "pending", payment: undefined });
    expect(await readOutcome(db, second)).toMatchObject({ approval: "declined" });

    await setPause(false);
    expect((await fund(app, token, milestone)).status).toBe(202);
    await confirmNow(deps(), first);
    expect(await readOutcome(db, first)).toEqual({ approval: "confirmed", payment: "succeeded" });
  });

  test("an attempt that was written waits, uncharged, and is paid once when payments resume", async () => {
    const stories = await createStories(app, rails.cards.pays, 1);
    const [story] = stories.stories as [Story];
    // Paused by another process at the last moment before the money may move.
    const pausing = async (boundary: Boundary, moment: "before" | "after") => {
      if (boundary === "write-submitted" && moment === "before") await setPause(true);
    };
    await confirmNow(deps(pausing), story);
    expect(await readOutcome(db, story)).toEqual({ approval: "pending", payment: "created" });
    await db
      .updateTable("payments")
      .set({ due_at: new Date(0) })
      .where("approval_id", "=", story.approvalId)
      .execute();
    await sweep();
    expect(await readOutcome(db, story)).toEqual({ approval: "pending", payment: "created" });
    expect([0, -1]).toContain(await countCharges(stories));
    expect((await open(app, story.path, stories.human)).text).toContain("Payments are paused.");
    // Long ago: but it is known what became of it.
    await db
      .updateTable("payments")
      .set({ created_at: new Date(0) })
      .where("approval_id", "=", story.approvalId)
      .execute();
    await alertInDoubt(deps(), logger);
    const { alerted_at } = await db
      .selectFrom("payments")
      .where("approval_id", "=", story.approvalId)
      .select("alerted_at")
      .executeTakeFirstOrThrow();
    expect(alerted_at).toBeNull();

    await setPause(false);
    await sweep();
    expect(await readOutcome(db, story)).toEqual({ approval: "confirmed", payment: "succeeded" });
    expect([1, -1]).toContain(await countCharges(stories));
    expect(await findDisagreements(db, rails)).toEqual([]);
  });

  test("an attempt in doubt that a pause has held back is driven by the first sweep after it, not by its next look", async () => {
    const stories = await createStories(app, rails.cards.pays, 1);
    const [story] = stories.stories as [Story];
    const paymentOf = () =>
      db.selectFrom("payments").where("approval_id", "=", story.approvalId).select(["status", "due_at"]);
    // Paused once it was written as submitted; the process then dies before it could pay.
    const dying = async (boundary: Boundary, moment: "before" | "after") => {
      if (boundary !== "call-execute" || moment !== "before") return;
      await setPause(true);
      throw new Error("the process dies");
    };
    await confirmNow(deps(dying), story).catch(() => {});
    expect((await paymentOf().executeTakeFirstOrThrow()).status).toBe("unknown");
    // It was found unpaid so often that it is looked at every 10 minutes by now.
    await sql`update payments set due_at = now() + interval '10 minutes' where approval_id = ${story.approvalId}`.execute(
      db,
    );
    await setPause(false);
    await sweep();
    expect(await readOutcome(db, story)).toEqual({ approval: "confirmed", payment: "succeeded" });
    expect([1, -1]).toContain(await countCharges(stories));
    expect(await findDisagreements(db, rails)).toEqual([]);
  });

  test("an attempt that waits for the end of a pause ends with its approval's time", async () => {
    const stories = await createStories(app, rails.cards.pays, 1);
    const [story] = stories.stories as [Story];
    const pausing = async (boundary: Boundary, moment: "before" | "after") => {
      if (boundary === "write-submitted" && moment === "before") await setPause(true);
    };
    await confirmNow(deps(pausing), story);
    await ownerOf(db)
      .transaction()
      .execute(async (trx) => {
        await sql`set local session_replication_role = replica`.execute(trx);
        await sql`
          update approvals set created_at = created_at - interval '3 days', expires_at = expires_at - interval '3 days'
          where account_id = ${story.accountId}`.execute(trx);
      });
    await sql`update payments set due_at = now() - interval '1 second' where approval_id = ${story.approvalId}`.execute(
      db,
    );
    await sweep();
    expect(await readOutcome(db, story)).toEqual({ approval: "expired", payment: "refused" });
    await setPause(false);
    await sweep();
    expect([0, -1]).toContain(await countCharges(stories));
    expect(await findDisagreements(db, rails)).toEqual([]);
  });

  test("an attempt that waits for the end of a pause can be given up by who may decide", async () => {
    const stories = await createStories(app, rails.cards.pays, 1);
    const [story] = stories.stories as [Story];
    const pausing = async (boundary: Boundary, moment: "before" | "after") => {
      if (boundary === "write-submitted" && moment === "before") await setPause(true);
    };
    await confirmNow(deps(pausing), story);
    const shown = await open(app, story.path, stories.human);
    const path = `${story.path}/cancel-payment`;
    const fields = { form_token: hiddenValue(shown, path, "form_token") };
    expect((await submit(app, path, fields, stories.human)).status).toBe(303);
    expect(await readOutcome(db, story)).toEqual({ approval: "pending", payment: "refused" });
    await setPause(false);
    await sweep();
    expect([0, -1]).toContain(await countCharges(stories));
    await confirmNow(deps(), story);
    expect(await readOutcome(db, story)).toEqual({ approval: "confirmed", payment: "succeeded" });
    expect(await findDisagreements(db, rails)).toEqual([]);
  });

  test("a pause waits for what is being submitted, and nothing is submitted after it", async () => {
    const [story] = (await createStories(app, rails.cards.pays, 1)).stories as [Story];
    await using held = await holdLock(connection, `select pg_advisory_xact_lock(${PAUSING})`);
    const confirming = confirmNow(deps(), story);
    await waitUntil(async () => (await countWaiting(db)) > 0, "the confirmation waits for the pause");
    expect(await readOutcome(db, story)).toEqual({ approval: "pending", payment: undefined });
    await held.letGo();
    await confirming;
    expect(await readOutcome(db, story)).toMatchObject({ approval: "confirmed" });
  });

  test("what moves already is settled while payments are paused", async () => {
    const [story] = (await createStories(app, rails.cards.pays, 1)).stories as [Story];
    const pausing = async (boundary: Boundary, moment: "before" | "after") => {
      if (boundary === "write-submitted" && moment === "after") await setPause(true);
    };
    await confirmNow(deps(pausing), story);
    expect(await readOutcome(db, story)).toEqual({ approval: "confirmed", payment: "succeeded" });
    await setPause(false);
  });

  describe("an account that is frozen", () => {
    const freeze = (account: string, frozen: boolean) =>
      operate(other, "PUT", `/accounts/${account}`, { frozen });

    test("has its attempt cancelled that waits for the bank, and no other account's", async () => {
      const [one, two] = [
        await createStories(app, rails.cards.authenticates, 1),
        await createStories(app, rails.cards.authenticates, 1),
      ];
      const [story, neighbour] = [one.stories[0] as Story, two.stories[0] as Story];
      for (const each of [story, neighbour]) {
        await confirmNow(deps(), each);
        expect(await readOutcome(db, each)).toEqual({ approval: "pending", payment: "action_required" });
      }
      await freeze(one.fixture.account, true);
      await sweep();
      expect(await readOutcome(db, story)).toEqual({ approval: "pending", payment: "refused" });
      expect(await readOutcome(db, neighbour)).toEqual({ approval: "pending", payment: "action_required" });
      expect(await findDisagreements(db, rails)).toEqual([]);
    });

    test("has an attempt cancelled that was written and not submitted", async () => {
      const stories = await createStories(app, rails.cards.pays, 1);
      const [story] = stories.stories as [Story];
      const freezing = async (boundary: Boundary, moment: "before" | "after") => {
        if (boundary === "write-submitted" && moment === "before")
          await freeze(stories.fixture.account, true);
      };
      await confirmNow(deps(freezing), story);
      expect(await readOutcome(db, story)).toEqual({ approval: "pending", payment: "refused" });
      await freeze(stories.fixture.account, false);
      await confirmNow(deps(), story);
      expect(await readOutcome(db, story)).toEqual({ approval: "confirmed", payment: "succeeded" });
      expect(await findDisagreements(db, rails)).toEqual([]);
    });
  });
});
