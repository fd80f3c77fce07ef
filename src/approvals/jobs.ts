import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { expireApprovals } from "./service.ts";
import { listLapsed } from "./store.ts";

const BATCH = 500;

/**
 * Flips approvals whose 72 hours have passed, each with its event, one subject a transaction. Any number of
 * processes may run it at once: each flip happens once.
 * @returns how many this run flipped
 */
export async function sweepLapsedApprovals(db: Db): Promise<number> {
  let flipped = 0;
  for (;;) {
    const lapsed = await listLapsed(db, await readClock(db), BATCH);
    for (const { accountId, id } of lapsed) flipped += await expireApprovals(db, accountId, [id]);
    if (lapsed.length < BATCH) return flipped;
  }
}
