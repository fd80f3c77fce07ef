import { setTimeout as delay } from "node:timers/promises";

/**
 * Whether the process was told to stop and still serves: `/readyz` answers 503 and every answer closes its connection, so
 * that proxies send new requests elsewhere before the listener closes.
 */
export class Draining {
  #begun = false;

  get begun(): boolean {
    return this.#begun;
  }

  /** Begins, and resolves once proxies had `seconds` to notice. */
  async run(seconds: number): Promise<void> {
    this.#begun = true;
    await delay(seconds * 1_000);
  }
}
