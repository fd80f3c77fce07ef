import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import type { Sealed } from "../lib/sealed.ts";

const WEBHOOK_COLUMNS = [
  "account_id",
  "id",
  "url",
  "event_types",
  "status",
  "token_id",
  "root_id",
  "maker_name",
  "old_secret_until",
  "disabled_at",
  "disabled_reason",
  "created_at",
] as const;

export type WebhookRow = NonNullable<Awaited<ReturnType<typeof findWebhook>>>;

function selectWebhooks(db: Db, accountId: string) {
  return db
    .selectFrom("webhooks")
    .where("account_id", "=", accountId)
    .where("status", "<>", "DELETED")
    .select(WEBHOOK_COLUMNS);
}

export function listWebhooks(db: Db, accountId: string) {
  return selectWebhooks(db, accountId).orderBy("created_at", "desc").orderBy("id", "desc").execute();
}

export function findWebhook(db: Db, accountId: string, id: string) {
  return selectWebhooks(db, accountId).where("id", "=", id).executeTakeFirst();
}

/** The webhook of that id, if it is one of these accounts'. */
export function findWebhookOf(db: Db, accountIds: readonly string[], id: string) {
  return db
    .selectFrom("webhooks")
    .where(sql<boolean>`account_id = any(${accountIds})`)
    .where("id", "=", id)
    .where("status", "<>", "DELETED")
    .select(WEBHOOK_COLUMNS)
    .executeTakeFirst();
}

/** Webhooks that a person has made by hand, or one of the tokens, in the order of their ids. */
export function listWebhooksMadeBy(
  db: Db,
  accountId: string,
  { userId, tokenIds }: { userId: string | null; tokenIds: readonly string[] },
) {
  return selectWebhooks(db, accountId)
    .where((where) =>
      where.or([where("user_id", "=", userId), sql<boolean>`token_id = any(${tokenIds}::uuid[])`]),
    )
    .orderBy("id")
    .execute();
}

/** The webhook's row, held against other writers until the transaction ends. */
export function lockWebhook(trx: Trx, accountId: string, id: string) {
  return selectWebhooks(trx, accountId).where("id", "=", id).forNoKeyUpdate().executeTakeFirst();
}

export type NewWebhook = {
  id: string;
  url: string;
  origin: string;
  eventTypes: readonly string[];
  tokenId: string | null;
  rootId: string | null;
  userId: string | null;
  makerName: string;
  secret: Sealed;
};

/** Writes a webhook; `undefined` when there is one of that id. */
export function insertWebhook(trx: Trx, accountId: string, webhook: NewWebhook, now: Date) {
  return trx
    .insertInto("webhooks")
    .values({
      account_id: accountId,
      id: webhook.id,
      url: webhook.url,
      origin: webhook.origin,
      event_types: [...webhook.eventTypes],
      token_id: webhook.tokenId,
      root_id: webhook.rootId,
      user_id: webhook.userId,
      maker_name: webhook.makerName,
      secret: webhook.secret.bytes,
      secret_key_id: webhook.secret.keyId,
      status: "ACTIVE",
      created_at: now,
    })
    .onConflict((conflict) => conflict.columns(["account_id", "id"]).doNothing())
    .returning(WEBHOOK_COLUMNS)
    .executeTakeFirst();
}

/** Stops everything about a webhook at once; what is left of it goes with the retention sweep. */
export async function markDeleted(trx: Trx, accountId: string, id: string): Promise<void> {
  await trx
    .updateTable("webhooks")
    .set({
      status: "DELETED",
      secret: null,
      secret_key_id: null,
      old_secret: null,
      old_secret_key_id: null,
      old_secret_until: null,
      due_at: null,
      lease: null,
      leased_until: null,
    })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "<>", "DELETED")
    .execute();
}

/** Puts a new secret in the place of the present one, which signs beside it until then. */
export async function replaceSecret(
  trx: Trx,
  accountId: string,
  id: string,
  secret: Sealed,
  oldUntil: Date,
): Promise<void> {
  await sql`
    update webhooks set old_secret = secret, old_secret_key_id = secret_key_id, old_secret_until = ${oldUntil},
      secret = ${secret.bytes}, secret_key_id = ${secret.keyId}
    where account_id = ${accountId} and id = ${id} and status <> 'DELETED'`.execute(trx);
}

const DELIVERY_COLUMNS = [
  "id",
  "event_number",
  "event_type",
  "status",
  "attempts",
  "due_at",
  "attempted_at",
  "answer_status",
  "answer_error",
  "created_at",
  "resolved_at",
] as const;

export type DeliveryRow = Awaited<ReturnType<typeof listDeliveries>>[number];

/** Deliveries of a webhook, the newest event first. */
export function listDeliveries(
  db: Db,
  accountId: string,
  webhookId: string,
  before: number | null,
  limit: number,
) {
  let query = db
    .selectFrom("webhook_deliveries")
    .where("account_id", "=", accountId)
    .where("webhook_id", "=", webhookId);
  if (before !== null) query = query.where("event_number", "<", before);
  return query.select(DELIVERY_COLUMNS).orderBy("event_number", "desc").limit(limit).execute();
}

/** Restarts a delivery and marks its webhook as due. `undefined`: the webhook has no such delivery. */
export async function restartDelivery(
  trx: Trx,
  accountId: string,
  webhookId: string,
  id: string,
  now: Date,
): Promise<DeliveryRow | undefined> {
  const delivery = await trx
    .updateTable("webhook_deliveries")
    .set({ status: "PENDING", attempts: 0, due_at: now, resolved_at: null })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("webhook_id", "=", webhookId)
    .returning(DELIVERY_COLUMNS)
    .executeTakeFirst();
  if (delivery === undefined) return undefined;
  await sql`
    update webhooks set due_at = least(due_at, ${now}::timestamptz)
    where account_id = ${accountId} and id = ${webhookId} and status = 'ACTIVE'`.execute(trx);
  return delivery;
}

export async function countWebhooks(trx: Trx, accountId: string): Promise<number> {
  const { count } = await trx
    .selectFrom("webhooks")
    .where("account_id", "=", accountId)
    .where("status", "<>", "DELETED")
    .select((select) => select.fn.countAll<number>().as("count"))
    .executeTakeFirstOrThrow();
  return count;
}
