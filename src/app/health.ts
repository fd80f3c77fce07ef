import { findFaults } from "../database/checks.ts";
import type { Db } from "../database/connection.ts";
import { probeWrites } from "../database/write-probe.ts";
import type { App } from "../http/app.ts";
import type { Draining } from "../http/draining.ts";
import { Problem } from "../lib/problems.ts";
import { SECOND } from "../lib/time.ts";
import { openMetrics } from "../monitoring/gauges-service.ts";
import { readWorkSeen } from "../monitoring/sweep-store.ts";

const RETRY_AFTER_SECONDS = 2;
/** Orchestrators ask each second or so, and a commit each time would be a load of its own. */
const PROBED_EVERY = 5 * SECOND;
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export type HealthDeps = { db: Db; draining?: Draining | undefined };

const options = { config: { access: { by: "public" as const } }, schema: { hide: true } };

/**
 * GET /livez: the process answers. GET /readyz: it is not about to stop, and the database can be reached, takes writes, and
 * is as the service needs it; the answer says when a `work` was last seen, which fails nothing (docs/contract.md §8).
 */
export function healthRoutes(app: App, { db, draining }: HealthDeps): void {
  const assertWritable = openWriteProbe(db);
  app.get("/livez", options, async () => ({ status: "live" }));
  app.get("/readyz", options, async () => {
    if (draining?.begun) throw unready("This process is stopping.");
    const faults = await findFaults(db);
    if (faults.length > 0) throw unready(faults.join(" "));
    await assertWritable();
    const seen = await readWorkSeen(db);
    return { status: "ready", workSeenAt: seen?.at.toISOString() ?? null };
  });
}

/** GET /metrics, in Prometheus's text format. @param access who may read it */
export function metricsRoute(app: App, db: Db, access: { by: "public" } | { by: "operator" }): void {
  const write = openMetrics(db);
  app.get("/metrics", { config: { access }, schema: { hide: true } }, async (_request, reply) =>
    reply.type(METRICS_TYPE).send(await write()),
  );
}

/** A failure is probed again each time, so that readiness is back as soon as the database is. */
function openWriteProbe(db: Db): () => Promise<void> {
  let writableAt = Number.NEGATIVE_INFINITY;
  let probing: Promise<void> | undefined;
  const probe = async (): Promise<void> => {
    try {
      await probeWrites(db);
      writableAt = performance.now();
    } finally {
      probing = undefined;
    }
  };
  return async () => {
    if (performance.now() - writableAt < PROBED_EVERY) return;
    probing ??= probe();
    await probing.catch((error: unknown) => {
      const code = error instanceof Error && "code" in error ? error.code : "no answer";
      throw unready(`The database takes no writes (${code}).`, error);
    });
  };
}

function unready(message: string, cause?: unknown): Problem {
  const problem = new Problem("unavailable", { retryAfterSeconds: RETRY_AFTER_SECONDS }, message);
  problem.cause = cause;
  return problem;
}
