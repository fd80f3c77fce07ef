import { sql } from "kysely";
import type { Db } from "../database/connection.ts";
import type { WebhookKey } from "./dispatch-store.ts";

/** Deliveries of all accounts from before then, the oldest first. */
export async function listOldDeliveries(db: Db, before: Date, limit: number) {
  const { rows } = await sql<{ accountId: string; ids: string[] }>`
    select account_id as "accountId", array_agg(id) as ids from (
      select account_id, id from webhook_deliveries where created_at < ${before} order by created_at limit ${limit}
    ) old group by account_id`.execute(db);
  return rows;
}

export async function deleteDeliveries(db: Db, accountId: string, ids: readonly string[]): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from webhook_deliveries where account_id = ${accountId} and id = any(${ids}::uuid[])`.execute(db);
  return Number(numAffectedRows ?? 0n);
}

export async function listDeletedWebhooks(db: Db, limit: number): Promise<WebhookKey[]> {
  const { rows } = await sql<WebhookKey>`
    select account_id as "accountId", id from webhooks where status = 'DELETED' limit ${limit}`.execute(db);
  return rows;
}

/** @returns how many deliveries of the webhook were deleted, at most `limit` */
export async function deleteDeliveriesOf(
  db: Db,
  { accountId, id }: WebhookKey,
  limit: number,
): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from webhook_deliveries where account_id = ${accountId} and id = any(array(
      select id from webhook_deliveries where account_id = ${accountId} and webhook_id = ${id} limit ${limit}
    ))`.execute(db);
  return Number(numAffectedRows ?? 0n);
}

/** Removes a webhook that is deleted and has no deliveries left. */
export async function removeWebhook(db: Db, { accountId, id }: WebhookKey): Promise<void> {
  await sql`
    delete from webhooks where account_id = ${accountId} and id = ${id} and status = 'DELETED'`.execute(db);
}
