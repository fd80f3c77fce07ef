import { findFaults } from "../database/checks.ts";
import type { Db } from "../database/connection.ts";
import type { App } from "../http/app.ts";
import { Problem } from "../lib/problems.ts";

const RETRY_AFTER_SECONDS = 2;

/** GET /livez: the process answers. GET /readyz: the database can be reached and is as the service needs it. */
export function healthRoutes(app: App, db: Db): void {
  const options = { config: { access: { by: "public" as const } }, schema: { hide: true } };
  app.get("/livez", options, async () => ({ status: "live" }));
  app.get("/readyz", options, async () => {
    const faults = await findFaults(db);
    if (faults.length === 0) return { status: "ready" };
    throw new Problem("unavailable", { retryAfterSeconds: RETRY_AFTER_SECONDS }, faults.join(" "));
  });
}
