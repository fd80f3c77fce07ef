import { Type } from "@sinclair/typebox";
import type { App } from "../http/app.ts";
import { acceptNoBody, NoBody } from "../http/body.ts";
import { refuseIdempotencyKey } from "../http/idempotency.ts";
import { ref } from "../lib/schema.ts";
import {
  deleteOperatorWebhook,
  getOperatorWebhook,
  putOperatorWebhook,
  rotateOperatorSecret,
} from "../webhooks/operator-service.ts";
import { OperatorWebhook, OperatorWebhookBody, Secret } from "../webhooks/schemas.ts";
import type { WebhookDeps } from "../webhooks/service.ts";
import { operatorOf } from "./gate.ts";
import { Deleted, describe } from "./schemas.ts";

const Shown = Type.Object({ webhook: ref(OperatorWebhook) });
const Disclosed = Type.Object({ webhook: ref(OperatorWebhook), secret: Secret });

/** /webhook of the operator: the events of all accounts, sent to one URL (docs/contract.md §8). */
export function operatorWebhookRoutes(app: App, deps: WebhookDeps): void {
  const { db } = deps;
  const put = describe("putOperatorWebhook", "Have the events of all accounts sent to a URL", {
    body: OperatorWebhookBody,
    response: { 200: Shown, 201: Disclosed },
  });
  app.put("/webhook", { ...put, preHandler: refuseIdempotencyKey }, async (request, reply) => {
    const { webhook, secret } = await putOperatorWebhook(deps, request.body.url, operatorOf(request));
    return secret === undefined ? reply.send({ webhook }) : reply.code(201).send({ webhook, secret });
  });

  const read = describe(
    "getOperatorWebhook",
    "Read how the operator's webhook stands",
    { response: { 200: Shown } },
    ["not_found"],
  );
  app.get("/webhook", read, async () => ({ webhook: await getOperatorWebhook(db) }));

  app.register(async (scope: App) => {
    acceptNoBody(scope);
    const rotate = describe(
      "rotateOperatorWebhookSecret",
      "Replace the secret of the operator's webhook",
      { body: NoBody, response: { 200: Disclosed } },
      ["not_found"],
    );
    scope.post("/webhook/rotate-secret", { ...rotate, preHandler: refuseIdempotencyKey }, async (request) =>
      rotateOperatorSecret(deps, operatorOf(request)),
    );

    const remove = describe(
      "deleteOperatorWebhook",
      "Delete the operator's webhook",
      { body: NoBody, response: { 200: Deleted } },
      ["not_found"],
    );
    scope.delete("/webhook", remove, async (request) => {
      await deleteOperatorWebhook(db, operatorOf(request));
      return { deleted: true as const };
    });
  });
}
