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

const Shown = Type.Object({ webhook: ref(OperatorWebhook) });
const Disclosed = Type.Object({ webhook: ref(OperatorWebhook), secret: Secret });
const config = { access: { by: "operator" as const }, problems: ["not_found" as const] };
const describe = (operationId: string, summary: string) => ({ operationId, summary, tags: ["Operator"] });

/** /webhook of the operator: the events of all accounts, sent to one URL (docs/contract.md §8). */
export function operatorWebhookRoutes(app: App, deps: WebhookDeps): void {
  const { db } = deps;
  app.put(
    "/webhook",
    {
      config,
      preHandler: refuseIdempotencyKey,
      schema: {
        ...describe("putOperatorWebhook", "Have the events of all accounts sent to a URL"),
        body: OperatorWebhookBody,
        response: { 200: Shown, 201: Disclosed },
      },
    },
    async (request, reply) => {
      const { webhook, secret } = await putOperatorWebhook(deps, request.body.url, operatorOf(request));
      return secret === undefined ? reply.send({ webhook }) : reply.code(201).send({ webhook, secret });
    },
  );

  app.get(
    "/webhook",
    {
      config,
      schema: {
        ...describe("getOperatorWebhook", "Read how the operator's webhook stands"),
        response: { 200: Shown },
      },
    },
    async () => ({ webhook: await getOperatorWebhook(db) }),
  );

  app.register(async (scope: App) => {
    acceptNoBody(scope);
    scope.post(
      "/webhook/rotate-secret",
      {
        config,
        preHandler: refuseIdempotencyKey,
        schema: {
          ...describe("rotateOperatorWebhookSecret", "Replace the secret of the operator's webhook"),
          body: NoBody,
          response: { 200: Disclosed },
        },
      },
      async (request) => rotateOperatorSecret(deps, operatorOf(request)),
    );

    scope.delete(
      "/webhook",
      {
        config,
        schema: {
          ...describe("deleteOperatorWebhook", "Delete the operator's webhook"),
          body: NoBody,
          response: { 200: Type.Object({ deleted: Type.Literal(true) }) },
        },
      },
      async (request) => {
        await deleteOperatorWebhook(db, operatorOf(request));
        return { deleted: true as const };
      },
    );
  });
}
