import { sql } from "kysely";
import type { Db } from "../database/connection.ts";

/** What a process reports. Ages are in seconds, by its own clock: the database's decides when that was. */
export type SweepReport = {
  job: string;
  succeededAgo: number | null;
  seconds: number | null;
  failedAgo: number | null;
  failures: number;
  error: string | null;
};

/** Writes what a process reports of its sweeps. Of several processes the latest success and failure stay. */
export async function writeSweeps(db: Db, reports: readonly SweepReport[]): Promise<void> {
  const sorted = [...reports].sort((a, b) => (a.job < b.job ? -1 : 1));
  const column = <K extends keyof SweepReport>(name: K) => sorted.map((report) => report[name]);
  await sql`
    insert into sweeps as s (job, seen_at, succeeded_at, seconds, failed_at, failures, error)
    select r.job, now(), now() - make_interval(secs => r.succeeded), r.seconds, now() - make_interval(secs => r.failed),
      r.failures, r.error
    from unnest(${column("job")}::text[], ${column("succeededAgo")}::float8[], ${column("seconds")}::float8[],
      ${column("failedAgo")}::float8[], ${column("failures")}::integer[], ${column("error")}::text[])
      as r (job, succeeded, seconds, failed, failures, error)
    on conflict (job) do update set seen_at = excluded.seen_at,
      succeeded_at = greatest(s.succeeded_at, excluded.succeeded_at),
      seconds = coalesce(excluded.seconds, s.seconds), failed_at = greatest(s.failed_at, excluded.failed_at),
      failures = excluded.failures, error = coalesce(excluded.error, s.error)`.execute(db);
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
