import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import * as credits from "../../src/billing/credit-service.ts";
import type { Trx } from "../../src/database/connection.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { createFixture, createMilestone, type Fixture, fund } from "../support/fixtures.ts";
import { startService } from "../support/service.ts";

const { app, db } = await startService();

type Held = { accountId: string; milestoneId: string; approvalId: string; contractId: string; jobId: string };

/** A milestone with an approval that could be confirmed, and what a credit entry says of it. */
async function createSubject(fixture: Fixture, milestoneId = fixture.milestone): Promise<Held> {
  if (milestoneId !== fixture.milestone) await createMilestone(app, fixture, milestoneId);
  const answer = await fund(app, fixture.token, milestoneId);
  const { id: approvalId, contractId, jobId } = answer.body.approval;
  return { accountId: accountKey(fixture.account), milestoneId, approvalId, contractId, jobId };
}

const write = <T>(work: (trx: Trx, now: Date) => Promise<T>) =>
  inTransaction(db, (trx) => work(trx, new Date()));

async function give(accountId: string, amountCents: number): Promise<void> {
  await write((trx, now) => credits.adjustCredits(trx, { accountId, amountCents, note: "Test" }, now));
}

const hold = (subject: Held, amountCents: number) =>
  write((trx, now) => credits.holdCredits(trx, { ...subject, amountCents }, now));

async function balance(accountId: string) {
  const { availableCents, reservedCents } = await credits.getCredits(db, accountId);
  return { availableCents, reservedCents };
}

async function ledger(accountId: string) {
  const { rows } = await sql<{ account: string; sum: number }>`
    select ledger_account as account, sum(amount_cents)::bigint as sum from ledger_entries
    where account_id = ${accountId} group by 1 having sum(amount_cents) <> 0 order by 1`.execute(db);
  return Object.fromEntries(rows.map(({ account, sum }) => [account, sum]));
}

describe("credit entries", () => {
  test("move the balances and the ledger together: adjustment, hold, capture", async () => {
    const subject = await createSubject(await createFixture(app));
    const { accountId, milestoneId } = subject;
    await give(accountId, 50_000);
    const held = await hold(subject, 45_000);
    expect(await balance(accountId)).toEqual({ availableCents: 5_000, reservedCents: 45_000 });
    expect(await ledger(accountId)).toEqual({
      adjustments: 50_000,
      credits: -5_000,
      [`milestone:${milestoneId}`]: -45_000,
    });
    const captured = await write((trx, now) => credits.captureHold(trx, subject, now));
    expect(captured).toMatchObject({ amountCents: 45_000 });
    expect(await balance(accountId)).toEqual({ availableCents: 5_000, reservedCents: 0 });
    const { recentEntries } = await credits.getCredits(db, accountId);
    expect(
      recentEntries.map(({ type, amountCents, holdEntryId }) => [type, amountCents, holdEntryId]),
    ).toEqual([
      ["CAPTURE", 0, held?.entryId],
      ["HOLD", -45_000, null],
      ["ADJUSTMENT", 50_000, null],
    ]);
  });

  test("give a hold back as available when it is released, once", async () => {
    const subject = await createSubject(await createFixture(app));
    await give(subject.accountId, 45_000);
    await hold(subject, 45_000);
    const release = () => write((trx, now) => credits.releaseHold(trx, subject, now));
    expect(await release()).toMatchObject({ amountCents: 45_000 });
    await expect(release()).rejects.toThrow("no credits are held");
    expect(await balance(subject.accountId)).toEqual({ availableCents: 45_000, reservedCents: 0 });
    expect(await ledger(subject.accountId)).toEqual({ adjustments: 45_000, credits: -45_000 });
  });

  test("give a milestone's money that no bank takes back to the available balance, once, and more of it later as a correction", async () => {
    const subject = await createSubject(await createFixture(app));
    const refund = (amountCents: number) =>
      write((trx, now) => credits.refundToCredits(trx, { ...subject, amountCents }, "losses", now));
    await refund(40_000);
    await refund(5_000);
    const { recentEntries } = await credits.getCredits(db, subject.accountId);
    expect(recentEntries).toMatchObject([
      { type: "ADJUSTMENT", amountCents: 5_000, milestoneId: subject.milestoneId },
      { type: "REFUND", amountCents: 40_000, milestoneId: subject.milestoneId },
    ]);
    expect(await balance(subject.accountId)).toEqual({ availableCents: 45_000, reservedCents: 0 });
    expect(await ledger(subject.accountId)).toEqual({
      credits: -45_000,
      losses: 45_000,
    });
  });

  test("hold nothing when the balance does not cover the whole amount, or lies below zero", async () => {
    const subject = await createSubject(await createFixture(app));
    await give(subject.accountId, 44_999);
    expect(await hold(subject, 45_000)).toBeUndefined();
    await give(subject.accountId, -50_000);
    expect(await balance(subject.accountId)).toEqual({ availableCents: -5_001, reservedCents: 0 });
    expect(await hold(subject, 1)).toBeUndefined();
    expect((await credits.getCredits(db, subject.accountId)).recentEntries).toHaveLength(2);
  });

  test("hold exactly what the balance covers, however many ask at once", async () => {
    const fixture = await createFixture(app);
    const names = Array.from({ length: 20 }, (_, i) => `${fixture.milestone}-${i}`);
    const subjects: Held[] = [];
    for (const name of names) subjects.push(await createSubject(fixture, name));
    const accountId = accountKey(fixture.account);
    await give(accountId, 10 * 45_000);
    const held = await Promise.all(subjects.map((subject) => hold(subject, 45_000)));
    expect(held.filter((entry) => entry !== undefined)).toHaveLength(10);
    expect(await balance(accountId)).toEqual({ availableCents: 0, reservedCents: 450_000 });
    expect(await ledger(accountId)).toMatchObject({ adjustments: 450_000 });
  });
});

