import type { Db } from "./connection.ts";
import { onCommit } from "./transaction.ts";

/** The feeds that have changed: accounts, by `account_id`, and other names that were noted; `all`: it is not known which. */
export type Woken = ReadonlySet<string> | "all";

/**
 * Publishes which feeds have changed to the subscribers in this process (docs/design.md, Waiting): right after a commit of
 * its own, and after another process's commit once `startListening` hears of it. A message is a hint: it may come twice,
 * without a change, or not at all. Subscribers read the database, and also do so at intervals.
 */
export class ChangeBus {
  readonly #listeners = new Set<(woken: Woken) => void>();

  constructor(db: Db) {
    onCommit(db, (changed) => this.publish(changed));
  }

  /**
   * Calls `listener` with each change. It must return at once, and not throw.
   * @returns a function that unsubscribes it
   */
  subscribe(listener: (woken: Woken) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  publish(woken: Woken): void {
    for (const listener of this.#listeners) listener(woken);
  }
}
