import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";

const IDLE_HOURS = 12;
const SESSION_DAYS = 7;

/** A session that was just looked up, and whose it is. */
export type SessionRow = {
  sessionId: string;
  userId: string;
  email: string;
  name: string;
  seenAt: Date;
  provedAt: Date;
  /** Whether it counts for as much as a passkey: one was used in it, or their password vouches for the person. */
  trusted: boolean;
  /** The database's time at the look-up; the request goes by it from there on. */
  now: Date;
};

/**
 * Whether the password of the user `u` vouches for them: no link has set it, and they have no passkey that counts, as
 * those who do have it to show that it is them.
 */
const passwordVouches = sql<boolean>`(u.unvouched_since is null and not exists (
  select from auth.passkeys p where p.user_id = u.id and p.trusted_from <= now()))`;

/** Looks a session up by the digest of its token; `undefined` when it is unknown or has ended. */
export function findSession(db: Db, digest: string): Promise<SessionRow | undefined> {
  return db
    .selectFrom("auth.sessions as s")
    .innerJoin("auth.users as u", "u.id", "s.user_id")
    .where("s.token", "=", digest)
    .where("s.expires_at", ">", sql<Date>`now()`)
    .where("s.started_at", ">", sql<Date>`now() - make_interval(days => ${SESSION_DAYS})`)
    .where("s.seen_at", ">", sql<Date>`now() - make_interval(hours => ${IDLE_HOURS})`)
    .select([
      "s.id as sessionId",
      "u.id as userId",
      "u.email",
      "u.name",
      "s.seen_at as seenAt",
      "s.proved_at as provedAt",
      sql<boolean>`s.trusted or ${passwordVouches}`.as("trusted"),
      sql<Date>`date_trunc('milliseconds', now())`.as("now"),
    ])
    .executeTakeFirst();
}

/** A session as it is while `trx` holds it and the person: neither ends, and no password is reset meanwhile. */
export type HeldSession = {
  provedAt: Date;
  trusted: boolean;
  /** Whether the person's password was set by a mailed link, and nothing has vouched for it since. */
  passwordByLink: boolean;
};

/** Holds the person, then their session. `undefined`: the session has ended. */
export async function lockSession(
  trx: Trx,
  { userId, sessionId }: { userId: string; sessionId: string },
): Promise<HeldSession | undefined> {
  const held = await trx
    .selectFrom("auth.users")
    .where("id", "=", userId)
    .select("id")
    .forNoKeyUpdate()
    .executeTakeFirst();
  const session = await trx
    .selectFrom("auth.sessions")
    .where("id", "=", sessionId)
    .where("user_id", "=", userId)
    .select(["proved_at", "trusted"])
    .forNoKeyUpdate()
    .executeTakeFirst();
  if (held === undefined || session === undefined) return undefined;
  // A statement of its own: it sees what was committed while this waited for the person.
  const person = await trx
    .selectFrom("auth.users as u")
    .where("u.id", "=", userId)
    .select([passwordVouches.as("vouched"), sql<boolean>`u.unvouched_since is not null`.as("passwordByLink")])
    .executeTakeFirstOrThrow();
  const { vouched, passwordByLink } = person;
  return { provedAt: session.proved_at, trusted: session.trusted || vouched, passwordByLink };
}

/** Makes a session. Its token is kept as a digest alone. */
export async function insertSession(
  trx: Trx,
  session: {
    id: string;
    tokenDigest: string;
    userId: string;
    expiresAt: Date;
    address: string;
    userAgent: string;
    trusted: boolean;
  },
  now: Date,
): Promise<void> {
  await trx
    .insertInto("auth.sessions")
    .values({
      id: session.id,
      token: session.tokenDigest,
      user_id: session.userId,
      expires_at: session.expiresAt,
      ip_address: session.address,
      user_agent: session.userAgent,
      created_at: now,
      updated_at: now,
      trusted: session.trusted,
    })
    .execute();
}

/** Notes that the person's password alone does not vouch for them any more. */
export async function markUnvouched(trx: Trx, userId: string, now: Date): Promise<void> {
  await trx.updateTable("auth.users").set({ unvouched_since: now }).where("id", "=", userId).execute();
}

/** It does again, if they have changed it in a session in which a passkey was used. */
export async function markVouched(
  trx: Trx,
  { userId, sessionId }: { userId: string; sessionId: string },
): Promise<void> {
  await trx
    .updateTable("auth.users")
    .set({ unvouched_since: null })
    .where("id", "=", userId)
    .where("unvouched_since", "is not", null)
    .where((where) =>
      where.exists(
        where
          .selectFrom("auth.sessions")
          .where("id", "=", sessionId)
          .where("user_id", "=", userId)
          .where("trusted", "=", true)
          .select("id"),
      ),
    )
    .execute();
}

/** Notes that a session is in use, so that it does not end for being idle. */
export async function touchSession(db: Db, sessionId: string, now: Date): Promise<void> {
  await db
    .updateTable("auth.sessions")
    .set({ seen_at: now })
    .where("id", "=", sessionId)
    .where("seen_at", "<", now)
    .execute();
}

/** Notes a proof of presence. @returns when it was, or `undefined` when the session is gone */
export async function markProved(db: Db, sessionId: string): Promise<Date | undefined> {
  const row = await db
    .updateTable("auth.sessions")
    .set({ proved_at: sql<Date>`date_trunc('milliseconds', now())` })
    .where("id", "=", sessionId)
    .returning("proved_at")
    .executeTakeFirst();
  return row?.proved_at;
}

