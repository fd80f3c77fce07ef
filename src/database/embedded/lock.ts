import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";
import { StartError } from "../../lib/start-error.ts";

const PATIENCE = 2_000;
const SQLITE_BUSY = 5;

// The garbage collector would release a lock without a reference.
const held = new Set<DatabaseSync>();

/**
 * Makes this process the only one at work on a data folder, from before initdb until Postgres has stopped.
 *
 * Node has no file locks of its own, SQLite has. The kernel drops them with the process, kill -9 included, and
 * they hold between containers that share a volume, where each takes the other's process ids for free.
 * An advisory lock in Postgres would come too late for initdb and go too early for the shutdown.
 * @param dataDir absolute path of an existing folder
 * @param patience how long to wait for another process, which may be shutting down, in milliseconds
 * @returns a function that lets the folder go
 * @throws StartError when another process holds it all that time
 */
export async function lockFolder(dataDir: string, patience: number = PATIENCE): Promise<() => void> {
  const deadline = Date.now() + patience;
  for (;;) {
    const lock = await tryLock(dataDir);
    if (lock !== undefined) {
      held.add(lock);
      return () => {
        if (held.delete(lock)) lock.close();
      };
    }
    if (Date.now() >= deadline) {
      throw new StartError(
        `Another Countersign is already running on ${dataDir}: stop it first, or set DATA_DIR to another folder`,
      );
    }
    await delay(50);
  }
}

async function tryLock(dataDir: string): Promise<DatabaseSync | undefined> {
  // Imported late: a Node built without SQLite can still serve with DATABASE_URL.
  const { DatabaseSync } = await import("node:sqlite");
  let lock: DatabaseSync | undefined;
  try {
    lock = new DatabaseSync(join(dataDir, "countersign.lock"), { timeout: 0 });
    lock.exec("begin exclusive");
    return lock;
  } catch (error) {
    lock?.close();
    if (error instanceof Error && "errcode" in error && error.errcode === SQLITE_BUSY) return undefined;
    throw new StartError(`DATA_DIR ${dataDir} cannot be locked: ${String(error)}`);
  }
}
