import type { Db } from "./connection.ts";
import { onCommit } from "./transaction.ts";

/** Whose readers have something new: accounts, by `account_id`, and other names that were noted; or nobody knows whose. */
export type Woken = ReadonlySet<string> | "all";

/**
 * Tells the parts of this process whose feeds have grown (DESIGN.md, Waiting): at once after a commit of its
 * own, and after one of another process when `startListening` hears of it. A wake-up is a hint and nothing more:
 * it may come twice, or for nothing, or not at all; whoever takes it looks into the database, and looks now and
 * then without one.
 */
export class ChangeBus {
  readonly #listeners = new Set<(woken: Woken) => void>();

  constructor(db: Db) {
    onCommit(db, (changed) => this.publish(changed));
  }

  /**
   * Has `listener` called with each wake-up. It must return at once, and not throw.
   * @returns a function that ends it
   */
  subscribe(listener: (woken: Woken) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  publish(woken: Woken): void {
    for (const listener of this.#listeners) listener(woken);
  }
}
