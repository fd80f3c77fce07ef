import { assertMadeByOwnRoot } from "../accounts/access-rules.ts";
import { holdAccount } from "../accounts/service.ts";
import type { ActingToken } from "../accounts/token-service.ts";
import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import { noteChange } from "../database/transaction.ts";
import { DELIVERIES } from "../events/schemas.ts";
import { isUuid } from "../lib/ids.ts";
import { toPage } from "../lib/pages.ts";
import { notFound, Problem } from "../lib/problems.ts";
import { seal } from "../lib/sealed.ts";
import { addSeconds, isoOrNull } from "../lib/time.ts";
import { type Actor, inSession } from "../sign-in/service.ts";
import {
  type Deliveries,
  type DeliveriesQuery,
  type Delivery,
  WEBHOOKS_AT_MOST,
  type Webhook,
  type WebhookBody,
} from "./schemas.ts";
import { assertMayRead, type Reader } from "./scope-rules.ts";
import { newWebhookSecret, OLD_SECRET_SECONDS } from "./signature.ts";
import * as store from "./store.ts";
import { assertSendable, targetRules } from "./target-rules.ts";

export type { Reader };

const DELIVERIES_LIMIT = 50;

export type WebhookDeps = {
  db: Db;
  config: {
    publicUrl: string;
    secretsKeys: readonly Buffer[];
    webhookPrivateHosts: readonly string[];
    demo: boolean;
  };
};

/** By whom a webhook is said to be: a token, or a person. */
export type Maker = {
  accountId: string;
  tokenId: string | null;
  /** Of a token: the first of those who minted one another. */
  rootId: string | null;
  userId: string | null;
  makerName: string;
};
/** A webhook with its secret, which is nowhere else in clear. */
export type Disclosed = { webhook: Webhook; secret: string };

/** Where in the database a secret belongs: sealed for one row, it opens for no other. */
export function secretContext(accountId: string, webhookId: string): string {
  return `webhook:${accountId}:${webhookId}`;
}

/**
 * Adds a webhook within the caller's transaction. Locks the account, so that two calls cannot pass its limit together.
 * @param id drawn for a form, which makes sending it twice idempotent
 * @throws Problem bad_request {field}, webhook_limit_reached, form_refused
 */
export async function addWebhook(
  trx: Trx,
  config: WebhookDeps["config"],
  { accountId, ...maker }: Maker,
  id: string,
  { url, eventTypes }: WebhookBody,
  now: Date,
): Promise<Disclosed> {
  assertSendable(url, targetRules(config));
  await holdAccount(trx, accountId);
  if ((await store.countWebhooks(trx, accountId)) >= WEBHOOKS_AT_MOST) {
    throw new Problem("webhook_limit_reached", { limit: WEBHOOKS_AT_MOST });
  }
  const secret = newWebhookSecret();
  const sealed = seal(config.secretsKeys, secret, secretContext(accountId, id));
  const types = [...new Set(eventTypes)];
  const webhook = { id, url, origin: new URL(url).origin, eventTypes: types, ...maker, secret: sealed };
  const row = await store.insertWebhook(trx, accountId, webhook, now);
  if (row === undefined) throw new Problem("form_refused");
  return { webhook: toWebhook(row), secret };
}

/** The account's webhooks, the newest first. */
export async function listWebhooks(db: Db, accountId: string): Promise<Webhook[]> {
  return (await store.listWebhooks(db, accountId)).map(toWebhook);
}

/** Those that a person has made by hand, or one of the tokens, in the order of their ids. */
export async function listWebhooksMadeBy(
  db: Db,
  accountId: string,
  makers: { userId: string | null; tokenIds: readonly string[] },
): Promise<Webhook[]> {
  return (await store.listWebhooksMadeBy(db, accountId, makers)).map(toWebhook);
}

/** @throws Problem not_found */
export async function getWebhook(db: Db, accountId: string, id: string): Promise<Webhook> {
  return toWebhook(await findOr404(id, store.findWebhook, db, accountId));
}

/** A webhook as members see it: with who made it, and until when a secret that was replaced still signs. */
export type MemberWebhook = Webhook & {
  accountId: string;
  madeBy: "token" | "member";
  makerName: string;
  makerTokenId: string | null;
  /** In the past too: when it ended. Null: the secret is the first one. */
  oldSecretUntil: Date | null;
};

/** The webhook of that id, if it is one of these accounts'. */
export async function findWebhookForMember(
  db: Db,
  accountIds: readonly string[],
  id: string,
): Promise<MemberWebhook | undefined> {
  const row = isUuid(id) ? await store.findWebhookOf(db, accountIds, id) : undefined;
  return (
    row && {
      ...toWebhook(row),
      accountId: row.account_id,
      madeBy: row.token_id === null ? "member" : "token",
      makerName: row.maker_name,
      makerTokenId: row.token_id,
      oldSecretUntil: row.old_secret_until,
    }
  );
}

/** Holds a webhook. @throws Problem not_found */
export async function holdWebhook(trx: Trx, accountId: string, id: string): Promise<Webhook> {
  return toWebhook(await lockOr404(trx, accountId, id));
}

/**
 * Gives a webhook a new secret. The one before signs beside it for 24 h; one still older stops at once.
 * @param shown the `oldSecretUntil` that the page showed: once for each time that it was shown
 * @throws Problem not_found, scope_missing, webhook_disabled, form_refused when the secret is another by now
 */
