import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { readOperatorUpdates } from "../events/operator-service.ts";
import type { OperatorEvent } from "../events/schemas.ts";
import { addSeconds } from "../lib/time.ts";
import type { DeliveryClient } from "./delivery-client.ts";
import { OPERATOR_SECRET } from "./operator-service.ts";
import * as store from "./operator-store.ts";
import { openSecrets, signatureHeaders } from "./signature.ts";

export const LEASE_SECONDS = 30;
/** An exchange takes 10 s at most; none begins that could outlive the lease. */
const EXCHANGE_SECONDS = 15;
const PAGE = 50;
/** Waits after failed attempts; the last one repeats for ever, as no event is given up. */
const WAITS = [5, 30, 60, 300] as const;
export const LONGEST_WAIT = 300;
const UNSIGNED = "could not be signed: SECRETS_KEY lacks the key that sealed the secret";

export type OperatorDispatchDeps = {
  db: Db;
  config: { secretsKeys: readonly Buffer[] };
  client: DeliveryClient;
  logger: Logger;
};

/**
 * Sends events to the operator's webhook one by one, until there are no more or one fails. A failed event is tried again,
 * and later ones wait, so that the receiver gets every event at least once and in the order of the feed. Several processes
 * may call it at once: one of them sends.
 * @param stopping once aborted, no further event is sent
 */
export async function sendOperatorEvents(deps: OperatorDispatchDeps, stopping: AbortSignal): Promise<void> {
  const { db } = deps;
  const lease = randomUUID();
  const now = await readClock(db);
  if (!(await store.takeOperatorLease(db, lease, now, addSeconds(now, LEASE_SECONDS)))) return;
  try {
    let events: OperatorEvent[] = [];
    while (!stopping.aborted) {
      const target = await store.findLeasedTarget(db, lease, EXCHANGE_SECONDS);
      if (target === undefined) return;
      const cursor = String(target.cursor);
      if (events.length === 0) ({ events } = await readOperatorUpdates(db, { cursor, limit: PAGE }));
      const event = events.shift();
      if (event === undefined || !(await sendEvent(deps, lease, target, event, stopping))) return;
    }
  } finally {
    await store.dropOperatorLease(db, lease);
  }
}

/** @returns whether the event has arrived, and the lease lasts */
async function sendEvent(
  { db, config, client, logger }: OperatorDispatchDeps,
  lease: string,
  target: store.OperatorTarget,
  event: OperatorEvent,
  stopping: AbortSignal,
): Promise<boolean> {
  const { now: at, url, cursor } = target;
  const body = JSON.stringify(event);
  let status: number | null = null;
  let error: string | null = UNSIGNED;
  try {
    const secrets = openSecrets(config.secretsKeys, target, OPERATOR_SECRET);
    const message = { id: `operator-${event.id}`, eventType: event.type, timestamp: at, body };
    ({ status, error } = await client.deliver({ url, headers: signatureHeaders(secrets, message), body }));
  } catch (fault) {
    logger.error({ err: fault }, "the operator's webhook cannot be signed: look at SECRETS_KEY");
  }
  const attempt = { lease, cursor, at, status };
  if (error === null) return store.advanceCursor(db, attempt, addSeconds(at, LEASE_SECONDS));
  // Aborted: it may or may not have arrived, so it is sent again.
  if (stopping.aborted && status === null) return false;
  const attempts = target.attempts + 1;
  const wait = WAITS[target.attempts] ?? LONGEST_WAIT;
  logger.warn(
    { event: event.id, attempts, error, wait },
    "an event could not be delivered to the operator's webhook",
  );
  await inTransaction(db, (trx, now) =>
    store.postponeEvent(trx, attempt, { attempts, error, dueAt: addSeconds(now, wait) }),
  );
  return false;
}
