import { type GateDeps, openGrantGate } from "../accounts/gate.ts";
import type { Db } from "../database/connection.ts";
import type { App } from "../http/app.ts";
import { onHangUp } from "../http/hang-up.ts";
import { ref } from "../lib/schema.ts";
import { Updates, UpdatesQuery } from "./schemas.ts";
import { readUpdates } from "./service.ts";
import type { Waiters } from "./waiters.ts";

/** GET /updates (docs/contract.md §2). Works before the claim. */
export function updatesRoute(app: App, deps: GateDeps & { db: Db; waiters: Waiters }): void {
  const { db, waiters } = deps;
  const gate = openGrantGate(deps, "listUpdates", ["cursor_ahead", "cursor_expired"]);

  app.get(
    "/updates",
    {
      ...gate.options,
      schema: {
        operationId: "listUpdates",
        summary: "Read the account's feed",
        description:
          "Events, oldest first. Follow `nextCursor`: you see every event once and in order, and never one that was " +
          "rolled back. Types that the token may not read are left out, and `nextCursor` goes past them.\n\n" +
          "With `wait`, a request for which there is no event is held until one comes that the token may read, or " +
          "until the time is up; then the page is empty. Ask again at once, with its `nextCursor`. A token may have " +
          "20 requests waiting, with those of the tokens that it minted.",
        tags: ["Updates"],
        querystring: UpdatesQuery,
        response: { 200: ref(Updates) },
      },
    },
    async (request, reply) => {
      const { wait = 0, ...page } = request.query;
      const { accountId, rootTokenId } = gate.grant(request);
      const waiting = {
        feed: accountId,
        holder: rootTokenId,
        seconds: wait,
        onHangUp: (listener: () => void) => onHangUp(reply, listener),
        recheck: () => gate.again(request, reply),
      };
      return waiters.hold(waiting, page, (query) => readUpdates(db, gate.grant(request), query));
    },
  );
}
