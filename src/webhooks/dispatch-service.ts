import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { addSeconds, SECOND } from "../lib/time.ts";
import type { DeliveryClient, Outcome } from "./delivery-client.ts";
import * as store from "./dispatch-store.ts";
import { judge } from "./retry-rules.ts";
import { secretContext } from "./service.ts";
import { openSecrets, signatureHeaders } from "./signature.ts";

/** Concurrent deliveries to one receiver. */
const PER_RECEIVER = 2;
/** Webhooks served at once, by lane: slow receivers have a lane of their own. */
const FAST_AT_ONCE = 80;
const SLOW_AT_ONCE = 20;
export const SOCKETS_AT_MOST = PER_RECEIVER * (FAST_AT_ONCE + SLOW_AT_ONCE);

export const LEASE_SECONDS = 30;
/** An exchange takes 10 s at most; none begins that could outlive the lease. So a turn is 15 s long. */
const EXCHANGE_SECONDS = 15;
/** How long a stop waits for attempts under way before it aborts them. */
const STOP_GRACE = 3 * SECOND;
const EXPIRED_BATCH = 500;
const FAILURES_AT_MOST = 10;
const UNSIGNED = "could not be signed: the operator of this service must fix this";
export const UNSIGNED_WAIT_SECONDS = 60;

export type DispatchDeps = {
  db: Db;
  config: { secretsKeys: readonly Buffer[] };
  client: DeliveryClient;
  logger: Logger;
};

export type Dispatcher = {
  /** Starts to serve the due webhooks that there is room for, without waiting for their turns. */
  sweep(): Promise<void>;
  /** Resolves when nothing is being served. */
  idle(): Promise<void>;
  /** Stops serving. Waits shortly for attempts under way; aborted ones are sent again. */
  stop(): Promise<void>;
};

type Lane = { slow: boolean; size: number; serving: Map<string, Promise<void>> };

/**
 * Sends due deliveries. Several processes may run it at once: each webhook is leased to one of them, which serves it for a
 * turn, two deliveries at a time. A dead receiver costs only its own turns; one that hangs moves to the slow lane, where it
 * does not hold up the others.
 * @param onFree called when a turn has ended, as more webhooks may be due
 */
export function createDispatcher(deps: DispatchDeps, onFree: () => void): Dispatcher {
  const { db, logger } = deps;
  const lanes: Lane[] = [
    { slow: false, size: FAST_AT_ONCE, serving: new Map() },
    { slow: true, size: SLOW_AT_ONCE, serving: new Map() },
  ];
  let stopped = false;
  const breakOff = new AbortController();

  async function fillLane({ slow, size, serving }: Lane, now: Date): Promise<void> {
    if (serving.size === size) return;
    for (const key of await store.listDueWebhooks(db, slow, now, size - serving.size)) {
      if (stopped || serving.has(key.id)) continue;
      const turn = serve(key, slow, now)
        .catch((error: unknown) => logger.warn({ err: error, webhookId: key.id }, "a webhook's turn failed"))
        .finally(() => serving.delete(key.id));
      serving.set(key.id, turn);
    }
  }

  async function serve(key: store.WebhookKey, slow: boolean, now: Date): Promise<void> {
    const leased = { ...key, lease: randomUUID() };
    if (!(await store.takeLease(db, leased, now, addSeconds(now, LEASE_SECONDS)))) return;
    try {
      await sendDue(leased, slow);
    } finally {
      await release(db, leased);
    }
    onFree();
  }

  /** Sends a webhook's deliveries, each as soon as there is a socket for it, until none is due or the turn is over. */
  async function sendDue(leased: store.Leased, slow: boolean): Promise<void> {
    const underWay = new Map<string, Promise<void>>();
    let fault: unknown;
    while (!stopped && fault === undefined) {
      const ids = [...underWay.keys()];
      const delivery = await store.findNextDelivery(db, leased, slow, ids, EXCHANGE_SECONDS);
      if (delivery === undefined) break;
      const sending = send(leased, slow, delivery)
        .catch((error: unknown) => {
          fault = error;
        })
        .finally(() => underWay.delete(delivery.id));
      underWay.set(delivery.id, sending);
      if (underWay.size === PER_RECEIVER) await Promise.race(underWay.values());
    }
    await Promise.all(underWay.values());
    if (fault !== undefined) throw fault;
  }

  async function send(leased: store.Leased, slow: boolean, delivery: store.TakenDelivery): Promise<void> {
    const headers = sign(deps, leased, delivery);
    if (headers === undefined) {
      const dueAt = addSeconds(delivery.now, UNSIGNED_WAIT_SECONDS);
      return store.postponeDelivery(db, leased.accountId, delivery, UNSIGNED, dueAt);
    }
    const { url, body } = delivery;
    const outcome = await deps.client.deliver({ url, headers, body }, breakOff.signal);
    // Aborted: it may or may not have arrived, so it stays due.
    if (breakOff.signal.aborted && outcome.status === null) return;
    await recordOutcome(deps, leased, slow, delivery, outcome);
  }

  async function idle(): Promise<void> {
    await Promise.all(lanes.flatMap(({ serving }) => [...serving.values()]));
  }

  return {
    async sweep() {
      const now = await readClock(db);
      for (const expired of await store.listExpiredLeases(db, now, EXPIRED_BATCH)) await release(db, expired);
      for (const lane of lanes) if (!stopped) await fillLane(lane, now);
    },
    idle,
    async stop() {
      stopped = true;
      const grace = setTimeout(() => breakOff.abort(), STOP_GRACE);
      await idle();
      clearTimeout(grace);
    },
  };
}

