import { answerOnce } from "../accounts/idempotency-service.ts";
import { CreditEntry } from "../billing/credit-schemas.ts";
import type { App } from "../http/app.ts";
import { IdempotencyHeaders, readIdempotencyKey } from "../http/idempotency.ts";
import { findAccount, type OperatorDeps } from "./account-service.ts";
import { operatorKeyRef, postAdjustment } from "./credit-service.ts";
import { operatorOf } from "./gate.ts";
import { AccountParams, AdjustmentBody, describe, one } from "./schemas.ts";

/** POST /accounts/{id}/credits/adjustments of the operator (docs/contract.md §8). Takes an `Idempotency-Key`. */
export function creditAdjustmentRoute(app: App, deps: OperatorDeps): void {
  const adjust = describe(
    "adjustCredits",
    "Correct an account's available credits",
    {
      params: AccountParams,
      headers: IdempotencyHeaders,
      body: AdjustmentBody,
      response: { 201: one("entry", CreditEntry) },
    },
    ["request_in_progress", "idempotency_key_reused"],
  );
  app.post("/accounts/:accountId/credits/adjustments", adjust, async (request, reply) => {
    const { accountId } = await findAccount(deps.db, request.params.accountId);
    const keyed = readIdempotencyKey(request, reply);
    const ref = keyed && { ...(await operatorKeyRef(deps.db, accountId)), ...keyed };
    const entry = await answerOnce<CreditEntry>(deps.db, ref, (keep) =>
      postAdjustment(deps, accountId, request.body, operatorOf(request), keep),
    );
    return reply.code(201).send({ entry });
  });
}
