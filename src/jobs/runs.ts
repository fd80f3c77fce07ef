import { noteSweep } from "../metrics/metrics.ts";

/** How a sweep of this process stands. */
export type SweepState = {
  job: string;
  succeededAt: Date | undefined;
  /** How long the last run that succeeded took. */
  seconds: number | undefined;
  failedAt: Date | undefined;
  /** Runs that failed since the last success. */
  failures: number;
  error: string | undefined;
  /** Runs so far. */
  runs: number;
};

const states = new Map<string, SweepState>();

/** Every sweep that has run in this process. */
export function listSweepStates(): readonly SweepState[] {
  return [...states.values()];
}

/**
 * Notes a run.
 * @param run.error what it failed with; absent: it succeeded
 * @returns how the sweep stands now
 */
export function noteRun(
  job: string,
  { milliseconds, done = 0, error }: { milliseconds: number; done?: number; error?: unknown },
): SweepState {
  const ok = error === undefined;
  const seconds = milliseconds / 1_000;
  noteSweep(job, { ok, seconds, done });
  const state = states.get(job) ?? newState(job);
  states.set(job, state);
  state.runs += 1;
  if (ok) Object.assign(state, { succeededAt: new Date(), seconds, failures: 0, error: undefined });
  else {
    state.failedAt = new Date();
    state.failures += 1;
    state.error = error instanceof Error ? error.message.split("\n", 1)[0]?.slice(0, 200) : "unknown";
  }
  return state;
}

function newState(job: string): SweepState {
  const nothing = { succeededAt: undefined, seconds: undefined, failedAt: undefined, error: undefined };
  return { job, ...nothing, failures: 0, runs: 0 };
}
