import { Problem } from "../lib/problems.ts";

/**
 * Who waits for a hash: a signed-in person who proves their presence, or a stranger. Each hash costs the service the
 * same, and strangers may come by the thousand.
 */
export type PasswordLane = "known" | "stranger";

/** Threads of libuv's pool that no password takes: files, name look-ups and compression need them. */
const KEPT_THREADS = 2;
/** The most that wait in a lane per running hash: about a second of work. */
const WAITING_PER_SLOT = 32;
const RETRY_AFTER_SECONDS = 2;

type Start = () => void;

export type PasswordQueue = ReturnType<typeof createPasswordQueue>;

/**
 * Bounds the hashes that run at once by the spare threads of libuv's pool, and bounds those that wait. Strangers
 * leave one slot to known people, so that wrong passwords never keep a signed-in person from proving their presence
 * (docs/contract.md §0).
 * @param threads the size of libuv's pool (`UV_THREADPOOL_SIZE`)
 */
export function createPasswordQueue(threads: number) {
  const spare = Math.max(threads - KEPT_THREADS, 2);
  const slots: Record<PasswordLane, number> = { known: spare, stranger: spare - 1 };
  const running: Record<PasswordLane, number> = { known: 0, stranger: 0 };
  const queues: Record<PasswordLane, Start[]> = { known: [], stranger: [] };

  const isFree = (lane: PasswordLane): boolean =>
    running.known + running.stranger < spare && running[lane] < slots[lane];

  const startNext = (): void => {
    for (const lane of ["known", "stranger"] as const)
      while (queues[lane].length > 0 && isFree(lane)) {
        running[lane] += 1;
        queues[lane].shift()?.();
      }
  };

  /** @throws Problem unavailable {retryAfterSeconds} when the lane is full */
  const assertRoom = (lane: PasswordLane): void => {
    if (queues[lane].length >= slots[lane] * WAITING_PER_SLOT)
      throw new Problem("unavailable", { retryAfterSeconds: RETRY_AFTER_SECONDS });
  };

  return {
    assertRoom,
    /**
     * Runs `work`, which computes one hash, when a slot is free.
     * @throws Problem unavailable {retryAfterSeconds} at once, when the lane is full
     */
    async run<T>(lane: PasswordLane, work: () => Promise<T>): Promise<T> {
      assertRoom(lane);
      await new Promise<void>((start) => {
        queues[lane].push(start);
        startNext();
      });
      try {
        return await work();
      } finally {
        running[lane] -= 1;
        startNext();
      }
    },
  };
}
