import type { Logger } from "pino";
import type { ChangeBus } from "../database/change-bus.ts";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { DELIVERIES } from "../events/schemas.ts";
import { every, type Loop } from "../jobs/every.ts";
import { sweep } from "../jobs/sweep.ts";
import { newestKeyId } from "../lib/sealed.ts";
import { addSeconds, DAY_SECONDS, SECOND } from "../lib/time.ts";
import { createDeliveryClient } from "./delivery-client.ts";
import {
  createDispatcher,
  LEASE_SECONDS,
  SOCKETS_AT_MOST,
  UNSIGNED_WAIT_SECONDS,
} from "./dispatch-service.ts";
import { shortenWebhookWaits } from "./dispatch-store.ts";
import * as store from "./retention-store.ts";
import { WAITS } from "./retry-rules.ts";
import { listSealedByOthers, type StoredSecrets, writeResealed } from "./secret-store.ts";
import { secretContext, type WebhookDeps } from "./service.ts";
import { resealPair } from "./signature.ts";
import { targetRules } from "./target-rules.ts";

const KEPT_SECONDS = 30 * DAY_SECONDS;
const BATCH = 1_000;
const WEBHOOKS_AT_ONCE = 100;

/**
 * Delivers webhooks for as long as it runs. It looks for due deliveries when one has been written, when a turn has ended,
 * and each second, mostly for retries.
 */
export function deliverWebhooks(
  { db, config, changeBus }: WebhookDeps & { changeBus: ChangeBus },
  logger: Logger,
): Loop {
  const client = createDeliveryClient({ ...targetRules(config), maxSockets: SOCKETS_AT_MOST });
  const dispatcher = createDispatcher({ db, config, client, logger }, () => loop.runNow());
  const loop = every(SECOND, "webhooks", logger, dispatcher.sweep);
  const unsubscribe = changeBus.subscribe((woken) => {
    if (woken === "all" || woken.has(DELIVERIES)) loop.runNow();
  });
  return {
    runNow: loop.runNow,
    async stop() {
      unsubscribe();
      await loop.stop();
      await dispatcher.stop();
      await client.close();
    },
  };
}

/** Shortens what a step back of the database's clock has made wait too long. Several processes may run it at once. */
export function shortenWaits(db: Db): Promise<void> {
  const waitSeconds = [UNSIGNED_WAIT_SECONDS, ...WAITS];
  return shortenWebhookWaits(db, { leaseSeconds: LEASE_SECONDS, waitSeconds });
}

/** Deletes deliveries after 30 days, and those of deleted webhooks at once. @returns how many */
export async function forgetDeliveries(db: Db): Promise<number> {
  const before = addSeconds(await readClock(db), -KEPT_SECONDS);
  const old = await sweep(
    () => store.listOldDeliveries(db, before, BATCH),
    ({ accountId, ids }) => store.deleteDeliveries(db, accountId, ids),
  );
  const orphaned = await sweep(
    () => store.listDeletedWebhooks(db, WEBHOOKS_AT_ONCE),
    async (webhook) => {
      const deleted = await store.deleteDeliveriesOf(db, webhook, BATCH);
      if (deleted < BATCH) await store.removeWebhook(db, webhook);
      return deleted;
    },
  );
  return old + orphaned;
}

/**
 * Seals webhooks' secrets again with the newest SECRETS_KEY after a rotation, so that older keys can be taken out. A
 * secret that no key opens is left as it is and logged.
 */
export async function resealSecrets({ db, config }: WebhookDeps, logger: Logger): Promise<void> {
  const { secretsKeys } = config;
  let batch: StoredSecrets[] = [];
  do {
    batch = await listSealedByOthers(db, newestKeyId(secretsKeys), batch.at(-1), BATCH);
    for (const stored of batch) {
      const context = secretContext(stored.accountId, stored.id);
      try {
        await writeResealed(db, stored, resealPair(secretsKeys, stored, context));
      } catch (error) {
        logger.error(
          { err: error, webhookId: stored.id },
          "a webhook's secret cannot be sealed with the newest key",
        );
      }
    }
  } while (batch.length === BATCH);
}
