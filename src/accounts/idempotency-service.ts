import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { sweep } from "../jobs/sweep.ts";
import { newId } from "../lib/ids.ts";
import { Problem } from "../lib/problems.ts";
import { addSeconds, DAY_SECONDS } from "../lib/time.ts";
import * as store from "./idempotency-store.ts";

const KEPT_SECONDS = DAY_SECONDS;
/** A repeat takes over an attempt that has been silent for this long. */
const STUCK_SECONDS = 60;
const BATCH = 1_000;

/** A call with an `Idempotency-Key`: its token, and the digest of the request. */
export type KeyedRequest = store.KeyRef & {
  digest: Buffer;
  /** Called before a stored answer is returned. */
  onReplay: () => void;
};

declare const written: unique symbol;
/** An answer that was stored in the transaction of its effect. Only a `Keep` creates one. */
export type Kept<T> = { readonly answer: T; readonly [written]: true };
/** Stores the answer for repeats of the call. Call it before the account's head is locked (invariant 11). */
export type Keep<T> = (trx: Trx, answer: T) => Promise<Kept<T>>;

/**
 * Makes a call idempotent by its key (docs/contract.md §0): a repeat gets the first answer. Only a success is stored, in the
 * transaction of its effect; after a problem the key is free again, for another body too.
 *
 * The key is claimed in a transaction of its own, so that `work` may be slow and call other services. An attempt that was
 * taken over meanwhile cannot commit: `keep` throws.
 * @param request absent: the call has no key, and `work` runs each time
 * @param work calls `keep` in the transaction of its effect, once, and returns what that returned
 * @throws Problem idempotency_key_reused, request_in_progress, and errors of `work`
 */
export async function answerOnce<T extends object>(
  db: Db,
  request: KeyedRequest | undefined,
  work: (keep: Keep<T>) => Promise<Kept<T>>,
): Promise<T> {
  if (request === undefined) return (await work(async (_trx, answer) => asKept(answer))).answer;
  const attempt = newId();
  const stored = await inTransaction(db, (trx, now) => claimKey(trx, request, attempt, now));
  if (stored !== undefined) {
    request.onReplay();
    return stored as T;
  }
  const keep: Keep<T> = async (trx, answer) => {
    if (!(await store.insertAnswer(trx, request, attempt, answer))) {
      throw new Problem("request_in_progress");
    }
    return asKept(answer);
  };
  try {
    return (await work(keep)).answer;
  } catch (error) {
    // If this fails, a repeat takes the key over later.
    await store.releaseKey(db, request, attempt).catch(() => {});
    throw error;
  }
}

/** Deletes idempotency keys that are older than 24 hours, one account a transaction. @returns how many */
export async function forgetOldKeys(db: Db): Promise<number> {
  const before = addSeconds(await readClock(db), -KEPT_SECONDS);
  return sweep(
    () => store.listAccountsWithOldKeys(db, before, BATCH),
    (accountId) => inTransaction(db, (trx) => store.deleteOldKeys(trx, accountId, before)),
  );
}

/** @returns the stored answer; `undefined`: this attempt now holds the key */
async function claimKey(
  trx: Trx,
  request: KeyedRequest,
  attempt: string,
  now: Date,
): Promise<object | undefined> {
  const claim = { digest: request.digest, attempt, now };
  if (await store.insertKey(trx, request, claim)) return undefined;
  const known = await store.findKey(trx, request);
  // Another attempt has just released it.
  if (known === undefined) throw new Problem("request_in_progress");
  const answered = known.answer !== null;
  const free = known.claimedAt <= addSeconds(now, -(answered ? KEPT_SECONDS : STUCK_SECONDS));
  if (free && (await store.takeOver(trx, request, { ...known, answered }, claim))) return undefined;
  if (!free && !known.digest.equals(request.digest)) {
    throw new Problem("idempotency_key_reused", { field: "Idempotency-Key" });
  }
  if (free || known.answer === null) throw new Problem("request_in_progress");
  return known.answer;
}

function asKept<T>(answer: T): Kept<T> {
  return { answer } as Kept<T>;
}
