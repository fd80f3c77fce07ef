import cluster, { type Worker } from "node:cluster";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import type { Config } from "../config/config.ts";
import { MINUTE, SECOND } from "../lib/time.ts";

/** Fewer connections would let a request wait for one that itself waits. */
const CONNECTIONS_AT_LEAST = 2;
/** A process that keeps ending is started again after 1, 2, 4 … seconds, and after 32 at most. */
const DOUBLINGS = 5;

/** What each process is told instead of what the primary was told: its share of the connections, and ports of its own. */
function environmentOf(config: Config, number: number): Record<string, string> {
  const { webConcurrency, databasePoolSize, metricsPort } = config;
  const share = Math.max(CONNECTIONS_AT_LEAST, Math.floor(databasePoolSize / webConcurrency));
  return {
    WEB_CONCURRENCY: "1",
    DATABASE_POOL_SIZE: String(share),
    ...(metricsPort !== undefined && { METRICS_PORT: String(metricsPort + number) }),
    // The first one has migrated before the others start.
    ...(number > 0 && { MIGRATE_ON_START: "false" }),
  };
}

/**
 * Runs `WEB_CONCURRENCY` processes that share PORT, and starts one again that ends. The first runs `command`, the others
 * only serve. Returns once SIGTERM or SIGINT has stopped them all.
 * @returns the exit code: that of the first process if it could not start, else 0
 */
export async function superviseWorkers(config: Config, command: string, logger: Logger): Promise<number> {
  const workers = new Set<Worker>();
  const restarts: Promise<void>[] = [];
  const stopping = new AbortController();
  const stopped = once(stopping.signal, "abort");

  const fork = (number: number): Worker => {
    cluster.setupPrimary({ args: [number === 0 ? command : "serve"] });
    const worker = cluster.fork(environmentOf(config, number));
    workers.add(worker);
    worker.once("exit", () => workers.delete(worker));
    logger.info({ worker: number, pid: worker.process.pid }, "process started");
    return worker;
  };
  const keep = async (number: number, first?: Worker): Promise<void> => {
    let failures = 0;
    for (let worker = first ?? fork(number); ; worker = fork(number)) {
      const began = Date.now();
      const [code, signal] = await once(worker, "exit");
      if (stopping.signal.aborted) return;
      failures = Date.now() - began > MINUTE ? 0 : failures + 1;
      logger.error({ worker: number, code, signal }, "a process ended and is started again");
      const wait = SECOND * 2 ** Math.min(failures - 1, DOUBLINGS);
      await delay(Math.max(wait, SECOND), undefined, { signal: stopping.signal }).catch(() => {});
      if (stopping.signal.aborted) return;
    }
  };
  const stop = (signal: NodeJS.Signals): void => {
    logger.info({ signal }, "stopping");
    stopping.abort();
    for (const worker of workers) worker.process.kill("SIGTERM");
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, stop);

  const first = fork(0);
  const ended = once(first, "exit");
  const code = await Promise.race([once(first, "listening"), ended.then(([code]) => code as number | null)]);
  if (!Array.isArray(code)) return stopping.signal.aborted ? 0 : (code ?? 1);
  for (let number = 0; number < config.webConcurrency; number++)
    restarts.push(keep(number, number === 0 ? first : undefined));
  await stopped;
  await Promise.all(restarts);
  return 0;
}
