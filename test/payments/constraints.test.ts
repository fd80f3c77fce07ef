import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { alertInDoubt } from "../../src/approvals/jobs.ts";
import { insertMovement } from "../../src/billing/ledger-store.ts";
import { insertPayment } from "../../src/billing/payment-store.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { newId } from "../../src/lib/ids.ts";
import { addSeconds } from "../../src/lib/time.ts";
import { ownerOf } from "../support/owner.ts";
import { PUBLIC_URL, startService } from "../support/service.ts";
import { confirmNow, createStories, readOutcome, type Story } from "../support/stories.ts";

const { app, db, config } = await startService();
const deps = { db, config, processor: createSandbox(db, PUBLIC_URL) };

const BALANCE = { code: "23514" };
const UNIQUE = { code: "23505" };
const KEPT = { code: "23001" };

async function createWaiting(card = "pm_card_visa"): Promise<Story> {
  const { stories } = await createStories(app, card, 1);
  return stories[0] as Story;
}

async function createPaid(): Promise<Story> {
  const story = await createWaiting();
  await confirmNow(deps, story);
  expect(await readOutcome(db, story)).toEqual({ approval: "confirmed", payment: "succeeded" });
  return story;
}

function attempt({ accountId, approvalId, milestone: milestoneId }: Story) {
  const made = {
    accountId,
    id: newId(),
    approvalId,
    milestoneId,
    kind: "charge" as const,
    cardId: "pm_test",
    sourcePaymentId: null,
    currency: "usd",
    processor: "sandbox" as const,
    body: {},
  };
  const now = new Date();
  return db
    .transaction()
    .execute((trx) =>
      insertPayment(trx, { ...made, amountCents: 45_000 }, { id: newId(), until: addSeconds(now, 40) }, now),
    );
}

describe("the database itself", () => {
  test("takes no second open payment of an approval, and none after a success", async () => {
    const story = await createWaiting();
    await attempt(story);
    await expect(attempt(story)).rejects.toMatchObject(UNIQUE);
    await expect(attempt(await createPaid())).rejects.toMatchObject(UNIQUE);
  });

  test("takes a new payment after a refused one", async () => {
    const story = await createWaiting("pm_card_chargeDeclined");
    await confirmNow(deps, story);
    expect((await readOutcome(db, story)).payment).toBe("refused");
    await attempt(story);
    expect((await readOutcome(db, story)).payment).toBe("created");
  });

  test("takes no movement whose entries do not sum to zero, though each is right by itself", async () => {
    const { accountId } = await createPaid();
    const payment = await db
      .selectFrom("payments")
      .where("account_id", "=", accountId)
      .select("id")
      .executeTakeFirstOrThrow();
    const move = (...cents: number[]) =>
      db.transaction().execute((trx) => {
        const lines = cents.map((amountCents) => ({ account: "processor", amountCents }));
        const movement = { accountId, id: newId(), paymentId: payment.id, currency: "usd", lines };
        return insertMovement(trx, movement, new Date());
      });
    for (const cents of [[100], [100, -99], [0, 0]])
      await expect(move(...cents)).rejects.toMatchObject(BALANCE);
    await move(100, -60, -40);
  });

  test("changes and removes no decided payment, ledger entry, invoice's sum, signature or charge's twin", async () => {
    const { accountId } = await createPaid();
    for (const change of [
      "update payments set amount_cents = 1",
      "update payments set status = 'refused', refusal_code = 'x'",
      "delete from payments",
      "update ledger_entries set amount_cents = amount_cents * 2",
      "delete from ledger_entries",
      "update invoices set amount_cents = 1",
      "update invoices set status = 'refunded', amount_cents = 1",
      "delete from invoices",
      "update signatures set user_id = 'somebody'",
      "delete from signatures",
    ]) {
      const run = sql`${sql.raw(change)} where account_id = ${accountId}`.execute(ownerOf(db));
      await expect(run, change).rejects.toMatchObject(KEPT);
    }
    const again = sql`
      insert into sandbox.charges select 'ch_again', intent_id, account_id, idempotency_key, amount_cents,
        currency, status, metadata, created_at from sandbox.charges where account_id = ${accountId}`;
    await expect(again.execute(db)).rejects.toMatchObject(UNIQUE);
  });
});

describe("a payment in doubt", () => {
  type Line = { alert?: string; accountId?: string };

  async function alerts(accountId: string): Promise<Line[]> {
    const lines: Line[] = [];
    const logger = { error: (line: Line) => lines.push(line) };
    await alertInDoubt(deps, logger as never);
    return lines.filter((line) => line.accountId === accountId);
  }

  async function age({ accountId }: Story, minutes: number, status: string): Promise<void> {
    await sql`
      update payments set created_at = now() - make_interval(mins => ${minutes}), status = ${status},
        intent_id = coalesce(intent_id, 'pi_test'), due_at = now(),
        action_url = case when ${status} = 'action_required' then 'https://bank.example' end
      where account_id = ${accountId}`.execute(db);
  }

  test.for(["created", "submitted", "unknown"])(
    "is logged as an alert when it has been %s for 15 minutes, once, and not before",
    async (status) => {
      const story = await createWaiting();
      await attempt(story);
      await age(story, 14, status);
      expect(await alerts(story.accountId)).toEqual([]);
      await age(story, 16, status);
      expect(await alerts(story.accountId)).toMatchObject([{ alert: "payment_in_doubt" }]);
      expect(await alerts(story.accountId)).toEqual([]);
    },
  );

  test("is not one that waits for a bank, nor one that is decided", async () => {
    const waiting = await createWaiting();
    await attempt(waiting);
    await age(waiting, 60, "action_required");
    expect(await alerts(waiting.accountId)).toEqual([]);
  });
});