export async function replaceSecret(
  trx: Trx,
  config: WebhookDeps["config"],
  reader: Reader,
  id: string,
  shown?: { oldSecretUntil: string | null },
): Promise<Disclosed> {
  const { accountId } = reader;
  const now = await readClock(trx);
  const row = await lockActive(trx, reader, id, config.publicUrl);
  if (shown !== undefined && shown.oldSecretUntil !== isoOrNull(row.old_secret_until)) {
    throw new Problem("form_refused");
  }
  const secret = newWebhookSecret();
  const sealed = seal(config.secretsKeys, secret, secretContext(accountId, id));
  await store.replaceSecret(trx, accountId, id, sealed, addSeconds(now, OLD_SECRET_SECONDS));
  return { webhook: toWebhook(row), secret };
}

/**
 * A page of a webhook's deliveries, the newest event first; they are kept for 30 days.
 * @param query.limit 1–100
 * @throws Problem not_found, scope_missing
 */
export async function listDeliveries(
  { db, config }: WebhookDeps,
  reader: Reader,
  webhookId: string,
  { cursor, limit = DELIVERIES_LIMIT }: DeliveriesQuery,
): Promise<Deliveries> {
  const { accountId } = reader;
  const webhook = await findOr404(webhookId, store.findWebhook, db, accountId);
  assertMayRead(reader, webhook.event_types, config.publicUrl);
  const before = cursor === undefined ? null : Number(cursor);
  const rows = await store.listDeliveries(db, accountId, webhookId, before, limit + 1);
  const { page, nextCursor } = toPage(rows, limit, ({ event_number }) => String(event_number));
  return { deliveries: page.map((row) => toDelivery(row, webhook)), nextCursor };
}

/**
 * A member sends a delivery once more, under its old id and with the same body, on a schedule of its own.
 * @throws Problem not_found, scope_missing, webhook_disabled
 */
export function redeliver(
  { db, config }: WebhookDeps,
  reader: Reader,
  webhookId: string,
  deliveryId: string,
  actor: Actor,
): Promise<Delivery> {
  const need = { account: { id: reader.accountId, may: "decide" } } as const;
  return inSession(db, actor, need, (trx, now) =>
    restartDelivery(trx, config, reader, webhookId, deliveryId, now),
  );
}

/** The same within the caller's transaction. */
export async function restartDelivery(
  trx: Trx,
  config: WebhookDeps["config"],
  reader: Reader,
  webhookId: string,
  deliveryId: string,
  now: Date,
): Promise<Delivery> {
  const webhook = await lockActive(trx, reader, webhookId, config.publicUrl);
  const delivery = isUuid(deliveryId)
    ? await store.restartDelivery(trx, reader.accountId, webhookId, deliveryId, now)
    : undefined;
  if (delivery === undefined) throw notFound("deliveries", "deliveryId", deliveryId);
  noteChange(trx, DELIVERIES);
  return toDelivery(delivery, webhook);
}

async function lockActive(
  trx: Trx,
  reader: Reader,
  id: string,
  publicUrl: string,
): Promise<store.WebhookRow> {
  const webhook = await lockOr404(trx, reader.accountId, id);
  assertMayRead(reader, webhook.event_types, publicUrl);
  if (webhook.status !== "ACTIVE") throw new Problem("webhook_disabled");
  return webhook;
}

async function lockOr404(trx: Trx, accountId: string, id: string): Promise<store.WebhookRow> {
  return findOr404(id, store.lockWebhook, trx, accountId);
}

/**
 * Holds a webhook that a token wants to change.
 * @throws Problem not_found, made_by_another_key
 */
export async function lockOwn(trx: Trx, caller: ActingToken, id: string): Promise<Webhook> {
  const row = await lockOr404(trx, caller.accountId, id);
  assertMadeByOwnRoot(caller, row.root_id);
  return toWebhook(row);
}

async function findOr404<D extends Db>(
  id: string,
  find: (db: D, accountId: string, id: string) => Promise<store.WebhookRow | undefined>,
  db: D,
  accountId: string,
): Promise<store.WebhookRow> {
  const webhook = isUuid(id) ? await find(db, accountId, id) : undefined;
  if (webhook === undefined) throw notFound("webhooks", "webhookId", id);
  return webhook;
}

function toWebhook(row: store.WebhookRow): Webhook {
  return {
    id: row.id,
    url: row.url,
    eventTypes: row.event_types,
    status: row.status,
    createdAt: row.created_at.toISOString(),
    disabledAt: isoOrNull(row.disabled_at),
    disabledReason: row.disabled_reason,
  };
}

function toDelivery(row: store.DeliveryRow, webhook: store.WebhookRow): Delivery {
  const cancelled = row.status === "PENDING" && webhook.status !== "ACTIVE";
  return {
    id: row.id,
    eventId: String(row.event_number),
    eventType: row.event_type,
    status: cancelled ? "CANCELLED" : row.status,
    attempts: row.attempts,
    createdAt: row.created_at.toISOString(),
    lastAttemptAt: isoOrNull(row.attempted_at),
    lastStatus: row.answer_status,
    lastError: row.answer_error,
    nextAttemptAt: cancelled ? null : isoOrNull(row.due_at),
    resolvedAt: cancelled ? isoOrNull(webhook.disabled_at) : isoOrNull(row.resolved_at),
  };
}