/** The headers of an attempt; `undefined`: this process cannot open the secrets, which is not the receiver's fault. */
function sign(
  { config, logger }: DispatchDeps,
  { accountId, id }: store.WebhookKey,
  delivery: store.TakenDelivery,
): Record<string, string> | undefined {
  const { body, eventType, now } = delivery;
  try {
    const opened = openSecrets(config.secretsKeys, delivery, secretContext(accountId, id));
    return signatureHeaders(opened, { id: delivery.id, eventType, timestamp: now, body });
  } catch (error) {
    logger.error({ err: error, webhookId: id }, "a webhook's secret cannot be opened: look at SECRETS_KEY");
    return undefined;
  }
}

/** Records an attempt's outcome, and what it shows about the receiver, in one transaction. */
async function recordOutcome(
  { db, logger }: DispatchDeps,
  key: store.WebhookKey,
  wasSlow: boolean,
  delivery: store.TakenDelivery,
  outcome: Outcome,
): Promise<void> {
  const verdict = judge(delivery.attempts, outcome);
  const { status, waitSeconds, slow } = verdict;
  const telling = status === "FAILED" || slow !== wasSlow || (outcome.ok && delivery.failures > 0);
  const reason = await inTransaction(db, async (trx, now) => {
    if (telling) await store.holdWebhook(trx, key);
    const values = {
      status,
      dueAt: waitSeconds === null ? null : addSeconds(now, waitSeconds),
      answerStatus: outcome.status,
      answerError: outcome.error,
    };
    if (!(await store.writeAttempt(trx, key.accountId, delivery, values, now)) || !telling) return undefined;
    const failures = await store.noteReceiver(trx, key, verdict, now);
    const end = endOf(verdict.gone, failures, outcome);
    if (end !== undefined) await store.disableWebhook(trx, key, end, now);
    return end;
  });
  if (reason !== undefined) logger.warn({ webhookId: key.id, reason }, "a webhook was disabled");
}

/** Why the webhook is disabled, for people; `undefined`: it stays active. */
function endOf(gone: boolean, failures: number, { error }: Outcome): string | undefined {
  if (gone) return "The receiver answered 410 Gone.";
  if (failures < FAILURES_AT_MOST) return undefined;
  return `${failures} deliveries in a row failed, each after its last attempt. The last one: ${error}.`;
}

/** Releases a lease, unless it was taken over meanwhile. */
async function release(db: Db, leased: store.Leased): Promise<void> {
  await inTransaction(db, async (trx, now) => {
    if (await store.lockLeased(trx, leased)) await store.dropLease(trx, leased, now);
  });
}
