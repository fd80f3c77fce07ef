import { type Insertable, type Selectable, sql } from "kysely";
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
  "active_from",
  "possible_copy_at",
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

/** All passkeys of the person, those that wait for consent too, the oldest first. */
export function listOwnPasskeys(db: Db, userId: string): Promise<PasskeyRow[]> {
  return db
    .selectFrom("auth.passkeys")
    .where("user_id", "=", userId)
    .select(COLUMNS)
    .orderBy("created_at")
    .orderBy("id")
    .execute();
}

/** The person's passkeys that count for more than a password, the oldest first. */
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
 * The person's passkey of that credential, if it counts for more than a password; held: nobody removes it or counts it
 * up until `trx` ends.
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

/** Whose passkey that credential is. */
export async function findOwner(db: Db, credentialId: Buffer): Promise<string | undefined> {
  const row = await db
    .selectFrom("auth.passkeys")
    .where("credential_id", "=", credentialId)
    .select("user_id")
    .executeTakeFirst();
  return row?.user_id;
}

/** Anybody's passkey of that credential, held; for signing in, which those may that wait for consent. */
export function lockCredential(trx: Trx, credentialId: Buffer): Promise<PasskeyRow | undefined> {
  return trx
    .selectFrom("auth.passkeys")
    .where("credential_id", "=", credentialId)
    .select(COLUMNS)
    .forNoKeyUpdate()
    .executeTakeFirst();
}

/** Notes what the passkey's authenticator said when it was used. */
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

/** @returns what it was; `undefined`: they have no such passkey */
export function deletePasskey(
  trx: Trx,
  userId: string,
  id: string,
): Promise<Pick<PasskeyRow, "name" | "active_from"> | undefined> {
  return trx
    .deleteFrom("auth.passkeys")
    .where("user_id", "=", userId)
    .where("id", "=", id)
    .returning(["name", "active_from"])
    .executeTakeFirst();
}

/** Notes that a challenge was answered. `false`: it was before. */
export async function answerChallenge(trx: Trx, digest: Buffer, expiresAt: Date): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto("auth.answered_challenges")
    .values({ digest, expires_at: expiresAt })
    .onConflict((conflict) => conflict.column("digest").doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows !== 0n;
}

/** Forgets challenges that would have lapsed by now. */
export async function deleteLapsedChallenges(db: Db): Promise<void> {
  await db
    .deleteFrom("auth.answered_challenges")
    .where("expires_at", "<", sql<Date>`now() - interval '1 minute'`)
    .execute();
}
