import type { Db } from "../database/connection.ts";
import { pendingMigrations } from "../database/migrate.ts";
import type { App } from "../http/app.ts";
import { Problem } from "../lib/problems.ts";

const RETRY_AFTER_SECONDS = 2;

/** GET /livez: the process answers. GET /readyz: the database can be reached and is migrated. */
export function healthRoutes(app: App, db: Db): void {
  const options = { config: { access: { by: "public" as const } }, schema: { hide: true } };
  app.get("/livez", options, async () => ({ status: "live" }));
  app.get("/readyz", options, async () => {
    const pending = await pendingMigrations(db);
    if (pending.length === 0) return { status: "ready" };
    throw new Problem(
      "unavailable",
      { retryAfterSeconds: RETRY_AFTER_SECONDS },
      "The database is behind this version. Run `npm run migrate`, or the image with `migrate`.",
    );
  });
}
