import type { Logger } from "pino";

export type Background = ReturnType<typeof createBackground>;

/** Work that no answer waits for, so that an answer takes as long with it as without it. What fails is in the log. */
export function createBackground(logger: Logger) {
  const running = new Set<Promise<void>>();
  return {
    /** @param what the log calls it when it fails */
    start(what: string, work: () => Promise<void>): void {
      const done = work()
        .catch((error: unknown) => logger.error({ err: error }, `${what} failed`))
        .finally(() => running.delete(done));
      running.add(done);
    },
    /** For whoever stops: ends with the last work that runs. */
    async settled(): Promise<void> {
      while (running.size > 0) await Promise.all(running);
    },
  };
}
