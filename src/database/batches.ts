import { Problem } from "../lib/problems.ts";
import type { Db } from "./connection.ts";
import { asUnavailable, isHeldUp } from "./transaction.ts";

/** Statements of one kind that a process has under way at once, and requests in one of them, at most. */
const LANES = 4;
const SIZE = 20;
/** Milliseconds that a request waits for a lane at most: as long as it would wait for a connection. */
const PATIENCE = 3_000;
const RETRY_AFTER_SECONDS = 2;

export type Batching<Request, Answer> = {
  /** Sends several requests, or one, as one statement that waits for no row. `undefined`: this one goes alone. */
  together(db: Db, requests: readonly Request[]): Promise<readonly (Answer | undefined)[]>;
  /** Sends one request by itself. It may wait for a row, and takes no lane meanwhile. */
  alone(db: Db, request: Request): Promise<Answer>;
  /** Requests of one group never stand in the same batch. */
  groupOf?(request: Request): string;
  /** Whether a request may stand in a batch that begins with `first`; absent: always. */
  fits?(db: Db, first: Request, request: Request): boolean;
};

type Waiting<Request, Answer> = {
  request: Request;
  resolve(answer: Answer | Promise<Answer>): void;
  reject(error: unknown): void;
  timer?: NodeJS.Timeout;
};

/**
 * Natural batching: requests that arrive while others are under way go to Postgres together; one that arrives alone goes at
 * once. In a transaction each goes by itself. When a batch fails, each of its requests goes again, alone, so that one
 * that cannot succeed harms no other; where the database did not answer at all, each gets that error.
 * @returns sends one request; rejects with what `together` and `alone` throw, or Problem unavailable
 */
export function inBatches<Request, Answer>(
  batching: Batching<Request, Answer>,
): (db: Db, request: Request) => Promise<Answer> {
  const byDb = new WeakMap<Db, Lanes<Request, Answer>>();
  return (db, request) => {
    if (db.isTransaction) return batching.alone(db, request);
    const lanes = byDb.get(db) ?? new Lanes(db, batching);
    byDb.set(db, lanes);
    return lanes.send(request);
  };
}

class Lanes<Request, Answer> {
  readonly #db: Db;
  readonly #batching: Batching<Request, Answer>;
  #waiting: Waiting<Request, Answer>[] = [];
  #free = LANES;
  #starting = false;

  constructor(db: Db, batching: Batching<Request, Answer>) {
    this.#db = db;
    this.#batching = batching;
  }

  send(request: Request): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting<Request, Answer> = { request, resolve, reject };
      this.#waiting.push(waiting);
      if (this.#free > 0) this.#start();
      else waiting.timer = setTimeout(() => this.#giveUp(waiting), PATIENCE);
    });
  }

  /** After this turn of the event loop: requests that it has read from several sockets arrived together. */
  #start(): void {
    if (this.#starting) return;
    this.#starting = true;
    setImmediate(() => {
      this.#starting = false;
      while (this.#free > 0 && this.#waiting.length > 0) void this.#runLane();
    });
  }

  async #runLane(): Promise<void> {
    this.#free -= 1;
    while (this.#waiting.length > 0) await this.#sendBatch(this.#take());
    this.#free += 1;
  }

  #take(): Waiting<Request, Answer>[] {
    const groups = new Set<string | number>();
    const batch: Waiting<Request, Answer>[] = [];
    const left: Waiting<Request, Answer>[] = [];
    const first = this.#waiting[0];
    for (const [i, waiting] of this.#waiting.entries()) {
      const group = this.#batching.groupOf?.(waiting.request) ?? i;
      const fits =
        batch.length < SIZE && !groups.has(group) && (waiting === first || this.#fits(first, waiting));
      groups.add(group);
      (fits ? batch : left).push(waiting);
    }
    this.#waiting = left;
    for (const { timer } of batch) clearTimeout(timer);
    return batch;
  }

  #fits(first: Waiting<Request, Answer> | undefined, { request }: Waiting<Request, Answer>): boolean {
    return first === undefined || (this.#batching.fits?.(this.#db, first.request, request) ?? true);
  }

  async #sendBatch(batch: readonly Waiting<Request, Answer>[]): Promise<void> {
    const requests = batch.map(({ request }) => request);
    try {
      const answers = await this.#batching.together(this.#db, requests);
      for (const [i, waiting] of batch.entries()) {
        const answer = answers[i];
        if (answer === undefined) this.#sendAlone(waiting);
        else waiting.resolve(answer);
      }
    } catch (error) {
      const unanswered = asUnavailable(error) !== undefined && !isHeldUp(error);
      for (const waiting of batch) {
        if (unanswered || batch.length === 1) waiting.reject(error);
        else this.#sendAlone(waiting);
      }
    }
  }

  #sendAlone({ request, resolve }: Waiting<Request, Answer>): void {
    resolve(this.#batching.alone(this.#db, request));
  }

  #giveUp(waiting: Waiting<Request, Answer>): void {
    this.#waiting = this.#waiting.filter((other) => other !== waiting);
    waiting.reject(new Problem("unavailable", { retryAfterSeconds: RETRY_AFTER_SECONDS }));
  }
}
