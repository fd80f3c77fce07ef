import type { Logger } from "pino";
import type { Db } from "../database/connection.ts";
import { every, type Loop } from "../jobs/every.ts";
import { listSweepStates } from "../jobs/runs.ts";
import { MINUTE, SECOND } from "../lib/time.ts";
import { writeSweeps } from "./sweep-store.ts";

const REPORTED_EVERY = 10 * SECOND;
const SAID_EVERY = 10 * MINUTE;

/**
 * Reports how this process's sweeps stand, so that every other process and `ops` can tell that they run; and says in the
 * log, at once and every 10 minutes, that this process works.
 */
export function reportSweeps(db: Db, logger: Logger): Loop {
  let saidAt = Number.NEGATIVE_INFINITY;
  return every(REPORTED_EVERY, "report of sweeps", logger, async () => {
    const states = listSweepStates();
    const now = Date.now();
    const ago = (time: Date | undefined) => (time === undefined ? null : (now - time.getTime()) / SECOND);
    const reports = states.map(({ job, succeededAt, seconds, failedAt, failures, error }) => ({
      job,
      succeededAgo: ago(succeededAt),
      tookMs: seconds === undefined ? null : Math.round(seconds * SECOND),
      failedAgo: ago(failedAt),
      failures,
      error: error ?? null,
    }));
    await writeSweeps(db, reports);
    if (performance.now() - saidAt < SAID_EVERY) return;
    saidAt = performance.now();
    const runs = states.reduce((sum, state) => sum + state.runs, 0);
    const failing = states.filter(({ failures }) => failures > 0).map(({ job }) => job);
    logger.info({ sweeps: states.length, runs, failing }, "work runs");
  });
}
