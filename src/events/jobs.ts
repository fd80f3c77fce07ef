import type { Logger } from "pino";
import type { ChangeBus } from "../database/change-bus.ts";
import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { every, type Loop } from "../jobs/every.ts";
import { sweep, sweepRows } from "../jobs/sweep.ts";
import { addSeconds, DAY_SECONDS, SECOND } from "../lib/time.ts";
import { extendOperatorFeed } from "./operator-service.ts";
import { deleteOldEvents, deleteOldOperatorEvents, listOldEvents } from "./retention-store.ts";
import { OPERATOR_FEED } from "./schemas.ts";

const BATCH = 1_000;

/** Extends the operator's feed at each change, and every 5 s in case a change was not announced. */
export function keepOperatorFeed({ db, changeBus }: { db: Db; changeBus: ChangeBus }, logger: Logger): Loop {
  const loop = every(5 * SECOND, "operator's feed", logger, () => extendOperatorFeed(db));
  changeBus.subscribe((woken) => {
    // The operator's feed announces its own growth, too.
    if (woken === "all" || woken.size > 1 || !woken.has(OPERATOR_FEED)) loop.runNow();
  });
  return loop;
}

/** Deletes events that are older than `EVENT_RETENTION_DAYS`, if it is set. */
export async function sweepOldEvents(db: Db, days: number | undefined): Promise<void> {
  if (days === undefined) return;
  await forgetOldEvents(db, addSeconds(await readClock(db), -days * DAY_SECONDS));
}

/**
 * Deletes events from before then, oldest first, from every feed. A reader whose cursor points at them gets
 * `cursor_expired`. One account and 1,000 events a transaction; several processes may run it at once.
 * @returns how many were deleted
 */
export async function forgetOldEvents(db: Db, before: Date): Promise<number> {
  // Events that the operator's feed has not taken over yet cannot be removed.
  await extendOperatorFeed(db);
  const remove = (batch: (trx: Trx) => Promise<number>) => sweepRows(BATCH, () => inTransaction(db, batch));
  const ofOperator = await remove((trx) => deleteOldOperatorEvents(trx, before, BATCH));
  let last: Awaited<ReturnType<typeof listOldEvents>>[number] | undefined;
  const ofAccounts = await sweep(
    async () => {
      const old = await listOldEvents(db, last, before, BATCH);
      last = old.at(-1) ?? last;
      return [...new Set(old.map(({ accountId }) => accountId))];
    },
    (accountId) => remove((trx) => deleteOldEvents(trx, accountId, before, BATCH)),
    { advances: true },
  );
  return ofOperator + ofAccounts;
}
