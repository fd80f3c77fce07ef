import type { Db } from "../database/connection.ts";
import { readOperatorUpdates } from "../events/operator-service.ts";
import { OPERATOR_FEED, OperatorUpdates, UpdatesQuery } from "../events/schemas.ts";
import type { Waiters } from "../events/waiters.ts";
import type { App } from "../http/app.ts";
import { onHangUp } from "../http/hang-up.ts";
import { ref } from "../lib/schema.ts";

/** GET /updates of the operator: the events of all accounts, under the promise of docs/contract.md §2 (§8). */
export function operatorFeedRoute(app: App, { db, waiters }: { db: Db; waiters: Waiters }): void {
  app.get(
    "/updates",
    {
      config: { access: { by: "operator" as const } },
      schema: {
        operationId: "listOperatorUpdates",
        summary: "Read the feed of all accounts",
        tags: ["Operator"],
        querystring: UpdatesQuery,
        response: { 200: ref(OperatorUpdates) },
      },
    },
    async (request, reply) => {
      const { wait = 0, ...page } = request.query;
      const waiting = {
        feed: OPERATOR_FEED,
        holder: OPERATOR_FEED,
        seconds: wait,
        onHangUp: (listener: () => void) => onHangUp(reply, listener),
        // The key does not change while the process runs.
        recheck: async () => {},
      };
      return waiters.hold(waiting, page, (query) => readOperatorUpdates(db, query));
    },
  );
}
