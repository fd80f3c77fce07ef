import type { Db } from "../database/connection.ts";
import type { App } from "../http/app.ts";
import { operatorOf } from "./gate.ts";
import { getPause, putPause } from "./pause-service.ts";
import { PauseBody, PauseState } from "./schemas.ts";

const config = { access: { by: "operator" as const } };
const describe = (operationId: string, summary: string) => ({ operationId, summary, tags: ["Operator"] });

/** /pause of the operator: whether anything new is paid, in the whole service (docs/contract.md §8). */
export function pauseRoutes(app: App, { db }: { db: Db }): void {
  app.put(
    "/pause",
    {
      config,
      schema: {
        ...describe("putPause", "Pause all payments, or resume them"),
        body: PauseBody,
        response: { 200: PauseState },
      },
    },
    async (request) => putPause(db, request.body.paymentsPaused, operatorOf(request)),
  );

  app.get(
    "/pause",
    {
      config,
      schema: { ...describe("getPause", "Read whether payments are paused"), response: { 200: PauseState } },
    },
    async () => getPause(db),
  );
}
