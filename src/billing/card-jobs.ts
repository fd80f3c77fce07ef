import type { Logger } from "pino";
import { type BillingDeps, detachRemoved } from "./service.ts";
import { listUndetached } from "./store.ts";

const BATCH = 50;

/**
 * Detaches removed cards at the processor, where that failed when they were removed. Several processes may run it at
 * once, as detaching is idempotent.
 */
export async function sweepRemovedCards(
  deps: Pick<BillingDeps, "db" | "processor">,
  logger: Logger,
): Promise<void> {
  for (const card of await listUndetached(deps.db, BATCH)) {
    try {
      await detachRemoved(deps, card);
    } catch (error) {
      logger.warn({ err: error, ...card }, "a removed card could not be detached; it will be tried again");
    }
  }
}
