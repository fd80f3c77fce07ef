import { removeUnclaimed } from "../accounts/ownership-service.ts";
import { holdAccount } from "../accounts/service.ts";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { inTransaction, isReferredTo } from "../database/transaction.ts";
import { extendOperatorFeed } from "../events/operator-service.ts";
import { deleteFeed } from "../events/service.ts";
import { addSeconds, DAY_SECONDS } from "../lib/time.ts";
import { deleteUnclaimed, listUnclaimed } from "./store.ts";

/** So long after its window a claim token is still told that it has expired, and not that it is unknown. */
const KEPT_SECONDS = DAY_SECONDS;
const BATCH = 100;
/** `account.registered`. */
const OWN_EVENTS = 1;

type Unclaimed = { accountId: string; tokenId: string };

/**
 * Forgets agents whose account nobody has claimed in time. Their tokens ended with the window, by themselves. An
 * account in which there is nothing but what the agent made is removed, so that strangers cannot fill the database;
 * one in which the operator has put something, or which has an owner by now, stays, and only who came is forgotten.
 * One account a transaction; several processes may run it at once.
 * @returns how many accounts were removed
 */
export async function sweepUnclaimed(db: Db): Promise<number> {
  for (let removed = 0; ; ) {
    const before = addSeconds(await readClock(db), -KEPT_SECONDS);
    const due = await listUnclaimed(db, before, BATCH);
    // What the operator's feed has not taken over cannot be removed.
    if (due.length > 0) await extendOperatorFeed(db);
    for (const unclaimed of due) {
      if (await removeWhole(db, unclaimed)) removed += 1;
      else await forgetRegistration(db, unclaimed);
    }
    if (due.length < BATCH) return removed;
  }
}

async function removeWhole(db: Db, { accountId, tokenId }: Unclaimed): Promise<boolean> {
  try {
    await inTransaction(db, async (trx) => {
      await holdAccount(trx, accountId);
      if (!(await deleteUnclaimed(trx, accountId))) throw new Kept();
      if ((await deleteFeed(trx, accountId)) > OWN_EVENTS) throw new Kept();
      if (!(await removeUnclaimed(trx, accountId, tokenId))) throw new Kept();
    });
    return true;
  } catch (error) {
    if (error instanceof Kept || isReferredTo(error)) return false;
    throw error;
  }
}

async function forgetRegistration(db: Db, { accountId }: Unclaimed): Promise<void> {
  await inTransaction(db, async (trx) => {
    await holdAccount(trx, accountId);
    await deleteUnclaimed(trx, accountId);
  });
}

/** There is more in the account than its agent made: the transaction is undone. */
class Kept extends Error {}
