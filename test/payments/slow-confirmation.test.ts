import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { sweepDuePayments, sweepExpiredApprovals } from "../../src/approvals/jobs.ts";
import { readClock } from "../../src/database/clock.ts";
import { addSeconds } from "../../src/lib/time.ts";
import { cloneDatabase } from "../support/clones.ts";
import { type Answer, call, fund, MARIA } from "../support/fixtures.ts";
import { hiddenValue, landing, open, submit } from "../support/humans.ts";
import { countWaiting, holdLock } from "../support/locks.ts";
import { some } from "../support/long.ts";
import { waitUntil } from "../support/process.ts";
import { findDisagreements, openRails } from "../support/rails.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";
import { confirmNow, createStories, readOutcome, type Stories, type Story } from "../support/stories.ts";

const worlds = await Promise.all(
  some(await openRails(), 1).map(async (rails) => {
    const url = await cloneDatabase();
    // Long enough to open the page, and to confirm with the last of its seconds left: the slow card takes three.
    const service = await startService({ APPROVAL_TTL_SECONDS: "4" }, url, rails);
    const { app: other } = await startService({}, url, rails);
    return { ...service, name: rails.name, rails, other };
  }),
);

describe.for(worlds)("over the rails of $name", ({ rails, app, db, config, connection, other }) => {
  async function readApproval({ fixture }: Stories, { approvalId }: Story) {
    return (await call(other, "GET", `/approvals/${approvalId}`, { token: fixture.token })).body.approval;
  }

  /** Waits until the approval's time has passed, or until so many seconds are left of it. */
  async function untilExpired({ approvalId, accountId }: Story, left = 0): Promise<void> {
    const { expires_at } = await db
      .selectFrom("approvals")
      .where("account_id", "=", accountId)
      .where("id", "=", approvalId)
      .select("expires_at")
      .executeTakeFirstOrThrow();
    const end = addSeconds(expires_at, -left);
    await waitUntil(async () => (await readClock(db)) > end, "its time has passed");
  }

  async function terminalEvents({ fixture }: Stories): Promise<string[]> {
    const { body } = await call(other, "GET", "/updates?limit=200", { token: fixture.token });
    const events: { type: string; data: { status: string } }[] = body.events;
    return events.filter(({ type }) => type === "approval.confirmed").map(({ data }) => data.status);
  }

  describe("a confirmation that begins before its time is over", () => {
    test("and succeeds after it is confirmed once, reads pending meanwhile, and keeps all others off", async () => {
      const stories = await createStories(app, rails.cards.slow, 1);
      const { fixture, human } = stories;
      const story = stories.stories[0] as Story;
      const page = await open(app, story.path, human);
      const send = (at: typeof app, decision: string): Promise<Answer> => {
        const form = `${story.path}/${decision}`;
        const names = ["nonce", "digest", "form_token"];
        const fields = names.map((name) => [name, hiddenValue(page, form, name)]);
        return submit(at, form, Object.fromEntries(fields), human);
      };
      await untilExpired(story, 1);
      const confirming = send(app, "confirm");
      await waitUntil(
        async () => (await readOutcome(db, story)).payment === "submitted",
        "the money is moving",
      );

      const operate = (method: "POST" | "PUT", path: string, body?: unknown) =>
        call(other, method, `/api/operator/v1/accounts/${fixture.account}${path}`, {
          token: OPERATOR_KEY,
          body,
        });
      const refused = await Promise.all([
        operate("POST", `/milestones/${story.milestone}/cancel`),
        operate("PUT", `/milestones/${story.milestone}`, { amountUsd: 999 }),
        operate("PUT", `/contracts/${fixture.contract}`, { status: "ended" }),
        operate("PUT", `/contracts/${fixture.contract}`, {
          freelancer: { ...MARIA, payoutAccount: "acct_other" },
        }),
      ]);
      expect(refused.map(({ status, body }) => [status, body.details.reason])).toEqual(
        refused.map(() => [409, "payment_in_progress"]),
      );
      for (const decision of ["confirm", "decline"]) {
        const { text } = await landing(other, await send(other, decision), human);
        expect(text).toContain("The payment is under way");
      }

      await untilExpired(story);
      expect(await sweepExpiredApprovals(db)).toBe(0);
      const again = await fund(other, fixture.token, story.milestone);
      expect([again.status, again.body.approval.id]).toEqual([202, story.approvalId]);
      expect(await readApproval(stories, story)).toMatchObject({ status: "pending", resolvedAt: null });
      expect((await readOutcome(db, story)).payment, "it is still moving").toBe("submitted");

      expect((await confirming).status).toBe(303);
      const { status, resolvedAt, expiresAt } = await readApproval(stories, story);
      expect([status, resolvedAt > expiresAt]).toEqual(["confirmed", true]);
      expect(await terminalEvents(stories)).toEqual(["confirmed"]);
      expect(await findDisagreements(db, rails)).toEqual([]);
    });

    test("and is refused after it expires at that moment, with one event, and can be asked for again", async () => {
      const stories = await createStories(app, rails.cards.declines, 1);
      const story = stories.stories[0] as Story;
      const processor = rails.open(db);
      const late = {
        ...processor,
        execute: async (intentId: string, returnUrl: string) => {
          await untilExpired(story);
          expect(await sweepExpiredApprovals(db)).toBe(0);
          expect((await readApproval(stories, story)).status).toBe("pending");
          return processor.execute(intentId, returnUrl);
        },
      };
      await confirmNow({ db, config, processor: late }, story);
      const { status, resolvedAt, expiresAt, result } = await readApproval(stories, story);
      expect([status, resolvedAt > expiresAt, result]).toEqual(["expired", true, null]);
      expect(await sweepExpiredApprovals(db)).toBe(0);
      expect(await terminalEvents(stories)).toEqual(["expired"]);
      const again = await fund(other, stories.fixture.token, story.milestone);
      expect([again.status, again.body.approval.id === story.approvalId]).toEqual([202, false]);
      expect(await findDisagreements(db, rails)).toEqual([]);
    });

    test("and is still being written when its time is over is never shown as expired", async () => {
      const stories = await createStories(app, rails.cards.pays, 1);
      const story = stories.stories[0] as Story;
      // The confirmation holds the approval, and waits for this.
      await using held = await holdLock(connection, "lock table executing_milestones in share mode");
      await untilExpired(story, 1);
      const confirming = confirmNow({ db, config, processor: rails.open(db) }, story);
      await waitUntil(async () => (await countWaiting(db)) === 1, "the confirmation waits");
      await untilExpired(story);
      const reading = Promise.all([readApproval(stories, story), open(other, story.path, stories.human)]);
      await waitUntil(async () => (await countWaiting(db)) === 3, "both readers wait for it");
      await held.letGo();
      const [approval, page] = await reading;
      expect(["pending", "confirmed"]).toContain(approval.status);
      expect(page.text).not.toContain("If it is still wanted");
      await confirming;
      expect((await readApproval(stories, story)).status).toBe("confirmed");
      expect(await terminalEvents(stories)).toEqual(["confirmed"]);
    });

    test("but locks the approval only after it was seen as expired is too late", async () => {
      const stories = await createStories(app, rails.cards.pays, 1);
      const story = stories.stories[0] as Story;
      const hold = `select from approvals where id = '${story.approvalId}' for share`;
      await using held = await holdLock(connection, hold);
      await untilExpired(story, 1);
      const confirming = confirmNow({ db, config, processor: rails.open(db) }, story);
      await waitUntil(async () => (await countWaiting(db)) === 1, "the confirmation waits");
      await untilExpired(story);
      expect((await readApproval(stories, story)).status).toBe("expired");
      await Promise.all([
        expect(confirming).rejects.toMatchObject({ problem: "already_decided" }),
        held.letGo(),
      ]);
      expect((await readApproval(stories, story)).status).toBe("expired");
    });

    test("and waits for an unanswered bank is given up when its time is over", async () => {
      const stories = await createStories(app, rails.cards.authenticates, 1);
      const story = stories.stories[0] as Story;
      const deps = { db, config, processor: rails.open(db) };
      await confirmNow(deps, story);
      expect(await readOutcome(db, story)).toEqual({ approval: "pending", payment: "action_required" });
      await untilExpired(story);
      const { accountId } = story;
      await db
        .updateTable("payments")
        .set({ due_at: new Date(0) })
        .where("account_id", "=", accountId)
        .execute();
      await sweepDuePayments(deps, createLogger("silent"));
      expect(await readOutcome(db, story)).toEqual({ approval: "expired", payment: "refused" });
      expect(await terminalEvents(stories)).toEqual(["expired"]);
      expect(await findDisagreements(db, rails)).toEqual([]);
    });
  });
});
