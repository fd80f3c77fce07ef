import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";
import type { Origin } from "../lib/origin.ts";

export async function insertRequest(
  db: Db,
  id: string,
  email: string,
  { address, requestId }: Origin,
): Promise<void> {
  await db
    .insertInto("auth.resets")
    .values({
      id,
      email,
      requested_at: sql<Date>`now()`,
      user_id: null,
      digest: null,
      expires_at: null,
      used_at: null,
      address,
      request_id: requestId,
    })
    .execute();
}

/** The oldest request that no sweep has handled. Locked until `trx` ends; other sweeps skip it. */
export function takeRequest(trx: Trx) {
  return trx
    .selectFrom("auth.resets")
    .where("digest", "is", null)
    .select(["id", "email", "address", "request_id as requestId"])
    .orderBy("requested_at")
    .limit(1)
    .forUpdate()
    .skipLocked()
    .executeTakeFirst();
}

export async function fillReset(
  trx: Trx,
  id: string,
  { userId, digest, expiresAt }: { userId: string; digest: Buffer; expiresAt: Date },
): Promise<void> {
  await trx
    .updateTable("auth.resets")
    .set({ user_id: userId, digest, expires_at: expiresAt })
    .where("id", "=", id)
    .where("digest", "is", null)
    .execute();
}

/** How many links the person was sent in the last 24 hours, and how many of them are still valid. */
export async function countLinks(
  trx: Trx,
  userId: string,
  now: Date,
): Promise<{ lately: number; open: number }> {
  const { rows } = await sql<{ lately: number; open: number }>`
    select count(*) as lately, count(*) filter (where used_at is null and expires_at > ${now}) as open
    from auth.resets
    where user_id = ${userId} and requested_at > ${now}::timestamptz - interval '24 hours'`.execute(trx);
  return rows[0] ?? { lately: 0, open: 0 };
}

export async function deleteReset(trx: Trx, id: string): Promise<void> {
  await trx.deleteFrom("auth.resets").where("id", "=", id).execute();
}

export function findOpenReset(db: Db, digest: Buffer, now: Date) {
  return db
    .selectFrom("auth.resets")
    .where("digest", "=", digest)
    .where("used_at", "is", null)
    .where("expires_at", ">", now)
    .select("user_id")
    .executeTakeFirst();
}

/** Uses a link up, with every other link of that person. @returns the user id, if the link was still valid */
export async function useReset(trx: Trx, digest: Buffer, now: Date): Promise<string | undefined> {
  const used = await trx
    .updateTable("auth.resets")
    .set({ used_at: now })
    .where("digest", "=", digest)
    .where("used_at", "is", null)
    .where("expires_at", ">", now)
    .returning("user_id")
    .executeTakeFirst();
  if (used?.user_id == null) return undefined;
  await trx
    .updateTable("auth.resets")
    .set({ used_at: now })
    .where("user_id", "=", used.user_id)
    .where("used_at", "is", null)
    .execute();
  return used.user_id;
}

/** Deletes links a day after they expire. */
export async function deleteOldResets(db: Db): Promise<void> {
  await db.deleteFrom("auth.resets").where("expires_at", "<", sql<Date>`now() - interval '1 day'`).execute();
}
