import { readFile } from "node:fs/promises";
import type { BenchDatabase } from "./database.ts";

/** Of the kernel's clock; it counts processor time in hundredths of a second on every machine that Node runs on. */
const TICKS_PER_SECOND = 100;
const UTIME = 11;

/** Seconds of processor time that the processes have used so far; NaN where there is no /proc. */
export async function readCpu(pids: readonly number[]): Promise<number> {
  const ticks = await Promise.all(
    pids.map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "");
      // The name before the last bracket may hold spaces.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return Number(fields[UTIME]) + Number(fields[UTIME + 1]);
    }),
  );
  return ticks.reduce((sum, one) => sum + one, 0) / TICKS_PER_SECOND;
}

/** The server's processes that work for the service. */
export async function listBackends({ client }: Pick<BenchDatabase, "client">): Promise<number[]> {
  const { rows } = await client.query<{ pid: number }>(
    "select pid from pg_stat_activity where datname = current_database() and application_name = 'countersign'",
  );
  return rows.map(({ pid }) => pid);
}
