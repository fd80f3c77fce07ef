import { sql } from "kysely";
import pg from "pg";
import { notBefore, shortenWaits } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { DeliveryStatus } from "../database/schema.ts";
import { type SecretColumns, type Secrets, toSecrets } from "./secret-store.ts";

const UNIQUE_VIOLATION = "23505";

export type WebhookKey = { accountId: string; id: string };
/** A webhook that a process alone sends to, until the lease ends. */
export type Leased = WebhookKey & { lease: string };

/**
 * Due webhooks of one lane without a lease, the longest waiting first. Excludes those whose account has a lease on another
 * webhook of the same receiver, and those whose account has the feature off.
 */
export async function listDueWebhooks(db: Db, slow: boolean, now: Date, limit: number) {
  const { rows } = await sql<WebhookKey>`
    select w.account_id as "accountId", w.id from webhooks w join accounts a on a.account_id = w.account_id
    where w.due_at <= ${now} and w.lease is null and (w.slow_since is not null) = ${slow}
      and a.features @> '{"public_api_webhooks": true}'
      and not exists (
        select from webhooks o where o.account_id = w.account_id and o.origin = w.origin and o.lease is not null
      )
    order by w.due_at limit ${limit}`.execute(db);
  return rows;
}

/**
 * Takes the lease of a due webhook. `false`: it or another of the same receiver is leased, or a transaction is writing
 * to it; it stays due.
 */
export async function takeLease(db: Db, leased: Leased, now: Date, until: Date): Promise<boolean> {
  const { accountId, id, lease } = leased;
  const taking = sql`
    update webhooks set lease = ${lease}, leased_until = ${until}
    where account_id = ${accountId} and id = (
      select id from webhooks
      where account_id = ${accountId} and id = ${id} and lease is null and due_at <= ${now}
      for no key update skip locked
    )`.execute(db);
  return await taking.then(
    ({ numAffectedRows }) => numAffectedRows === 1n,
    (error: unknown) => {
      if (error instanceof pg.DatabaseError && error.code === UNIQUE_VIOLATION) return false;
      throw error;
    },
  );
}

/** Expired leases: their process has died, or has lost the database. */
export async function listExpiredLeases(db: Db, now: Date, limit: number): Promise<Leased[]> {
  const { rows } = await sql<Leased>`
    select account_id as "accountId", id, lease from webhooks
    where lease is not null and leased_until <= ${now} limit ${limit}`.execute(db);
  return rows;
}

/** The webhook's row, locked until the transaction ends, if the lease is still this one. */
export async function lockLeased(trx: Trx, { accountId, id, lease }: Leased): Promise<boolean> {
  const { rows } = await sql`
    select from webhooks where account_id = ${accountId} and id = ${id} and lease = ${lease}
    for no key update`.execute(trx);
  return rows.length === 1;
}

/**
 * Releases a lease. The caller has locked the webhook in an earlier statement, so that this one sees every delivery whose
 * transaction marked the webhook as due. The webhook is due with its next delivery, behind those that wait already.
 */
export async function dropLease(trx: Trx, { accountId, id, lease }: Leased, now: Date): Promise<void> {
  await sql`
    update webhooks set lease = null, leased_until = null, due_at = (
      select greatest(due_at, ${now}::timestamptz) from webhook_deliveries
      where account_id = ${accountId} and webhook_id = ${id} and status = 'PENDING'
      order by due_at limit 1
    )
    where account_id = ${accountId} and id = ${id} and lease = ${lease}`.execute(trx);
}

/** A delivery, with everything that sending it needs. */
export type TakenDelivery = Secrets & {
  /** The database's time. */
  now: Date;
  id: string;
  eventType: string;
  body: string;
  attempts: number;
  url: string;
  /** Deliveries that failed since the last success. */
  failures: number;
};

/**
 * The next delivery of a webhook that is not under way. `undefined`: none is due, or this process has lost the lease or the
 * lane, or the webhook is deleted or disabled.
 * @param seconds how much longer the lease must last
 */
export async function findNextDelivery(
  db: Db,
  { accountId, id, lease }: Leased,
  slow: boolean,
  underWay: readonly string[],
  seconds: number,
): Promise<TakenDelivery | undefined> {
  const { rows } = await sql<Omit<TakenDelivery, keyof Secrets> & SecretColumns>`
    select date_trunc('milliseconds', now()) as now, d.id, d.event_type as "eventType", d.body, d.attempts, w.url,
      w.failures, w.secret, w.secret_key_id as "keyId",
      case when w.old_secret_until > now() then w.old_secret end as "oldSecret", w.old_secret_key_id as "oldKeyId"
    from webhooks w
    join accounts a on a.account_id = w.account_id
    join webhook_deliveries d on d.account_id = w.account_id and d.webhook_id = w.id
    where w.account_id = ${accountId} and w.id = ${id} and w.status = 'ACTIVE' and w.lease = ${lease}
      and w.leased_until > now() + make_interval(secs => ${seconds}) and (w.slow_since is not null) = ${slow}
      and a.features @> '{"public_api_webhooks": true}'
      and d.status = 'PENDING' and d.due_at <= now() and d.id <> all(${underWay}::uuid[])
    order by d.due_at, d.event_number limit 1`.execute(db);
  const [row] = rows;
  if (row === undefined) return undefined;
  const { secret, keyId, oldSecret, oldKeyId, ...delivery } = row;
  return { ...delivery, ...toSecrets({ secret, keyId, oldSecret, oldKeyId }) };
}

