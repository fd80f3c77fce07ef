import { type GateDeps, openGate } from "../accounts/gate.ts";
import { readGrant } from "../accounts/service.ts";
import type { Db } from "../database/connection.ts";
import type { App } from "../http/app.ts";
import { ref } from "../lib/schema.ts";
import { FEED_SCOPES, Updates, UpdatesQuery } from "./schemas.ts";
import { readUpdates } from "./service.ts";

/** GET /updates (CONTRACT.md §2). Works before the claim. */
export function updatesRoute(app: App, deps: GateDeps & { db: Db }): void {
  const { db } = deps;
  const gate = openGate(deps, { by: "token", scopes: FEED_SCOPES }, [], (credential) =>
    readGrant(db, credential),
  );

  app.get(
    "/updates",
    {
      ...gate.options,
      schema: {
        operationId: "listUpdates",
        summary: "Read the account's feed",
        description:
          "Events, oldest first. Follow `nextCursor`: you see every event once and in order, and never one that was " +
          "rolled back. Types that the token may not read are left out.",
        tags: ["Updates"],
        querystring: UpdatesQuery,
        response: { 200: ref(Updates) },
      },
    },
    async (request) => readUpdates(db, gate.grant(request), request.query),
  );
}
