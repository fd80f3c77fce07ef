import { type GateDeps, openGrantGate } from "../accounts/gate.ts";
import type { Db } from "../database/connection.ts";
import type { App } from "../http/app.ts";
import { listPendingPayments } from "./payment-service.ts";
import { PendingPayments } from "./schemas.ts";

/** GET /payments/pending (docs/contract.md §5): confirmed payments that wait. */
export function pendingPaymentsRoute(app: App, deps: GateDeps & { db: Db }): void {
  const gate = openGrantGate(deps, "listPendingPayments");
  app.get(
    "/payments/pending",
    {
      ...gate.options,
      schema: {
        operationId: "listPendingPayments",
        summary: "List the payments that are pending",
        description:
          "What a human has confirmed and what waits: for the bank, for the human, or for the processor. Newest first, at most " +
          "100. Works before the claim.",
        tags: ["Payments"],
        response: { 200: PendingPayments },
      },
    },
    async (request) => ({ payments: await listPendingPayments(deps.db, gate.grant(request).accountId) }),
  );
}
