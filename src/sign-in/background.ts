import type { Logger } from "pino";

export type Background = ReturnType<typeof createBackground>;

/** Runs work that no response waits for, so that response times do not reveal it. Failures are logged. */
export function createBackground(logger: Logger) {
  const running = new Set<Promise<void>>();
  return {
    /** @param what names the work in the log when it fails */
    start(what: string, work: () => Promise<void>): void {
      const done = work()
        .catch((error: unknown) => logger.error({ err: error }, `${what} failed`))
        .finally(() => running.delete(done));
      running.add(done);
    },
    /** Resolves when no work runs; called at shutdown. */
    async settled(): Promise<void> {
      while (running.size > 0) await Promise.all(running);
    },
  };
}
