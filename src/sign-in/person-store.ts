import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";

/** A person who signs in. */
export type PersonRow = { id: string; email: string; name: string };

export function findPersonByEmail(db: Db, email: string): Promise<PersonRow | undefined> {
  return db
    .selectFrom("auth.users")
    .where("email", "=", email.trim().toLowerCase())
    .select(["id", "email", "name"])
    .executeTakeFirst();
}

/**
 * Reads what a sign-in is checked against, and the database's time. One statement, whether the person exists or not,
 * so that timing does not reveal it.
 */
export async function findSignIn(
  db: Db,
  email: string,
): Promise<{ now: Date; person: PersonRow | undefined; hash: string | undefined }> {
  const { rows } = await sql<{ now: Date; person: PersonRow | null; hash: string | null }>`
    select date_trunc('milliseconds', now()) as now, p.hash,
      case when u.id is not null then jsonb_build_object('id', u.id, 'email', u.email, 'name', u.name) end as person
    from (values (${email.trim().toLowerCase()})) as asked (email)
    left join auth.users u on u.email = asked.email left join auth.passwords p on p.user_id = u.id`.execute(
    db,
  );
  const row = rows[0];
  if (row === undefined) throw new TypeError("the database returned no time");
  return { now: row.now, person: row.person ?? undefined, hash: row.hash ?? undefined };
}

export function findPerson(db: Db, id: string): Promise<PersonRow | undefined> {
  return db.selectFrom("auth.users").where("id", "=", id).select(["id", "email", "name"]).executeTakeFirst();
}

/** Creates a person. @returns `false` when the email has one already */
export async function insertPerson(trx: Trx, { id, email, name }: PersonRow): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto("auth.users")
    .values({ id, email, name })
    .onConflict((conflict) => conflict.column("email").doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows === 1n;
}

export async function insertPassword(trx: Trx, userId: string, hash: string, now: Date): Promise<void> {
  await trx.insertInto("auth.passwords").values({ user_id: userId, hash, changed_at: now }).execute();
}

/** The hash of the person's password. */
export async function findPassword(db: Db, userId: string): Promise<string | undefined> {
  const row = await db
    .selectFrom("auth.passwords")
    .where("user_id", "=", userId)
    .select("hash")
    .executeTakeFirst();
  return row?.hash;
}

/**
 * Locks the person's password against changes until `trx` ends.
 * @returns `false` when it is no longer the one that was checked
 */
export async function holdPassword(trx: Trx, userId: string, checked: string): Promise<boolean> {
  const row = await trx
    .selectFrom("auth.passwords")
    .where("user_id", "=", userId)
    .where("hash", "=", checked)
    .select("user_id")
    .forShare()
    .executeTakeFirst();
  return row !== undefined;
}

/** Sets another password. `expected`: only if the hash is still this one. @returns whether it was set */
export async function updatePassword(
  trx: Trx,
  userId: string,
  { hash, expected }: { hash: string; expected?: string },
  now: Date,
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("auth.passwords")
    .set({ hash, changed_at: now })
    .where("user_id", "=", userId)
    .$if(expected !== undefined, (query) => query.where("hash", "=", expected ?? ""))
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** Locks the person's row, before their password and their sessions (invariant 11). */
export async function lockPerson(trx: Trx, userId: string): Promise<void> {
  await sql`select 1 from auth.users where id = ${userId} for no key update`.execute(trx);
}

/** Records that neither the person's password alone nor any of their sessions verifies them any more. */
export async function markPasswordUnverified(trx: Trx, userId: string, now: Date): Promise<void> {
  await trx
    .updateTable("auth.sessions")
    .set({ trusted: false })
    .where("user_id", "=", userId)
    .where("trusted", "=", true)
    .execute();
  await trx
    .updateTable("auth.users")
    .set({ password_unverified_since: now })
    .where("id", "=", userId)
    .execute();
}

/** Records that the password verifies the person again. */
export async function markPasswordVerified(trx: Trx, userId: string): Promise<void> {
  await trx
    .updateTable("auth.users")
    .set({ password_unverified_since: null })
    .where("id", "=", userId)
    .where("password_unverified_since", "is not", null)
    .execute();
}

/** Deletes the person's inactive passkeys. @returns how many */
export async function deleteWaitingPasskeys(trx: Trx, userId: string): Promise<number> {
  const { numDeletedRows } = await trx
    .deleteFrom("auth.passkeys")
    .where("user_id", "=", userId)
    .where((where) =>
      where.or([where("active_from", "is", null), where("active_from", ">", sql<Date>`now()`)]),
    )
    .executeTakeFirstOrThrow();
  return Number(numDeletedRows);
}

export async function deleteOldAttempts(db: Db): Promise<void> {
  await sql`delete from auth.attempts where expire < extract(epoch from now()) * 1000 - 3600000`.execute(db);
}
