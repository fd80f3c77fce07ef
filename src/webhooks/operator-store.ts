import { sql } from "kysely";
import { shortenWaits } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { Sealed } from "../lib/sealed.ts";
import { type SecretColumns, type Secrets, toSecrets } from "./secret-store.ts";

const COLUMNS = [
  "url",
  "cursor",
  "attempts",
  "due_at",
  "attempted_at",
  "answer_status",
  "answer_error",
  "created_at",
] as const;

/** The operator's webhook, with how many events of the feed it is behind. */
export function findOperatorWebhook(db: Db) {
  return db
    .selectFrom("operator_webhook")
    .select(COLUMNS)
    .select(sql<number>`(select count(*) from operator_events where number > cursor)`.as("waiting"))
    .executeTakeFirst();
}

/** Creates the webhook, which starts after the last event of the feed. `false`: there is one already. */
export async function insertOperatorWebhook(
  trx: Trx,
  url: string,
  secret: Sealed,
  now: Date,
): Promise<boolean> {
  const { numAffectedRows } = await sql`
    insert into operator_webhook (url, secret, secret_key_id, cursor, due_at, created_at)
    select ${url}, ${secret.bytes}, ${secret.keyId}, last_event, ${now}::timestamptz, ${now}::timestamptz
    from operator_head
    on conflict do nothing`.execute(trx);
  return numAffectedRows === 1n;
}

/**
 * Changes the URL; the next event is due at once.
 * @returns the previous URL; `undefined`: it is the same
 */
export async function changeUrl(trx: Trx, url: string, now: Date): Promise<string | undefined> {
  const before = await trx.selectFrom("operator_webhook").select("url").forNoKeyUpdate().executeTakeFirst();
  if (before === undefined || before.url === url) return undefined;
  await trx
    .updateTable("operator_webhook")
    .set({ url, attempts: 0, due_at: now, attempted_at: null, answer_status: null, answer_error: null })
    .execute();
  return before.url;
}

export async function replaceOperatorSecret(trx: Trx, secret: Sealed, oldUntil: Date): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update operator_webhook set old_secret = secret, old_secret_key_id = secret_key_id, old_secret_until = ${oldUntil},
      secret = ${secret.bytes}, secret_key_id = ${secret.keyId}`.execute(trx);
  return numAffectedRows === 1n;
}

/** @returns the URL that it had; `undefined`: there was no webhook */
export async function deleteOperatorWebhook(trx: Trx): Promise<string | undefined> {
  return (await trx.deleteFrom("operator_webhook").returning("url").executeTakeFirst())?.url;
}

/** Leases the webhook to one sender, if an event is due. */
export async function takeOperatorLease(db: Db, lease: string, now: Date, until: Date): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update operator_webhook set lease = ${lease}, leased_until = ${until}
    where due_at <= ${now} and (lease is null or leased_until <= ${now})
      and cursor < (select last_event from operator_head)`.execute(db);
  return numAffectedRows === 1n;
}

/** What sending needs, read for each event. */
export type OperatorTarget = Secrets & {
  /** The database's time. */
  now: Date;
  url: string;
  cursor: number;
  attempts: number;
};

/**
 * The webhook, if the lease is still this one.
 * @param seconds how long the lease must last yet
 */
export async function findLeasedTarget(
  db: Db,
  lease: string,
  seconds: number,
): Promise<OperatorTarget | undefined> {
  const { rows } = await sql<Omit<OperatorTarget, keyof Secrets> & SecretColumns>`
    select date_trunc('milliseconds', now()) as now, url, cursor, attempts, secret, secret_key_id as "keyId",
      case when old_secret_until > now() then old_secret end as "oldSecret", old_secret_key_id as "oldKeyId"
    from operator_webhook
    where lease = ${lease} and leased_until > now() + make_interval(secs => ${seconds})`.execute(db);
  const [row] = rows;
  if (row === undefined) return undefined;
  const { secret, keyId, oldSecret, oldKeyId, ...target } = row;
  return { ...target, ...toSecrets({ secret, keyId, oldSecret, oldKeyId }) };
}

/** The outcome of an attempt at the event after `cursor`. */
export type OperatorAttempt = { lease: string; cursor: number; at: Date; status: number | null };

/** Moves the cursor past the delivered event. `false`: the lease is lost, and another process sends it again. */
export async function advanceCursor(
  db: Db,
  { lease, cursor, at, status }: OperatorAttempt,
  until: Date,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable("operator_webhook")
    .set({
      cursor: cursor + 1,
      attempts: 0,
      attempted_at: at,
      answer_status: status,
      answer_error: null,
      leased_until: until,
    })
    .where("lease", "=", lease)
    .where("cursor", "=", cursor)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** Keeps the cursor, and schedules the same event again. */
export async function postponeEvent(
  db: Db,
  { lease, cursor, at, status }: OperatorAttempt,
  failure: { attempts: number; error: string; dueAt: Date },
): Promise<void> {
  await db
    .updateTable("operator_webhook")
    .set({
      attempts: failure.attempts,
      attempted_at: at,
      answer_status: status,
      answer_error: failure.error,
      due_at: failure.dueAt,
    })
    .where("lease", "=", lease)
    .where("cursor", "=", cursor)
    .execute();
}

/** Shortens a lease or a wait that a clock set back has made longer than `leaseSeconds` or `waitSeconds`. */
export async function shortenOperatorWaits(
  db: Db,
  { leaseSeconds, waitSeconds }: { leaseSeconds: number; waitSeconds: number },
): Promise<void> {
  const pending = sql<boolean>`true`;
  const seconds = sql<number>`case attempts when 0 then 0 else ${waitSeconds}::float8 end`;
  await shortenWaits(db, "operator_webhook", "leased_until", {
    pending,
    seconds: sql`${leaseSeconds}::float8`,
  });
  await shortenWaits(db, "operator_webhook", "due_at", { pending, seconds });
}

export async function dropOperatorLease(db: Db, lease: string): Promise<void> {
  await db
    .updateTable("operator_webhook")
    .set({ lease: null, leased_until: null })
    .where("lease", "=", lease)
    .execute();
}

/** The secrets as they are stored, if another key than this one sealed any of them. */
export async function findSealedByOther(db: Db, keyId: string): Promise<Secrets | undefined> {
  const row = await db
    .selectFrom("operator_webhook")
    .select(["secret", "secret_key_id as keyId", "old_secret as oldSecret", "old_secret_key_id as oldKeyId"])
    .where((or) => or.or([or("secret_key_id", "<>", keyId), or("old_secret_key_id", "<>", keyId)]))
    .executeTakeFirst();
  return row && toSecrets(row);
}

/** Writes the secrets sealed with another key, unless they have changed since they were read. */
export async function writeOperatorResealed(
  db: Db,
  present: Sealed,
  { secret, oldSecret }: Secrets,
): Promise<void> {
  await db
    .updateTable("operator_webhook")
    .set({
      secret: secret.bytes,
      secret_key_id: secret.keyId,
      old_secret: oldSecret?.bytes ?? null,
      old_secret_key_id: oldSecret?.keyId ?? null,
    })
    .where("secret", "=", present.bytes)
    .execute();
}
