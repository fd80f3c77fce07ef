import type { Logger } from "pino";
import { readClock } from "../database/clock.ts";
import { advanceTopUp, nextLook } from "./checkout-service.ts";
import { LOOK_AGAIN_AT_MOST } from "./look-rules.ts";
import { type TopUpDeps, TTL_SECONDS } from "./top-up-service.ts";
import { findTopUp, listDueTopUps, shortenTopUpWaits, takeTopUp } from "./top-up-store.ts";

const BATCH = 20;
/** Batches a sweep at most. What is read is due later than now, so few are needed. */
const TURNS = 50;

/** Reads top-ups with an open page, and ends those that have expired. Several processes may run it at once. */
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

/** Shortens waits that a clock set back has made too long. Several processes may run it at once. */
export function shortenWaits({ db }: Pick<TopUpDeps, "db">): Promise<void> {
  return shortenTopUpWaits(db, { lastsSeconds: TTL_SECONDS, waitSeconds: LOOK_AGAIN_AT_MOST });
}

function alertPaidTwice(logger: Logger, { accountId, id }: { accountId: string; id: string }): void {
  logger.error({ alert: "top_up_paid_twice", accountId, topUpId: id }, "a top-up was paid on two pages");
}
