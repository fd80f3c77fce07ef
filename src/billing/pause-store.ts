import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import { together } from "../database/transaction.ts";

export type Pause = { paused: boolean; changedAt: Date | null };

/** Whether payments are paused (docs/contract.md §8), read without a lock. */
export function readPause(db: Db): Promise<Pause> {
  return db
    .selectFrom("payment_pause")
    .select(["paused", "changed_at as changedAt"])
    .executeTakeFirstOrThrow();
}

/** What forbids submitting the account's attempts, read without a lock. */
export async function readHalt(db: Db, accountId: string): Promise<{ frozen: boolean; paused: boolean }> {
  const { rows } = await sql<{ frozen: boolean; paused: boolean }>`
    select a.frozen, (select paused from payment_pause) as paused from accounts a where a.account_id = ${accountId}`.execute(
    db,
  );
  return rows[0] ?? { frozen: false, paused: false };
}

/**
 * Any number. What is held is this, and not the row: sharers of a row's lock do not queue, so a stream of submissions could
 * delay a pause without end; and in a distributed database, two that share the lock of a row that every node has can deadlock.
 */
export const PAUSING = 1_129_270_869;

/** Reads the pause and holds it until the transaction ends: a submission commits before a pause, or not at all. */
export async function holdPause(trx: Trx): Promise<boolean> {
  const [, { paused }] = await together(
    sql`select pg_advisory_xact_lock_shared(${PAUSING})`.execute(trx),
    readPause(trx),
  );
  return paused;
}

/** Pauses or resumes all payments. @returns `false`: unchanged */
export async function setPause(trx: Trx, paused: boolean, now: Date): Promise<boolean> {
  await sql`select pg_advisory_xact_lock(${PAUSING})`.execute(trx);
  const { numUpdatedRows } = await trx
    .updateTable("payment_pause")
    .set({ paused, changed_at: now })
    .where("paused", "<>", paused)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/**
 * Makes waiting attempts due: those of a frozen account, or all that a pause held back. Includes those of unknown
 * outcome, which may have been found unpaid meanwhile.
 */
export async function makeDue(trx: Trx, of: { accountId: string } | "held back", now: Date): Promise<void> {
  const waiting = trx.updateTable("payments").set({ due_at: now }).where("due_at", ">", now);
  await (of === "held back"
    ? waiting.where("status", "in", ["created", "submitted", "unknown"]).where("lease", "is", null)
    : waiting
        .where("account_id", "=", of.accountId)
        .where("status", "in", ["created", "action_required"])
        .where("lease", "is", null)
  ).execute();
}
