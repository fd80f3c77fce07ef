import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";

export type Loop = { stop(): Promise<void> };

/**
 * Runs `task` again and again, `milliseconds` after it last ended. One that fails is logged and tried again
 * at the next turn: what it works on is in the database and says itself what is due (invariant 5).
 */
export function every(
  milliseconds: number,
  name: string,
  logger: Logger,
  task: () => Promise<unknown>,
): Loop {
  const stopping = new AbortController();
  const running = (async () => {
    while (!stopping.signal.aborted) {
      await delay(milliseconds, undefined, { signal: stopping.signal }).catch(() => {});
      if (stopping.signal.aborted) return;
      await task().catch((error: unknown) =>
        logger.warn({ err: error, job: name }, "job failed, will be tried again"),
      );
    }
  })();
  return {
    stop() {
      stopping.abort();
      return running;
    },
  };
}