/**
 * Shortens leases and waits that a clock set back has made too long.
 * @param waitSeconds after how many attempts a delivery waits how long
 */
export async function shortenWebhookWaits(
  db: Db,
  { leaseSeconds, waitSeconds }: { leaseSeconds: number; waitSeconds: readonly number[] },
): Promise<void> {
  await shortenWaits(db, "webhook_deliveries", "due_at", {
    pending: sql`status = 'PENDING'`,
    seconds: sql`(${waitSeconds}::float8[])[attempts + 1]`,
  });
  const pending = sql<boolean>`due_at is not null`;
  // A webhook is due when the first of its deliveries is.
  const untilFirst = sql<number>`(
    select greatest(extract(epoch from min(d.due_at) - now())::float8, 0) from webhook_deliveries d
    where d.account_id = webhooks.account_id and d.webhook_id = webhooks.id and d.status = 'PENDING'
  )`;
  await shortenWaits(db, "webhooks", "leased_until", { pending, seconds: sql`${leaseSeconds}::float8` });
  await shortenWaits(db, "webhooks", "due_at", { pending, seconds: untilFirst });
}

/** The webhook's row, locked until the transaction ends. */
export async function holdWebhook(trx: Trx, { accountId, id }: WebhookKey): Promise<void> {
  await sql`select from webhooks where account_id = ${accountId} and id = ${id} for no key update`.execute(
    trx,
  );
}

export type AttemptValues = {
  status: DeliveryStatus;
  dueAt: Date | null;
  answerStatus: number | null;
  answerError: string | null;
};

/** Records an attempt's outcome. `false`: a later attempt was made, or the delivery was restarted. */
export async function writeAttempt(
  trx: Trx,
  accountId: string,
  { id, attempts }: { id: string; attempts: number },
  values: AttemptValues,
  now: Date,
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("webhook_deliveries")
    .set({
      status: values.status,
      attempts: attempts + 1,
      due_at: values.dueAt,
      attempted_at: notBefore("created_at", now),
      answer_status: values.answerStatus,
      answer_error: values.answerError,
      resolved_at: values.dueAt === null ? notBefore("created_at", now) : null,
    })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "=", "PENDING")
    .where("attempts", "=", attempts)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** Postpones a delivery that was not attempted. */
export async function postponeDelivery(
  db: Db,
  accountId: string,
  { id, attempts }: { id: string; attempts: number },
  error: string,
  dueAt: Date,
): Promise<void> {
  await db
    .updateTable("webhook_deliveries")
    .set({ due_at: dueAt, answer_status: null, answer_error: error })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "=", "PENDING")
    .where("attempts", "=", attempts)
    .execute();
}

/**
 * Records at the webhook what an attempt shows about its receiver.
 * @returns how many deliveries have failed in a row; 0 for a webhook that is not active any more
 */
export async function noteReceiver(
  trx: Trx,
  { accountId, id }: WebhookKey,
  { status, slow }: { status: DeliveryStatus; slow: boolean },
  now: Date,
): Promise<number> {
  const failures = { DELIVERED: sql`0`, FAILED: sql`failures + 1`, PENDING: sql`failures` }[status];
  const { rows } = await sql<{ failures: number }>`
    update webhooks set failures = ${failures},
      slow_since = case when ${slow} then coalesce(slow_since, ${now}::timestamptz) end
    where account_id = ${accountId} and id = ${id} and status = 'ACTIVE'
    returning failures`.execute(trx);
  return rows[0]?.failures ?? 0;
}

/** Disables a webhook. */
export async function disableWebhook(
  trx: Trx,
  { accountId, id }: WebhookKey,
  reason: string,
  now: Date,
): Promise<void> {
  await trx
    .updateTable("webhooks")
    .set({
      status: "DISABLED",
      disabled_at: now,
      disabled_reason: reason,
      due_at: null,
      lease: null,
      leased_until: null,
    })
    .where("account_id", "=", accountId)
    .where("id", "=", id)
    .where("status", "=", "ACTIVE")
    .execute();
}