describe("the database itself", () => {
  const CHECK = { code: "23514" };
  const KEPT = { code: "23001" };
  const UNIQUE = { code: "23505" };
  const FOREIGN = { code: "23503" };

  test("writes balances by entries alone, and changes neither", async () => {
    const { accountId } = await createSubject(await createFixture(app));
    const other = await createFixture(app);
    await give(accountId, 1_000);
    const own = sql`where account_id = ${accountId}`;
    for (const statement of [
      sql`update credit_balances set available_cents = available_cents + 1 ${own}`,
      sql`update credit_balances set last_entry = 0 ${own}`,
      sql`insert into credit_balances (account_id, available_cents) values (${accountKey(other.account)}, 5)`,
    ])
      await expect(statement.execute(db)).rejects.toMatchObject(KEPT);
    expect((await balance(accountId)).availableCents).toBe(1_000);
  });

  test("takes no entry out of turn, of a wrong sign, that takes more than is available, or a second of a milestone", async () => {
    const subject = await createSubject(await createFixture(app));
    const { accountId } = subject;
    await give(accountId, 1_000);
    const insert = (number: number, type: string, amount: number, reserved: number) =>
      sql`insert into credit_entries (account_id, id, number, type, amount_cents, reserved_cents, approval_id, job_id,
          contract_id, milestone_id, created_at)
        values (${accountId}, gen_random_uuid(), ${number}, ${type}, ${amount}, ${reserved}, ${subject.approvalId},
          ${subject.jobId}, ${subject.contractId}, ${subject.milestoneId}, now())`.execute(db);
    await expect(insert(3, "HOLD", -500, 500)).rejects.toMatchObject({ code: "40001" });
    await expect(insert(2, "HOLD", 500, -500)).rejects.toMatchObject(CHECK);
    await expect(insert(2, "HOLD", -500, 400)).rejects.toMatchObject(CHECK);
    await expect(insert(2, "HOLD", -1_001, 1_001)).rejects.toMatchObject(CHECK);
    await expect(insert(2, "CAPTURE", 0, -500)).rejects.toMatchObject(CHECK);
    await insert(2, "HOLD", -500, 500);
    await expect(insert(3, "HOLD", -500, 500)).rejects.toMatchObject(UNIQUE);
    await insert(3, "REFUND", 100, 0);
    await expect(insert(4, "REFUND", 100, 0)).rejects.toMatchObject(UNIQUE);
    expect(await balance(accountId)).toEqual({ availableCents: 600, reservedCents: 500 });
  });

  test("ends a hold once, whole, and only a hold", async () => {
    const subject = await createSubject(await createFixture(app));
    const { accountId } = subject;
    await give(accountId, 45_000);
    const held = await hold(subject, 45_000);
    const { recentEntries } = await credits.getCredits(db, accountId);
    const adjustment = recentEntries.find(({ type }) => type === "ADJUSTMENT");
    const end = (number: number, holdEntryId: string | undefined, cents: number) =>
      sql`insert into credit_entries (account_id, id, number, type, amount_cents, reserved_cents, hold_entry_id,
          approval_id, job_id, contract_id, milestone_id, created_at)
        values (${accountId}, gen_random_uuid(), ${number}, 'CAPTURE', 0, ${-cents}, ${holdEntryId}, ${subject.approvalId},
          ${subject.jobId}, ${subject.contractId}, ${subject.milestoneId}, now())`.execute(db);
    await expect(end(3, held?.entryId, 44_000)).rejects.toMatchObject(FOREIGN);
    await expect(end(3, adjustment?.id, 45_000)).rejects.toMatchObject(FOREIGN);
    await end(3, held?.entryId, 45_000);
    await expect(end(4, held?.entryId, 45_000)).rejects.toMatchObject(UNIQUE);
  });
});

describe("the pages of entries", () => {
  test("hold each entry once, newest first, also when entries are written meanwhile", async () => {
    const { accountId } = await createSubject(await createFixture(app));
    for (let i = 1; i <= 5; i++) await give(accountId, i);
    const first = await credits.listCreditLedger(db, accountId, { limit: 2 });
    await give(accountId, 6);
    const second = await credits.listCreditLedger(db, accountId, {
      limit: 2,
      cursor: first.nextCursor ?? "",
    });
    const third = await credits.listCreditLedger(db, accountId, {
      limit: 2,
      cursor: second.nextCursor ?? "",
    });
    const amounts = [first, second, third].map(({ entries }) =>
      entries.map(({ amountCents }) => amountCents),
    );
    expect(amounts).toEqual([[5, 4], [3, 2], [1]]);
    expect(third.nextCursor).toBeNull();
  });

  test("refuse a cursor that was never given", async () => {
    for (const cursor of ["", "0", "abc", "1.5", "-1"])
      await expect(credits.listCreditLedger(db, "x", { cursor })).rejects.toMatchObject({
        problem: "bad_request",
        details: { field: "cursor" },
      });
  });
});
