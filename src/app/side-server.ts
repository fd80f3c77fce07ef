import type { Logger } from "pino";
import type { Config } from "../config/config.ts";
import type { Db } from "../database/connection.ts";
import type { App } from "../http/app.ts";
import type { Draining } from "../http/draining.ts";
import { createServer, handleUnknownRoutes } from "../http/server.ts";
import { Problem } from "../lib/problems.ts";
import { StartError } from "../lib/start-error.ts";
import { healthRoutes, metricsRoute } from "./health.ts";

/** Monitoring alone calls here. */
const CONNECTIONS = { total: 32 };

export type SideServerDeps = { config: Config; db: Db; draining: Draining; logger: Logger };

/**
 * Listens on a port of its own for monitoring alone: /metrics without a key, and where `health` is set /livez and /readyz.
 * The port must not be open to others (docs/operations.md, Metrics).
 * @returns how to stop
 * @throws StartError when it cannot listen
 */
export async function listenForMonitoring(
  { config, db, draining, logger }: SideServerDeps,
  { port, setting, health }: { port: number; setting: string; health: boolean },
): Promise<() => Promise<void>> {
  const app: App = createServer({ logger, trustProxy: false, connections: CONNECTIONS, draining });
  handleUnknownRoutes(app, () => {
    throw new Problem("not_found", { resource: "routes" }, "There is nothing at this address.");
  });
  if (health) healthRoutes(app, { db, draining });
  metricsRoute(app, db, { by: "public" });
  await app.listen({ host: config.host, port }).catch((error: unknown) => {
    throw asStartError(error, { host: config.host, port, setting });
  });
  return () => app.close();
}

/** @param setting the variable that names the port */
export function asStartError(
  error: unknown,
  { host, port, setting }: { host: string; port: number; setting: string },
): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EADDRINUSE")
    return new StartError(`Port ${port} on ${host} is taken: stop what uses it, or set ${setting}.`);
  if (code === "EACCES")
    return new StartError(`Port ${port} needs rights that this user lacks: set ${setting} to 1024 or more.`);
  if (code === "EADDRNOTAVAIL") return new StartError(`HOST ${host} is not an address of this machine.`);
  return error;
}
