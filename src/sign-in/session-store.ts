import { sql } from "kysely";
import type { Db, Trx } from "../database/connection.ts";

const IDLE_HOURS = 12;
const SESSION_DAYS = 7;
/** How long a replaced token may still read. */
const REPLACED_READS_SECONDS = 60;

/** A session that was just looked up, with its person. */
export type SessionRow = {
  sessionId: string;
  userId: string;
  email: string;
  name: string;
  seenAt: Date;
  provedAt: Date;
  /** Whether it is trusted like a passkey: one was used in it, or the password verifies the person. */
  trusted: boolean;
  /** SHA-256 of the token that the request carried. */
  tokenDigest: Buffer;
  /** `current`: the session's token; `reads`: replaced within the last minute; `over`: replaced before that. */
  token: "current" | "reads" | "over";
  /** The database's time at the look-up, which the request uses. */
  now: Date;
};

const isLive = sql<boolean>`(s.started_at > now() - make_interval(days => ${SESSION_DAYS})
  and s.seen_at > now() - make_interval(hours => ${IDLE_HOURS}))`;

/**
 * Whether the password of the user `u` verifies them: no mailed link has set it, and they have no active passkey,
 * which they would have to use instead.
 */
const passwordVouches = sql<boolean>`(u.password_unverified_since is null and not exists (
  select from auth.passkeys p where p.user_id = u.id and p.active_from <= now()))`;

/** The live sessions whose current or previous token is one of these. */
export async function findSessions(db: Db, digests: readonly Buffer[]): Promise<SessionRow[]> {
  // Found by their tokens alone: with more conditions Postgres may read all sessions by their age.
  const { rows } = await sql<SessionRow>`
    with found as materialized (
      select * from auth.sessions where token_digest = any(${digests}::bytea[])
      union select * from auth.sessions where previous_digest = any(${digests}::bytea[])
    )
    select s.id as "sessionId", u.id as "userId", u.email, u.name, s.seen_at as "seenAt", s.proved_at as "provedAt",
      s.trusted or ${passwordVouches} as trusted,
      case when s.token_digest = any(${digests}::bytea[]) then s.token_digest else s.previous_digest end as "tokenDigest",
      case when s.token_digest = any(${digests}::bytea[]) then 'current'
        when s.replaced_at > now() - make_interval(secs => ${REPLACED_READS_SECONDS}) then 'reads'
        else 'over' end as token,
      date_trunc('milliseconds', now()) as now
    from found s join auth.users u on u.id = s.user_id
    where ${isLive}`.execute(db);
  return rows;
}

/** A session as it is while a transaction holds it. */
export type LockedSession = { provedAt: Date; trusted: boolean; tokenDigest: Buffer };

/**
 * Locks a live session: shared for an act in it, exclusively to replace its token.
 * @returns `undefined` when it has ended
 */
export async function lockSession(
  trx: Trx,
  { userId, sessionId }: { userId: string; sessionId: string },
  { alone }: { alone: boolean },
): Promise<LockedSession | undefined> {
  const { rows } = await sql<LockedSession>`
    select s.proved_at as "provedAt", s.trusted, s.token_digest as "tokenDigest" from auth.sessions s
    where s.id = ${sessionId} and s.user_id = ${userId} and ${isLive}
    ${alone ? sql`for no key update` : sql`for share`}`.execute(trx);
  return rows[0];
}

/** Locks all of the person's sessions, by id. The caller holds the person. */
export async function lockSessionsOf(trx: Trx, userId: string): Promise<void> {
  await sql`select 1 from auth.sessions where user_id = ${userId} order by id for update`.execute(trx);
}

/**
 * What verifies a person. A separate statement, so that it sees what was committed while the transaction waited
 * for a lock.
 */
