import { Type } from "@sinclair/typebox";
import { type GateDeps, openUnkeyedGate } from "../accounts/gate.ts";
import type { App } from "../http/app.ts";
import { acceptNoBody, NoBody } from "../http/body.ts";
import { originOf } from "../http/origin.ts";
import { addByToken, deleteByToken, redeliverByToken, rotateByToken } from "./by-token-service.ts";
import {
  Deliveries,
  DeliveriesQuery,
  OneDelivery,
  OneWebhook,
  WEBHOOK_CREATED,
  WebhookBody,
  WebhookCreated,
  WebhookDeleted,
  WebhookList,
  WebhookRotated,
} from "./schemas.ts";
import { getWebhook, listDeliveries, listWebhooks, type WebhookDeps } from "./service.ts";

const WebhookParams = Type.Object({ webhookId: Type.String() });
const DeliveryParams = Type.Object({ webhookId: Type.String(), deliveryId: Type.String() });
const OWN_ROOT = "Only for webhooks that the token's own root token, or one that descends from it, made.";
const READ_SCOPES = "The token needs the scope to read each of the webhook's event types, too.";

/** POST /webhooks, GET /webhooks, GET /webhooks/{id} and its deliveries (docs/contract.md §3). */
export function webhookRoutes(app: App, deps: GateDeps & WebhookDeps): void {
  const { db } = deps;
  const creating = openUnkeyedGate(deps, "createWebhook", ["webhook_limit_reached"]);
  const listing = openUnkeyedGate(deps, "listWebhooks", ["bad_request"]);
  const reading = openUnkeyedGate(deps, "getWebhook", ["bad_request", "not_found"]);

  app.post(
    "/webhooks",
    {
      ...creating.options,
      schema: {
        operationId: "createWebhook",
        summary: "Subscribe a URL to events",
        description:
          "Sends each event of the types, from now on, to the URL, signed with the secret that is answered this once. " +
          "An event is sent at least once and in no promised order; `GET /updates` is the ledger.",
        tags: ["Webhooks"],
        body: WebhookBody,
        response: { 201: WebhookCreated },
      },
    },
    async (request, reply) => {
      const created = await addByToken(deps, creating.grant(request), request.body, originOf(request));
      const disclosed = await creating.done(request, reply, created);
      return reply.code(201).send({ ...disclosed, message: WEBHOOK_CREATED });
    },
  );

  app.get(
    "/webhooks",
    {
      ...listing.options,
      schema: {
        operationId: "listWebhooks",
        summary: "List webhooks",
        description:
          "The account's webhooks, the newest first, whichever token made them: where events go, and not what is in them.",
        tags: ["Webhooks"],
        response: { 200: WebhookList },
      },
    },
    async (request) => ({ webhooks: await listWebhooks(db, listing.grant(request).accountId) }),
  );

  app.get(
    "/webhooks/:webhookId",
    {
      ...reading.options,
      schema: {
        operationId: "getWebhook",
        summary: "Read a webhook",
        description: "`disabledReason` says why a webhook is `DISABLED`; delete it and create a new one.",
        tags: ["Webhooks"],
        params: WebhookParams,
        response: { 200: OneWebhook },
      },
    },
    async (request) => ({
      webhook: await getWebhook(db, reading.grant(request).accountId, request.params.webhookId),
    }),
  );

  app.get(
    "/webhooks/:webhookId/deliveries",
    {
      ...reading.options,
      schema: {
        operationId: "listDeliveries",
        summary: "List a webhook's deliveries",
        description: `Those of the last 30 days, the newest event first, with how the last attempt went. ${READ_SCOPES}`,
        tags: ["Webhooks"],
        params: WebhookParams,
        querystring: DeliveriesQuery,
        response: { 200: Deliveries },
      },
    },
    async (request) => listDeliveries(deps, reading.grant(request), request.params.webhookId, request.query),
  );
}

/** POST rotate-secret and redeliver, DELETE /webhooks/{id} (docs/contract.md §3). They take no body. */
export function webhookActionRoutes(app: App, deps: GateDeps & WebhookDeps): void {
  acceptNoBody(app);
  const { db } = deps;
  const deleting = openUnkeyedGate(deps, "deleteWebhook", ["made_by_another_key", "not_found"]);
  const acting = openUnkeyedGate(deps, "redeliver", ["made_by_another_key", "not_found", "webhook_disabled"]);

  app.post(
    "/webhooks/:webhookId/rotate-secret",
    {
      ...acting.options,
      schema: {
        operationId: "rotateWebhookSecret",
        summary: "Replace a webhook's secret",
        description:
          "Answers a new secret, this once. For 24 hours deliveries carry a signature by each of the two; rotating again " +
          `within that time ends the oldest at once. The account's owners are mailed. ${OWN_ROOT} ${READ_SCOPES}`,
        tags: ["Webhooks"],
        params: WebhookParams,
        body: NoBody,
        response: { 200: WebhookRotated },
      },
    },
    async (request, reply) => {
      const { webhookId } = request.params;
      const rotated = await rotateByToken(deps, acting.grant(request), webhookId, originOf(request));
      return acting.done(request, reply, rotated);
    },
  );

  app.post(
    "/webhooks/:webhookId/deliveries/:deliveryId/redeliver",
    {
      ...acting.options,
      schema: {
        operationId: "redeliver",
        summary: "Send a delivery again",
        description: `The same body under the same delivery id, at once and then on the usual schedule. ${OWN_ROOT} ${READ_SCOPES}`,
        tags: ["Webhooks"],
        params: DeliveryParams,
        body: NoBody,
        response: { 202: OneDelivery },
      },
    },
    async (request, reply) => {
      const { webhookId, deliveryId } = request.params;
      const delivery = await redeliverByToken(deps, acting.grant(request), webhookId, deliveryId);
      return reply.code(202).send({ delivery: await acting.done(request, reply, delivery) });
    },
  );

  app.delete(
    "/webhooks/:webhookId",
    {
      ...deleting.options,
      schema: {
        operationId: "deleteWebhook",
        summary: "Delete a webhook",
        description: `What was still to be sent to it is not sent any more. The account's owners are mailed. ${OWN_ROOT}`,
        tags: ["Webhooks"],
        params: WebhookParams,
        body: NoBody,
        response: { 200: WebhookDeleted },
      },
    },
    async (request, reply) => {
      const { webhookId } = request.params;
      const deleted = await deleteByToken(db, deleting.grant(request), webhookId, originOf(request));
      return { webhook: await deleting.done(request, reply, deleted), deleted: true as const };
    },
  );
}
