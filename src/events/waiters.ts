import type { ChangeBus } from "../database/change-bus.ts";
import type { Db } from "../database/connection.ts";
import { Problem } from "../lib/problems.ts";
import { SECOND } from "../lib/time.ts";
import { takeTurns } from "../lib/turns.ts";
import { readLastNumber } from "./operator-store.ts";
import { OPERATOR_FEED, type PageQuery, type Updates } from "./schemas.ts";
import { readLastEvents } from "./store.ts";

/** How many requests one token, with those that it minted, may have waiting in a process (docs/contract.md §2). */
const HELD_AT_MOST = 20;
/** Woken requests share this many connections of the pool, which leaves the others for new requests. */
const READING_AT_ONCE = 4;
const FEEDS_A_LOOK = 1_000;

/** A request that is ready to wait. */
export type Waiting = {
  /** Whose events: an account's, by its `account_id`, or OPERATOR_FEED. */
  feed: string;
  /** The holder that the limit counts: a token, by the id of its root, or the operator. */
  holder: string;
  /** How long it waits at most. */
  seconds: number;
  /** Calls `listener` when the caller hangs up. */
  onHangUp(listener: () => void): void;
  /** Checks again that the caller may read, before an answer that took a wait; throws if not. */
  recheck(): Promise<unknown>;
};

/**
 * The long polls for events (docs/contract.md §2, docs/design.md, Waiting). A waiting request costs memory, but no query and no
 * database connection: it is woken by its feed's name.
 */
export class Waiters {
  readonly #db: Db;
  readonly #byFeed = new Map<string, Set<Waiter>>();
  readonly #inTurn = takeTurns(READING_AT_ONCE);
  #stopping = false;

  constructor(db: Db, changeBus: ChangeBus) {
    this.#db = db;
    changeBus.subscribe((woken) => {
      if (woken === "all") return;
      for (const feed of woken) for (const waiter of this.#byFeed.get(feed) ?? []) waiter.tell("news");
    });
  }

  /** How many requests wait just now. */
  get count(): number {
    let count = 0;
    for (const waiters of this.#byFeed.values()) for (const { waits } of waiters) if (waits) count += 1;
    return count;
  }

  /**
   * Reads a page; while it is empty, waits for events and reads on. Events that the token may not read advance the cursor
   * and do not end the wait. After the time is up, returns the last page, which is empty.
   * @throws Problem rate_limited when the token has 20 requests waiting already; errors of `read` and `recheck`
   */
  async hold<Page extends Updates>(
    waiting: Waiting,
    query: PageQuery,
    read: (query: PageQuery) => Promise<Page>,
  ): Promise<Page> {
    if (waiting.seconds === 0) return read(query);
    // Subscribed before the first read, so that a commit right after it is not missed.
    const waiter = this.#enter(waiting);
    try {
      let page = await read(query);
      while (page.events.length === 0 && !page.hasMore) {
        const { nextCursor: cursor } = page;
        if (!waiter.waits) this.#begin(waiter, waiting);
        const told = await waiter.wait(Number(cursor));
        if (told === "over") return page;
        page = await this.#inTurn(async () => {
          if (waiter.isOver) return page;
          await waiting.recheck();
          return told === "late" ? page : read({ ...query, cursor });
        });
        if (told === "late") return page;
      }
      return page;
    } finally {
      this.#leave(waiter, waiting);
    }
  }

  /** Wakes requests whose feed has events that were never announced. */
  async lookForMissed(): Promise<void> {
    const accountIds = [...this.#byFeed.keys()].filter((feed) => feed !== OPERATOR_FEED);
    for (let i = 0; i < accountIds.length; i += FEEDS_A_LOOK) {
      const heads = await readLastEvents(this.#db, accountIds.slice(i, i + FEEDS_A_LOOK));
      for (const { accountId, lastEvent } of heads) this.#tellBehind(accountId, lastEvent);
    }
    if (this.#byFeed.has(OPERATOR_FEED)) this.#tellBehind(OPERATOR_FEED, await readLastNumber(this.#db));
  }

  /** Ends all waits, later ones too, as the server stops. */
  stop(): void {
    this.#stopping = true;
    for (const waiters of this.#byFeed.values()) for (const waiter of waiters) waiter.tell("over");
  }

  #tellBehind(feed: string, lastEvent: number): void {
    for (const waiter of this.#byFeed.get(feed) ?? []) if (waiter.position < lastEvent) waiter.tell("news");
  }

  #enter({ feed, holder, onHangUp }: Waiting): Waiter {
    const waiter = new Waiter(holder);
    const waiters = this.#byFeed.get(feed);
    if (waiters === undefined) this.#byFeed.set(feed, new Set([waiter]));
    else waiters.add(waiter);
    onHangUp(() => waiter.tell("over"));
    if (this.#stopping) waiter.tell("over");
    return waiter;
  }

  #begin(waiter: Waiter, { feed, holder, seconds }: Waiting): void {
    const held = [...(this.#byFeed.get(feed) ?? [])].filter(
      (other) => other.waits && other.holder === holder,
    );
    if (held.length >= HELD_AT_MOST) {
      const left = Math.min(...held.map(({ until }) => until)) - performance.now();
      throw new Problem(
        "rate_limited",
        { retryAfterSeconds: Math.max(1, Math.ceil(left / SECOND)) },
        `With this token, and those that it shares its limits with, ${HELD_AT_MOST} requests wait already. Let one of them end first.`,
      );
    }
    waiter.begin(seconds);
  }

  #leave(waiter: Waiter, { feed }: Waiting): void {
    waiter.end();
    const waiters = this.#byFeed.get(feed);
    waiters?.delete(waiter);
    if (waiters?.size === 0) this.#byFeed.delete(feed);
  }
}

/** What wakes a waiter, in rising priority: there may be events, its time is up, its caller is gone. */
type Told = "news" | "late" | "over";
const RANKS: readonly Told[] = ["news", "late", "over"];

class Waiter {
  readonly holder: string;
  /** The last event that it has seen. */
  position = -1;
  until = 0;
  #timer: NodeJS.Timeout | undefined;
  #told: Told | undefined;
  #wake: (() => void) | undefined;

  constructor(holder: string) {
    this.holder = holder;
  }

  get waits(): boolean {
    return this.#timer !== undefined;
  }

  get isOver(): boolean {
    return this.#told === "over";
  }

  begin(seconds: number): void {
    this.until = performance.now() + seconds * SECOND;
    this.#timer = setTimeout(() => this.tell("late"), seconds * SECOND);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  tell(told: Told): void {
    if (this.#told !== undefined && RANKS.indexOf(told) < RANKS.indexOf(this.#told)) return;
    this.#told = told;
    this.#wake?.();
  }

  /** Resolves when it is woken, or at once if that happened since the last call. */
  async wait(position: number): Promise<Told> {
    this.position = position;
    if (this.#told === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
    const told = this.#told ?? "news";
    if (told === "news") this.#told = undefined;
    return told;
  }
}
