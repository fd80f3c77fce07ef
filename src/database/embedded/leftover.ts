import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./run.ts";

/** Where a running Postgres says who and where it is, inside its data folder. */
export const LOCK_FILE = "postmaster.pid";

/**
 * Reads what the Postgres of a data folder, running or killed, says of itself.
 * @returns undefined when there is no lock file; zeros when there is one and it says nothing
 */
export async function readPostmaster(dataFolder: string): Promise<{ pid: number; port: number } | undefined> {
  try {
    const lines = (await readFile(join(dataFolder, LOCK_FILE), "utf8")).split("\n");
    return { pid: Math.abs(Number(lines[0])) || 0, port: Number(lines[3]) || 0 };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * Whether process `pid` is the Postgres of `dataFolder`, by its command line: a number may bear another process
 * by now, even another Postgres.
 * @returns undefined when that cannot be told
 */
export async function isPostmaster(pid: number, dataFolder: string): Promise<boolean | undefined> {
  if (pid === 0) return undefined;
  if (!isAlive(pid)) return false;
  const line = await commandLine(pid);
  return line === undefined ? undefined : `${line} `.includes(` -D ${dataFolder} `);
}

/** Whether there is a process `pid`, ours or another's. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

async function commandLine(pid: number): Promise<string | undefined> {
  if (process.platform === "win32") return undefined;
  if (process.platform === "linux") {
    const words = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => undefined);
    return words?.replaceAll("\0", " ");
  }
  const shown = await run("ps", ["-ww", "-o", "command=", "-p", String(pid)]);
  return shown.ok ? shown.output : undefined;
}
