import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";

export type Loop = {
  /** Begins the next turn at once. A turn that is running is followed by another. */
  runNow(): void;
  stop(): Promise<void>;
};

/**
 * Runs `task` again and again, `milliseconds` after it last ended, or when it is hurried. One that fails is
 * logged and tried again at the next turn: what it works on is in the database and says itself what is due
 * (invariant 5).
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
      await task().catch((error: unknown) =>
        logger.warn({ err: error, job: name }, "job failed, will be tried again"),
      );
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
