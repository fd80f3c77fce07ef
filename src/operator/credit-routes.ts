import { CreditEntry } from "../billing/credit-schemas.ts";
import type { App } from "../http/app.ts";
import { findAccount, type OperatorDeps } from "./account-service.ts";
import { postAdjustment } from "./credit-service.ts";
import { operatorOf } from "./gate.ts";
import { AccountParams, AdjustmentBody, describe, one } from "./schemas.ts";

/** POST /accounts/{id}/credits/adjustments of the operator (docs/contract.md §8). */
export function creditAdjustmentRoute(app: App, deps: OperatorDeps): void {
  const adjust = describe("adjustCredits", "Correct an account's available credits", {
    params: AccountParams,
    body: AdjustmentBody,
    response: { 201: one("entry", CreditEntry) },
  });
  app.post("/accounts/:accountId/credits/adjustments", adjust, async (request, reply) => {
    const { accountId } = await findAccount(deps.db, request.params.accountId);
    const entry = await postAdjustment(deps, accountId, request.body, operatorOf(request));
    return reply.code(201).send({ entry });
  });
}
