import { sql } from "kysely";
import type { Trx } from "../database/connection.ts";

/** A webhook that subscribes to at least one of the events that are being appended. */
export type Subscriber = { id: string; eventTypes: string[] };

export type NewDelivery = {
  id: string;
  webhookId: string;
  eventNumber: number;
  eventType: string;
  body: string;
};

/**
 * Marks the account's webhooks that subscribe to one of the types as due, and locks them until the transaction ends. A
 * sender that finds nothing left waits for this lock, and looks again. None while the feature is off.
 */
export async function wakeSubscribers(trx: Trx, accountId: string, types: readonly string[], now: Date) {
  // Locked in the order of their ids, so that two of these cannot deadlock.
  const { rows } = await sql<Subscriber>`
    update webhooks set due_at = least(due_at, ${now}::timestamptz)
    where account_id = ${accountId} and id = any(array(
      select w.id from webhooks w join accounts a on a.account_id = w.account_id
      where w.account_id = ${accountId} and w.status = 'ACTIVE' and w.event_types && ${types}::text[]
        and a.features @> '{"public_api_webhooks": true}'
      order by w.id for no key update of w
    ))
    returning id, event_types as "eventTypes"`.execute(trx);
  return rows;
}

export async function insertDeliveries(
  trx: Trx,
  accountId: string,
  deliveries: readonly NewDelivery[],
  now: Date,
): Promise<void> {
  await trx
    .insertInto("webhook_deliveries")
    .values(
      deliveries.map(({ id, webhookId, eventNumber, eventType, body }) => ({
        account_id: accountId,
        id,
        webhook_id: webhookId,
        event_number: eventNumber,
        event_type: eventType,
        body,
        status: "PENDING",
        due_at: now,
        created_at: now,
      })),
    )
    .execute();
}
