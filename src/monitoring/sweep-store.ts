import { sql } from "kysely";
import type { Db } from "../database/connection.ts";

/** A sweep as the processes that run it last reported it. */
export type SweepRow = {
  job: string;
  seenAt: Date;
  succeededAt: Date | null;
  tookMs: number | null;
  failedAt: Date | null;
  failures: number;
  error: string | null;
};

/** What a process reports. Ages are in seconds, by its own clock: the database's decides when that was. */
export type SweepReport = {
  job: string;
  succeededAgo: number | null;
  tookMs: number | null;
  failedAgo: number | null;
  failures: number;
  error: string | null;
};

/** Writes what a process reports of its sweeps. Of several processes the latest success and failure stay. */
export async function writeSweeps(db: Db, reports: readonly SweepReport[]): Promise<void> {
  const sorted = [...reports].sort((a, b) => (a.job < b.job ? -1 : 1));
  const column = <K extends keyof SweepReport>(name: K) => sorted.map((report) => report[name]);
  await sql`
    insert into sweeps as s (job, seen_at, succeeded_at, took_ms, failed_at, failures, error)
    select r.job, now(), now() - make_interval(secs => r.succeeded), r.took_ms, now() - make_interval(secs => r.failed),
      r.failures, r.error
    from unnest(${column("job")}::text[], ${column("succeededAgo")}::float8[], ${column("tookMs")}::integer[],
      ${column("failedAgo")}::float8[], ${column("failures")}::integer[], ${column("error")}::text[])
      as r (job, succeeded, took_ms, failed, failures, error)
    on conflict (job) do update set seen_at = excluded.seen_at,
      succeeded_at = greatest(s.succeeded_at, excluded.succeeded_at),
      took_ms = coalesce(excluded.took_ms, s.took_ms), failed_at = greatest(s.failed_at, excluded.failed_at),
      failures = excluded.failures, error = coalesce(excluded.error, s.error)`.execute(db);
}

/** Every sweep, by name. */
export function listSweeps(db: Db): Promise<SweepRow[]> {
  return db
    .selectFrom("sweeps")
    .select([
      "job",
      "seen_at as seenAt",
      "succeeded_at as succeededAt",
      "took_ms as tookMs",
      "failed_at as failedAt",
      "failures",
      "error",
    ])
    .orderBy("job")
    .execute();
}

/** When a `work` last reported itself, and how many seconds ago that was. `undefined`: never. */
export async function readWorkSeen(db: Db): Promise<{ at: Date; secondsAgo: number } | undefined> {
  const { rows } = await sql<{ at: Date | null; secondsAgo: number }>`
    select max(seen_at) as at, extract(epoch from now() - max(seen_at))::float8 as "secondsAgo" from sweeps`.execute(
    db,
  );
  const [row] = rows;
  return row?.at == null ? undefined : { at: row.at, secondsAgo: row.secondsAgo };
}
