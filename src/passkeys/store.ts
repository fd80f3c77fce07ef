import { type Insertable, type Selectable, sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import type { Database } from "../database/schema.ts";

export type PasskeyRow = Selectable<Database["auth.passkeys"]>;

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
  "active_from",
  "possible_copy_at",
] as const;

/** @returns `false` when that credential is known already */
export async function insertPasskey(
  trx: Trx,
  passkey: Insertable<Database["auth.passkeys"]>,
): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto("auth.passkeys")
    .values(passkey)
    .onConflict((conflict) => conflict.column("credential_id").doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows !== 0n;
}

/** All passkeys of the person, inactive ones too, oldest first. */
export function listOwnPasskeys(db: Db, userId: string): Promise<PasskeyRow[]> {
  return db
    .selectFrom("auth.passkeys")
    .where("user_id", "=", userId)
    .select(COLUMNS)
    .orderBy("created_at")
    .orderBy("id")
    .execute();
}

/** The person's active passkeys, oldest first. */
export function listPasskeys(db: Db, userId: string): Promise<PasskeyRow[]> {
  return db
    .selectFrom("auth.passkeys")
    .where("user_id", "=", userId)
    .where("active_from", "<=", sql<Date>`now()`)
    .select(COLUMNS)
    .orderBy("created_at")
    .orderBy("id")
    .execute();
}

/**
 * The person's active passkey of that credential. Locked until `trx` ends, so that it is not removed and its counter
 * not raised meanwhile.
 */
export function lockPasskey(trx: Trx, userId: string, credentialId: Buffer): Promise<PasskeyRow | undefined> {
  return trx
    .selectFrom("auth.passkeys")
    .where("user_id", "=", userId)
    .where("credential_id", "=", credentialId)
    .where("active_from", "<=", sql<Date>`now()`)
    .select(COLUMNS)
    .forNoKeyUpdate()
    .executeTakeFirst();
}

/** The user id of the person whose passkey has that credential. */
export async function findOwner(db: Db, credentialId: Buffer): Promise<string | undefined> {
  const row = await db
    .selectFrom("auth.passkeys")
    .where("credential_id", "=", credentialId)
    .select("user_id")
    .executeTakeFirst();
  return row?.user_id;
}

/** Any person's passkey of that credential, locked. Inactive ones too, as they may sign in. */
export function lockCredential(trx: Trx, credentialId: Buffer): Promise<PasskeyRow | undefined> {
  return trx
    .selectFrom("auth.passkeys")
    .where("credential_id", "=", credentialId)
    .select(COLUMNS)
    .forNoKeyUpdate()
    .executeTakeFirst();
}

/** Records what the authenticator reported when the passkey was used. */
export async function markPasskeyUsed(
  trx: Trx,
  id: string,
  { counter, backedUp, possibleCopy }: { counter: number; backedUp: boolean; possibleCopy: boolean },
  now: Date,
): Promise<void> {
  await trx
    .updateTable("auth.passkeys")
    .set({
      counter,
      backed_up: backedUp,
      last_used_at: now,
      ...(possibleCopy && { possible_copy_at: now }),
    })
    .where("id", "=", id)
    .execute();
}

export async function renamePasskey(db: Db, userId: string, id: string, name: string): Promise<void> {
  await db
    .updateTable("auth.passkeys")
    .set({ name })
    .where("user_id", "=", userId)
    .where("id", "=", id)
    .execute();
}

/** @returns the deleted passkey; `undefined` when they have no such passkey */
export function deletePasskey(trx: Trx, userId: string, id: string) {
  return trx
    .deleteFrom("auth.passkeys")
    .where("user_id", "=", userId)
    .where("id", "=", id)
    .returning(["name", "active_from"])
    .executeTakeFirst();
}

/** Records that a challenge was answered. @returns `false` when it was answered before */
export async function answerChallenge(trx: Trx, digest: Buffer, expiresAt: Date): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto("auth.answered_challenges")
    .values({ digest, expires_at: expiresAt })
    .onConflict((conflict) => conflict.column("digest").doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows !== 0n;
}

/** Deletes answered challenges once they have expired. */
export async function deleteExpiredChallenges(db: Db): Promise<void> {
  await db
    .deleteFrom("auth.answered_challenges")
    .where("expires_at", "<", sql<Date>`now() - interval '1 minute'`)
    .execute();
}
