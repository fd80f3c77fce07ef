import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { MINUTE } from "../lib/time.ts";
import { noteRun } from "./runs.ts";

export type Loop = {
  /** Starts the next run at once, or right after the current one. */
  runNow(): void;
  stop(): Promise<void>;
};

/** A sweep that keeps failing is logged this often, and as an error once it has failed for so long: then a person looks. */
const REPEATED = MINUTE;
const SERIOUS = 5 * MINUTE;

/**
 * Runs `task` repeatedly, `milliseconds` after its last run ended, or at once after `runNow`. A failed run is tried again:
 * the database says what is due (invariant 5). A run that returns a count is logged if it did something; failures are
 * logged when they begin, once a minute, and when they end.
 */
export function every(
  milliseconds: number,
  name: string,
  logger: Logger,
  task: () => Promise<unknown>,
): Loop {
  let stopped = false;
  let pause = new AbortController();
  const failures = new Failures(name, logger);
  const running = (async () => {
    for (;;) {
      await delay(milliseconds, undefined, { signal: pause.signal }).catch(() => {});
      if (stopped) return;
      pause = new AbortController();
      const began = performance.now();
      try {
        const result = await task();
        const done = typeof result === "number" ? result : 0;
        noteRun(name, { milliseconds: performance.now() - began, done });
        if (done > 0) logger.info({ job: name, done }, "job done");
        failures.end();
      } catch (error) {
        noteRun(name, { milliseconds: performance.now() - began, error: error ?? "unknown" });
        failures.note(error);
      }
    }
  })();
  return {
    runNow() {
      pause.abort();
    },
    stop() {
      stopped = true;
      pause.abort();
      return running;
    },
  };
}

class Failures {
  readonly #job: string;
  readonly #logger: Logger;
  #count = 0;
  #since = 0;
  #loggedAt = 0;

  constructor(job: string, logger: Logger) {
    this.#job = job;
    this.#logger = logger;
  }

  note(error: unknown): void {
    const now = performance.now();
    this.#count += 1;
    if (this.#count === 1) this.#since = now;
    else if (now - this.#loggedAt < REPEATED) return;
    this.#loggedAt = now;
    const level = now - this.#since < SERIOUS ? "warn" : "error";
    const fields = { err: error, job: this.#job, failures: this.#count };
    this.#logger[level](fields, "job failed, will be tried again");
  }

  end(): void {
    if (this.#count > 0) this.#logger.info({ job: this.#job, failures: this.#count }, "job works again");
    this.#count = 0;
  }
}
