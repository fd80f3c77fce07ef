import { type ActingToken, holdToken, recordTokenAct } from "../accounts/token-service.ts";
import type { AuditAction } from "../audit/schemas.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { newId } from "../lib/ids.ts";
import type { Origin } from "../lib/origin.ts";
/** A token that changes webhooks of its own root (docs/contract.md §0). */
import { line, type MailLine, named } from "../mail/line.ts";
import type { Delivery, Webhook, WebhookBody } from "./schemas.ts";
import { assertMayRead, type Reader } from "./scope-rules.ts";
import {
  addWebhook,
  type Disclosed,
  lockOwn,
  replaceSecret,
  restartDelivery,
  type WebhookDeps,
} from "./service.ts";
import { markDeleted } from "./store.ts";
import { assertSendable, targetRules } from "./target-rules.ts";

export type Caller = Reader & ActingToken;

/**
 * Subscribes a URL to the account's events from now on (docs/contract.md §3). The webhook belongs to the account:
 * it stays when its token ends.
 * @returns `undefined` when the token has ended meanwhile
 * @throws Problem bad_request {field}, scope_missing for a type that the token may not read, webhook_limit_reached
 */
export async function addByToken(
  { db, config }: WebhookDeps,
  caller: Caller,
  body: WebhookBody,
  origin: Origin,
): Promise<Disclosed | undefined> {
  assertSendable(body.url, targetRules(config));
  assertMayRead(caller, body.eventTypes, config.publicUrl);
  const { accountId, tokenId, rootTokenId: rootId, tokenName } = caller;
  const maker = { accountId, tokenId, rootId, userId: null, makerName: tokenName };
  return actAsToken(db, caller, origin, async (trx, now) => {
    const disclosed = await addWebhook(trx, config, maker, newId(), body, now);
    const { webhook } = disclosed;
    return { result: disclosed, webhook, action: "webhook_added", said: line`added a webhook` };
  });
}

/**
 * A token deletes a webhook of its own root, and its pending deliveries.
 * @returns the webhook before that; `undefined` when the token has ended meanwhile
 * @throws Problem not_found, made_by_another_key
 */
export function deleteByToken(
  db: Db,
  caller: Caller,
  id: string,
  origin: Origin,
): Promise<Webhook | undefined> {
  const { accountId } = caller;
  return actAsToken(db, caller, origin, async (trx) => {
    const webhook = await lockOwn(trx, caller, id);
    await markDeleted(trx, accountId, id);
    return { result: webhook, webhook, action: "webhook_deleted", said: line`deleted the webhook` };
  });
}

/**
 * A token replaces the secret of a webhook of its own root.
 * @returns `undefined` when the token has ended meanwhile
 * @throws Problem not_found, made_by_another_key, scope_missing, webhook_disabled
 */
export function rotateByToken(
  { db, config }: WebhookDeps,
  caller: Caller,
  id: string,
  origin: Origin,
): Promise<Disclosed | undefined> {
  return actAsToken(db, caller, origin, async (trx) => {
    await lockOwn(trx, caller, id);
    const disclosed = await replaceSecret(trx, config, caller, id);
    const { webhook } = disclosed;
    return {
      result: disclosed,
      webhook,
      action: "webhook_secret_replaced",
      said: line`replaced the secret of the webhook`,
    };
  });
}

/**
 * A token restarts a delivery of a webhook of its own root, with the same id and body, on a new schedule. The webhook does
 * not change, so the owners are not mailed.
 * @returns `undefined` when the token has ended meanwhile
 * @throws Problem not_found, made_by_another_key, scope_missing, webhook_disabled
 */
export function redeliverByToken(
  { db, config }: WebhookDeps,
  caller: Caller,
  webhookId: string,
  deliveryId: string,
): Promise<Delivery | undefined> {
  return inTransaction(db, async (trx, now) => {
    if ((await holdToken(trx, caller, now)) === undefined) return undefined;
    await lockOwn(trx, caller, webhookId);
    return restartDelivery(trx, config, caller, webhookId, deliveryId, now);
  });
}

type Act<T> = { result: T; webhook: Webhook; action: AuditAction; said: MailLine };

/**
 * Changes a webhook on behalf of a token, which stays locked meanwhile; records an audit entry and mails the owners.
 * @returns `undefined` when the token has ended meanwhile
 */
function actAsToken<T>(
  db: Db,
  caller: Caller,
  origin: Origin,
  work: (trx: Trx, now: Date) => Promise<Act<T>>,
): Promise<T | undefined> {
  return inTransaction(db, async (trx, now) => {
    if ((await holdToken(trx, caller, now)) === undefined) return undefined;
    const { result, webhook, action, said } = await work(trx, now);
    const { host } = new URL(webhook.url);
    const act = {
      action,
      subject: { kind: "webhook" as const, id: webhook.id },
      after: { host, eventTypes: webhook.eventTypes },
      said: line`${said} that sends to ${named(host)}`,
    };
    await recordTokenAct(trx, caller, act, origin, now);
    return result;
  });
}
