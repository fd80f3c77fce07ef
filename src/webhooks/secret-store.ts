import { sql } from "kysely";
import type { Db } from "../database/connection.ts";
import type { Sealed } from "../lib/sealed.ts";

/** The secrets of a webhook: the one that signs, and the one that it has replaced. */
export type Secrets = { secret: Sealed; oldSecret: Sealed | null };
/** The same as columns. */
export type SecretColumns = {
  secret: Buffer;
  keyId: string;
  oldSecret: Buffer | null;
  oldKeyId: string | null;
};

export function toSecrets({ secret, keyId, oldSecret, oldKeyId }: SecretColumns): Secrets {
  return {
    secret: { keyId, bytes: secret },
    oldSecret: oldSecret === null || oldKeyId === null ? null : { keyId: oldKeyId, bytes: oldSecret },
  };
}

type WebhookKey = { accountId: string; id: string };
/** A webhook's secrets as they are stored. */
export type StoredSecrets = WebhookKey & Secrets;

/** Webhooks with a secret that another key has sealed, in the order of their keys, after `after`. */
export async function listSealedByOthers(
  db: Db,
  keyId: string,
  after: WebhookKey | undefined,
  limit: number,
): Promise<StoredSecrets[]> {
  const { rows } = await sql<WebhookKey & SecretColumns>`
    select w.account_id as "accountId", w.id, w.secret, w.secret_key_id as "keyId", w.old_secret as "oldSecret",
      w.old_secret_key_id as "oldKeyId"
    from (
      select account_id, id from webhooks where secret_key_id < ${keyId}
      union select account_id, id from webhooks where secret_key_id > ${keyId}
      union select account_id, id from webhooks where old_secret_key_id < ${keyId}
      union select account_id, id from webhooks where old_secret_key_id > ${keyId}
    ) o
    join webhooks w on w.account_id = o.account_id and w.id = o.id
    where ${after === undefined ? sql`true` : sql`(w.account_id, w.id) > (${after.accountId}::uuid, ${after.id}::uuid)`}
    order by w.account_id, w.id limit ${limit}`.execute(db);
  return rows.map(({ accountId, id, ...columns }) => ({ accountId, id, ...toSecrets(columns) }));
}

/** Writes the secrets sealed with another key, unless they have changed since they were read. */
export async function writeResealed(
  db: Db,
  stored: StoredSecrets,
  { secret, oldSecret }: Secrets,
): Promise<void> {
  await sql`
    update webhooks set secret = ${secret.bytes}, secret_key_id = ${secret.keyId},
      old_secret = ${oldSecret?.bytes ?? null}, old_secret_key_id = ${oldSecret?.keyId ?? null}
    where account_id = ${stored.accountId} and id = ${stored.id} and secret = ${stored.secret.bytes}
      and old_secret is not distinct from ${stored.oldSecret?.bytes ?? null}`.execute(db);
}