/** Notes that a passkey was used in the session, and whether it is one that counts. */
export async function markProvedByPasskey(
  trx: Trx,
  sessionId: string,
  trusted: boolean,
  now: Date,
): Promise<void> {
  await trx
    .updateTable("auth.sessions")
    .set(trusted ? { proved_at: now, trusted } : { proved_at: now })
    .where("id", "=", sessionId)
    .execute();
}

export async function deleteSession(db: Db, sessionId: string): Promise<void> {
  await db.deleteFrom("auth.sessions").where("id", "=", sessionId).execute();
}

/** Ends the person's sessions, but for `except`. @returns how many */
export async function deleteSessions(db: Db, userId: string, except: string | null): Promise<number> {
  const { numDeletedRows } = await db
    .deleteFrom("auth.sessions")
    .where("user_id", "=", userId)
    .where("id", "is distinct from", except)
    .executeTakeFirstOrThrow();
  return Number(numDeletedRows);
}

/** Removes sessions that have ended by themselves. */
export async function deleteEndedSessions(db: Db): Promise<void> {
  await db
    .deleteFrom("auth.sessions")
    .where((where) =>
      where.or([
        where("expires_at", "<", sql<Date>`now()`),
        where("started_at", "<", sql<Date>`now() - make_interval(days => ${SESSION_DAYS})`),
      ]),
    )
    .execute();
}

/** The person's sessions that have not ended, the one seen last first. */
export function listSessions(db: Db, userId: string, now: Date) {
  return db
    .selectFrom("auth.sessions")
    .where("user_id", "=", userId)
    .where("expires_at", ">", now)
    .where("seen_at", ">", new Date(now.getTime() - IDLE_HOURS * 3_600_000))
    .select(["id", "user_agent", "ip_address", "started_at", "seen_at"])
    .orderBy("seen_at", "desc")
    .execute();
}

export function findUserByEmail(db: Db, email: string) {
  return db
    .selectFrom("auth.users")
    .where("email", "=", email.toLowerCase())
    .select(["id", "email", "name"])
    .executeTakeFirst();
}

export function findUser(db: Db, id: string) {
  return db.selectFrom("auth.users").where("id", "=", id).select(["id", "email", "name"]).executeTakeFirst();
}

/** Makes a person. `false`: the e-mail has one already. */
export async function insertUser(
  trx: Trx,
  user: { id: string; email: string; name: string },
): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto("auth.users")
    .values(user)
    .onConflict((conflict) => conflict.column("email").doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows === 1n;
}

/** What better-auth calls the sign-in by password. */
const PASSWORD_PROVIDER = "credential";

export async function insertPassword(trx: Trx, id: string, userId: string, password: string): Promise<void> {
  await trx
    .insertInto("auth.credentials")
    .values({ id, account_id: userId, provider_id: PASSWORD_PROVIDER, user_id: userId, password })
    .execute();
}

/** The hash of the person's password. */
export async function findPassword(db: Db, userId: string): Promise<string | null> {
  const row = await db
    .selectFrom("auth.credentials")
    .where("user_id", "=", userId)
    .where("provider_id", "=", PASSWORD_PROVIDER)
    .select("password")
    .executeTakeFirst();
  return row?.password ?? null;
}

/**
 * The hash of the password that this e-mail signs in with.
 * @param settled waits for whoever is changing it just now
 */
export async function findPasswordOf(
  db: Db,
  email: string,
  { settled = false }: { settled?: boolean } = {},
): Promise<string | null> {
  const row = await db
    .selectFrom("auth.users as u")
    .innerJoin("auth.credentials as c", "c.user_id", "u.id")
    .where("u.email", "=", email.toLowerCase())
    .where("c.provider_id", "=", PASSWORD_PROVIDER)
    .select("c.password")
    .$if(settled, (query) => query.forShare("c"))
    .executeTakeFirst();
  return row?.password ?? null;
}

/** Sets a new password, if the present one is still `expected`. `false`: somebody else just changed it. */
export async function updatePassword(
  trx: Trx,
  userId: string,
  { expected, password }: { expected: string | null; password: string },
  now: Date,
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("auth.credentials")
    .set({ password, updated_at: now })
    .where("user_id", "=", userId)
    .where("provider_id", "=", PASSWORD_PROVIDER)
    .where("password", "is not distinct from", expected)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

export type AuditEntry = {
  id: string;
  userId: string;
  action: string;
  detail?: Record<string, unknown>;
  address: string | null;
};

/** Leaves a trace of a sensitive change, in the transaction that makes it. */
export async function insertAudit(trx: Trx, entry: AuditEntry, now: Date): Promise<void> {
  await trx
    .insertInto("auth.audit")
    .values({
      id: entry.id,
      user_id: entry.userId,
      action: entry.action,
      detail: JSON.stringify(entry.detail ?? {}),
      address: entry.address,
      created_at: now,
    })
    .execute();
}

/** Removes counts of windows that have passed. */
export async function deleteOldAttempts(db: Db): Promise<void> {
  await sql`delete from auth.attempts where expire < extract(epoch from now()) * 1000 - 3600000`.execute(db);
}
