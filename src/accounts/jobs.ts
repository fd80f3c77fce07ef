import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { addSeconds } from "../lib/time.ts";
import * as store from "./retention-store.ts";

/** So long after its end a token or an invitation is still there to be looked at. */
const KEPT_SECONDS = 30 * 24 * 60 * 60;
const BATCH = 1_000;

/**
 * Forgets tokens that ended 30 days ago and that nothing refers to, one account a transaction. Whoever was asked by one
 * still reads its name. @returns how many
 */
export function forgetEndedTokens(db: Db): Promise<number> {
  return sweep(db, store.listAccountsWithEndedTokens, (trx, accountId, before) =>
    store.deleteEndedTokens(trx, accountId, before, BATCH),
  );
}

/** Forgets invitations that were used, or lapsed, 30 days ago, one account a transaction. @returns how many */
export function forgetOldInvitations(db: Db): Promise<number> {
  return sweep(db, store.listAccountsWithOldInvitations, store.deleteOldInvitations);
}

async function sweep(
  db: Db,
  listAccounts: (db: Db, before: Date, limit: number) => Promise<string[]>,
  forget: (trx: Trx, accountId: string, before: Date) => Promise<number>,
): Promise<number> {
  const before = addSeconds(await readClock(db), -KEPT_SECONDS);
  for (let forgotten = 0; ; ) {
    const accountIds = await listAccounts(db, before, BATCH);
    if (accountIds.length === 0) return forgotten;
    for (const accountId of accountIds)
      forgotten += await inTransaction(db, (trx) => forget(trx, accountId, before));
  }
}