export async function readVouching(
  trx: Trx,
  userId: string,
): Promise<{ vouched: boolean; passwordByLink: boolean }> {
  const { rows } = await sql<{ vouched: boolean; passwordByLink: boolean }>`
    select ${passwordVouches} as vouched, u.password_unverified_since is not null as "passwordByLink"
    from auth.users u where u.id = ${userId}`.execute(trx);
  return rows[0] ?? { vouched: false, passwordByLink: true };
}

export async function insertSession(
  trx: Trx,
  session: {
    id: string;
    digest: Buffer;
    userId: string;
    address: string;
    userAgent: string;
    zone: string;
    trusted: boolean;
  },
  now: Date,
): Promise<void> {
  await trx
    .insertInto("auth.sessions")
    .values({
      id: session.id,
      token_digest: session.digest,
      previous_digest: null,
      replaced_at: null,
      user_id: session.userId,
      address: session.address,
      user_agent: session.userAgent,
      zone: session.zone,
      started_at: now,
      seen_at: now,
      proved_at: now,
      trusted: session.trusted,
    })
    .execute();
}

/**
 * Replaces the session's token. `proved`: after a proof of presence; `trusted`: with an active passkey.
 * @returns `false` when `current` is no longer its token
 */
export async function replaceToken(
  trx: Trx,
  sessionId: string,
  { current, next, proved, trusted }: { current: Buffer; next: Buffer; proved: boolean; trusted: boolean },
  now: Date,
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable("auth.sessions")
    .set({ token_digest: next, previous_digest: current, replaced_at: now })
    .$if(proved, (query) => query.set({ proved_at: now }))
    .$if(trusted, (query) => query.set({ trusted }))
    .where("id", "=", sessionId)
    .where("token_digest", "=", current)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** Records that a session is in use, so that it does not end for being idle. */
export async function touchSession(db: Db, sessionId: string, now: Date): Promise<void> {
  await db
    .updateTable("auth.sessions")
    .set({ seen_at: now })
    .where("id", "=", sessionId)
    .where("seen_at", "<", now)
    .execute();
}

export async function deleteSession(trx: Trx, sessionId: string): Promise<void> {
  await trx.deleteFrom("auth.sessions").where("id", "=", sessionId).execute();
}

/** Ends a session, if this is still its token. */
export async function deleteCurrent(trx: Trx, sessionId: string, current: Buffer): Promise<void> {
  await trx
    .deleteFrom("auth.sessions")
    .where("id", "=", sessionId)
    .where("token_digest", "=", current)
    .execute();
}

/** Ends a session by its previous token. @returns `false` when it had ended or was replaced again */
export async function deleteReplaced(trx: Trx, sessionId: string, previous: Buffer): Promise<boolean> {
  const { numDeletedRows } = await trx
    .deleteFrom("auth.sessions")
    .where("id", "=", sessionId)
    .where("previous_digest", "=", previous)
    .executeTakeFirstOrThrow();
  return numDeletedRows === 1n;
}

/** Ends the person's sessions except one, in the transaction that changes a factor. @returns how many */
export async function endSessions(trx: Trx, userId: string, except: string | null): Promise<number> {
  const { numDeletedRows } = await trx
    .deleteFrom("auth.sessions")
    .where("user_id", "=", userId)
    .where("id", "is distinct from", except)
    .executeTakeFirstOrThrow();
  return Number(numDeletedRows);
}

export async function deleteEndedSessions(db: Db): Promise<void> {
  await sql`
    delete from auth.sessions
    where started_at <= now() - make_interval(days => ${SESSION_DAYS})
      or seen_at <= now() - make_interval(hours => ${IDLE_HOURS})`.execute(db);
}

/** The person's live sessions, last seen first. */
export function listSessions(db: Db, userId: string) {
  return db
    .selectFrom("auth.sessions as s")
    .where("s.user_id", "=", userId)
    .where(isLive)
    .select(["s.id", "s.user_agent", "s.zone", "s.address", "s.started_at", "s.seen_at"])
    .orderBy("s.seen_at", "desc")
    .execute();
}
