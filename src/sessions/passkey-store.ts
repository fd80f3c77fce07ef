import type { Insertable, Selectable } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import type { PasskeysTable } from "../database/schema.ts";

export type PasskeyRow = Selectable<PasskeysTable>;

const COLUMNS = [
  "id",
  "user_id",
  "name",
  "credential_id",
  "public_key",
  "counter",
  "transports",
  "device_type",
  "backed_up",
  "aaguid",
  "created_at",
  "last_used_at",
] as const;

/** `false`: that credential is known already. */
export async function insertPasskey(trx: Trx, passkey: Insertable<PasskeysTable>): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto("auth.passkeys")
    .values(passkey)
    .onConflict((conflict) => conflict.column("credential_id").doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows !== 0n;
}

/** The person's passkeys, the oldest first. */
export function listPasskeys(db: Db, userId: string): Promise<PasskeyRow[]> {
  return db
    .selectFrom("auth.passkeys")
    .where("user_id", "=", userId)
    .select(COLUMNS)
    .orderBy("created_at")
    .orderBy("id")
    .execute();
}

/** The person's passkey of that credential, held: nobody removes it or counts it up until `trx` ends. */
export function lockPasskey(trx: Trx, userId: string, credentialId: Buffer): Promise<PasskeyRow | undefined> {
  return trx
    .selectFrom("auth.passkeys")
    .where("user_id", "=", userId)
    .where("credential_id", "=", credentialId)
    .select(COLUMNS)
    .forNoKeyUpdate()
    .executeTakeFirst();
}

/** Notes what the passkey's authenticator said when it was used. */
export async function markPasskeyUsed(
  trx: Trx,
  id: string,
  { counter, backedUp }: { counter: number; backedUp: boolean },
  now: Date,
): Promise<void> {
  await trx
    .updateTable("auth.passkeys")
    .set({ counter, backed_up: backedUp, last_used_at: now })
    .where("id", "=", id)
    .execute();
}
