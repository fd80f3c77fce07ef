import type { Logger } from "pino";
import type { ChangeBus } from "../database/change-bus.ts";
import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { every, type Loop } from "../jobs/every.ts";
import { addSeconds, SECOND } from "../lib/time.ts";
import { extendOperatorFeed } from "./operator-service.ts";
import { deleteOldEvents, deleteOldOperatorEvents, listOldestEvents } from "./retention-store.ts";
import { OPERATOR_FEED } from "./schemas.ts";

const DAY_SECONDS = 24 * 60 * 60;
const BATCH = 1_000;
const BEFORE_ALL = "00000000-0000-0000-0000-000000000000";

/** Keeps the operator's feed up with what commits: at each wake-up, and every 5 s for what none has told of. */
export function keepOperatorFeed({ db, changeBus }: { db: Db; changeBus: ChangeBus }, logger: Logger): Loop {
  const loop = every(5 * SECOND, "operator's feed", logger, () => extendOperatorFeed(db));
  changeBus.subscribe((woken) => {
    // What only tells that the feed has grown is nothing new for it.
    if (woken === "all" || woken.size > 1 || !woken.has(OPERATOR_FEED)) loop.runNow();
  });
  return loop;
}

/** Forgets what is older than so many days, where the operator has said how many. */
export async function sweepOldEvents(db: Db, days: number | undefined): Promise<void> {
  if (days === undefined) return;
  await forgetOldEvents(db, addSeconds(await readClock(db), -days * DAY_SECONDS));
}

/**
 * Removes events from before then, of every feed, oldest first; whoever still stands there is told by
 * `cursor_expired`. One account and 1,000 events a transaction, several processes may run it at once.
 * @returns how many were removed
 */
export async function forgetOldEvents(db: Db, before: Date): Promise<number> {
  // What the operator's feed has not taken over cannot be removed.
  await extendOperatorFeed(db);
  let removed = await removeAll(db, (trx) => deleteOldOperatorEvents(trx, before, BATCH));
  for (let after = BEFORE_ALL; ; ) {
    const accounts = await listOldestEvents(db, after, before, BATCH);
    for (const { accountId, isOld } of accounts) {
      if (isOld) removed += await removeAll(db, (trx) => deleteOldEvents(trx, accountId, before, BATCH));
    }
    if (accounts.length < BATCH) return removed;
    after = accounts.at(-1)?.accountId ?? after;
  }
}

/** Removes batch after batch, each in a transaction of its own. */
async function removeAll(db: Db, removeBatch: (trx: Trx) => Promise<number>): Promise<number> {
  for (let removed = 0; ; ) {
    const count = await inTransaction(db, removeBatch);
    removed += count;
    if (count < BATCH) return removed;
  }
}
