import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";

export type Loop = {
  /** Starts the next run at once, or right after the current one. */
  runNow(): void;
  stop(): Promise<void>;
};

/**
 * Runs `task` repeatedly, `milliseconds` after its last run ended, or at once after `runNow`. A failed run is logged and
 * tried again: the database says what is due (invariant 5). A run that returns a count is logged if it did something.
 */
export function every(
  milliseconds: number,
  name: string,
  logger: Logger,
  task: () => Promise<unknown>,
): Loop {
  let stopped = false;
  let pause = new AbortController();
  const running = (async () => {
    for (;;) {
      await delay(milliseconds, undefined, { signal: pause.signal }).catch(() => {});
      if (stopped) return;
      pause = new AbortController();
      try {
        const done = await task();
        if (typeof done === "number" && done > 0) logger.info({ job: name, done }, "job done");
      } catch (error) {
        logger.warn({ err: error, job: name }, "job failed, will be tried again");
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
