import type { Logger } from "pino";
import { readClock } from "../database/clock.ts";
import { advanceTopUp, nextLook } from "./checkout-service.ts";
import type { TopUpDeps } from "./top-up-service.ts";
import { findTopUp, listDueTopUps, takeTopUp } from "./top-up-store.ts";

const BATCH = 20;
/** At most so many batches a sweep: what is looked at is due later than now, so that few are ever needed. */
const TURNS = 50;

/**
 * Asks about top-ups whose page is open, and ends those whose time has passed. Several processes may run it at once.
 */
export async function sweepDueTopUps(deps: TopUpDeps, logger: Logger): Promise<void> {
  for (let turn = 1; turn <= TURNS; turn++) {
    const due = await listDueTopUps(deps.db, await readClock(deps.db), BATCH);
    await Promise.all(
      due.map(async (key) => {
        try {
          const now = await readClock(deps.db);
          const row = await findTopUp(deps.db, key);
          if (row === undefined || !(await takeTopUp(deps.db, key, { now, dueAt: nextLook(row, now) })))
            return;
          if ((await advanceTopUp(deps, key)) === "twice") alertPaidTwice(logger, key);
        } catch (error) {
          logger.warn({ err: error, ...key }, "a top-up could not be advanced; it will be tried again");
        }
      }),
    );
    if (due.length < BATCH) return;
  }
}

function alertPaidTwice(logger: Logger, { accountId, id }: { accountId: string; id: string }): void {
  logger.error({ alert: "top_up_paid_twice", accountId, topUpId: id }, "a top-up was paid on two pages");
}
