import { removeUnclaimed } from "../accounts/ownership-service.ts";
import { holdAccount } from "../accounts/service.ts";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { inTransaction, isReferredTo } from "../database/transaction.ts";
import { extendOperatorFeed } from "../events/operator-service.ts";
import { deleteFeed } from "../events/service.ts";
import { sweep } from "../jobs/sweep.ts";
import { addSeconds, DAY_SECONDS } from "../lib/time.ts";
import { deleteUnclaimed, listUnclaimed } from "./store.ts";

/** For this long after its window a claim token is answered as expired; afterwards it is unknown. */
const KEPT_SECONDS = DAY_SECONDS;
const BATCH = 100;
/** `account.registered`. */
const OWN_EVENTS = 1;

type Unclaimed = { accountId: string; tokenId: string };

/**
 * Deletes registrations whose account was not claimed in time; their tokens have expired. The account goes too if it holds
 * nothing but what the agent created, so that strangers cannot fill the database. An account that the operator has
 * changed, or that has an owner by now, stays. One account a transaction; several processes may run it at once.
 * @returns how many accounts it removed
 */
export async function sweepUnclaimed(db: Db): Promise<number> {
  const before = addSeconds(await readClock(db), -KEPT_SECONDS);
  return sweep(
    async () => {
      const due = await listUnclaimed(db, before, BATCH);
      // Events that the operator's feed has not taken over yet cannot be removed.
      if (due.length > 0) await extendOperatorFeed(db);
      return due;
    },
    async (unclaimed) => {
      if (await removeWhole(db, unclaimed)) return 1;
      await forgetRegistration(db, unclaimed);
      return 0;
    },
  );
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

/** The account holds more than its agent created: rolls the transaction back. */
class Kept extends Error {}
