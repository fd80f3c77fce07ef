import type { Db, Trx } from "../database/connection.ts";

export type Pause = { paused: boolean; changedAt: Date | null };

/** Whether all payments are paused (docs/contract.md §8), as far as can be seen without holding it. */
export function readPause(db: Db): Promise<Pause> {
  return db
    .selectFrom("payment_pause")
    .select(["paused", "changed_at as changedAt"])
    .executeTakeFirstOrThrow();
}

/** The same, held so until the transaction ends: what is submitted under it comes before a pause, or not at all. */
export async function holdPause(trx: Trx): Promise<boolean> {
  const row = await trx.selectFrom("payment_pause").select("paused").forShare().executeTakeFirstOrThrow();
  return row.paused;
}

/** Pauses all payments, or lets them go on. @returns `false`: they were so already */
export async function setPause(trx: Trx, paused: boolean, now: Date): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("payment_pause")
    .set({ paused, changed_at: now })
    .where("paused", "<>", paused)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** Makes attempts due at once that wait: those of one account that a freeze ends, or all that a pause has held back: those whose outcome is unknown too, as they may have been found unpaid meanwhile. */
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
