import pg from "pg";
import { Problem } from "../lib/problems.ts";
import { withClock } from "./clock.ts";
import type { Db, Trx } from "./connection.ts";

const ATTEMPTS = 3;
const RETRY_AFTER_SECONDS = 2;
const DEADLOCK_DETECTED = "40P01";
const SERIALIZATION_FAILURE = "40001";
const LOCK_NOT_AVAILABLE = "55P03";
const UNIQUE_VIOLATION = "23505";
const FOREIGN_KEY_VIOLATION = "23503";

/** What Postgres, the network or the pool says when the database is away, too busy, or shutting down. */
const UNAVAILABLE_STATES = /^(08...|53...|55P03|57014|57P0[1-5]|25006)$/;
const UNAVAILABLE_ERRORS = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "ENOTFOUND",
  "EAI_AGAIN",
]);
const UNAVAILABLE_MESSAGES =
  /timeout exceeded when trying to connect|Connection terminated|is not queryable|Query read timeout/;

type CommitListener = (changed: ReadonlySet<string>) => void;

const changesOf = new WeakMap<Trx, Set<string>>();
const listenersOf = new WeakMap<Db, CommitListener[]>();

/**
 * Runs `work` in one transaction. After a deadlock, a serialization failure or a number that another transaction took,
 * tries again, three times in all. Postgres has rolled everything back then, so `work` must do nothing outside its
 * transaction. After the commit, notifies the listeners of `db` about the changes that `work` noted with `noteChange`.
 * @param work gets the transaction's time, which the database read as it began
 */
export async function inTransaction<T>(db: Db, work: (trx: Trx, now: Date) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      let changes: ReadonlySet<string> | undefined;
      const result = await withClock(db, async (trx, now) => {
        const done = await work(trx, now);
        changes = changesOf.get(trx);
        return done;
      });
      if (changes !== undefined) for (const listener of listenersOf.get(db) ?? []) listener(changes);
      return result;
    } catch (error) {
      if (attempt === ATTEMPTS || !(isRollback(error) || isTaken(error))) throw error;
    }
  }
}

/**
 * Waits for what was sent at once. Statements of one transaction that do not need each other's answers share a round trip so;
 * Postgres runs them in the order in which they were sent, and takes their locks in it.
 * @throws what the first of them throws that fails, by that order
 */
export async function together<T extends readonly unknown[]>(
  ...sent: { [K in keyof T]: Promise<T[K]> | T[K] }
): Promise<T> {
  await Promise.allSettled(sent);
  return (await Promise.all(sent)) as unknown as T;
}

/** Notes that readers of `name`, an account by its `account_id`, will have something new when `trx` commits. */
export function noteChange(trx: Trx, name: string): void {
  const changes = changesOf.get(trx);
  if (changes === undefined) changesOf.set(trx, new Set([name]));
  else changes.add(name);
}

/** Has `listener` told what was noted in each transaction that this process commits through `db`. */
export function onCommit(db: Db, listener: CommitListener): void {
  listenersOf.set(db, [...(listenersOf.get(db) ?? []), listener]);
}

/** Whether Postgres rolled back because of a deadlock or a serialization failure: the work can be repeated. */
export function isRollback(error: unknown): boolean {
  return (
    error instanceof pg.DatabaseError &&
    (error.code === DEADLOCK_DETECTED || error.code === SERIALIZATION_FAILURE)
  );
}

/** Whether Postgres gave a statement up for what others hold. */
export function isHeldUp(error: unknown): boolean {
  return isRollback(error) || (error instanceof pg.DatabaseError && error.code === LOCK_NOT_AVAILABLE);
}

/** Whether another transaction wrote the same unique key first, such as the next number of something. */
function isTaken(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === UNIQUE_VIOLATION;
}

/** Whether Postgres refused to remove what something else still refers to. */
export function isReferredTo(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === FOREIGN_KEY_VIOLATION;
}

/** A 503 for errors that say that the database cannot answer just now; `undefined` for all others. */
export function asUnavailable(error: unknown): Problem | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const away =
    isRollback(error) ||
    (error instanceof pg.DatabaseError && UNAVAILABLE_STATES.test(code)) ||
    UNAVAILABLE_ERRORS.has(code) ||
    UNAVAILABLE_MESSAGES.test(error.message);
  return away ? new Problem("unavailable", { retryAfterSeconds: RETRY_AFTER_SECONDS }) : undefined;
}
