import type { Logger } from "pino";
import type { ChangeBus } from "../database/change-bus.ts";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { DELIVERIES } from "../events/schemas.ts";
import { every, type Loop } from "../jobs/every.ts";
import { keyIdOf, open, type Sealed, seal } from "../lib/sealed.ts";
import { addSeconds, SECOND } from "../lib/time.ts";
import { createDeliveryClient } from "./delivery-client.ts";
import { createDispatcher, SOCKETS_AT_MOST } from "./dispatch-service.ts";
import * as store from "./retention-store.ts";
import { listSealedByOthers, type StoredSecrets, writeResealed } from "./secret-store.ts";
import { secretContext, type WebhookDeps } from "./service.ts";
import { targetRules } from "./target.ts";

const KEPT_SECONDS = 30 * 24 * 60 * 60;
const BATCH = 1_000;
const BATCHES_AT_MOST = 100;

/**
 * Delivers webhooks for as long as it runs: looks for what is due when a delivery has been written, when a turn has
 * ended, and each second for what no wake-up has told of: retries, mostly.
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

/** Forgets deliveries after 30 days, and those of webhooks that were deleted, a batch at a time. */
export async function forgetDeliveries(db: Db): Promise<void> {
  const before = addSeconds(await readClock(db), -KEPT_SECONDS);
  for (let batch = 1; batch <= BATCHES_AT_MOST; batch++) {
    const old = await store.listOldDeliveries(db, before, BATCH);
    for (const { accountId, ids } of old) await store.deleteDeliveries(db, accountId, ids);
    if (old.flatMap(({ ids }) => ids).length < BATCH) break;
  }
  for (const webhook of await store.listDeletedWebhooks(db, BATCHES_AT_MOST)) {
    const deleted = await store.deleteDeliveriesOf(db, webhook, BATCH);
    if (deleted < BATCH) await store.removeWebhook(db, webhook);
  }
}

/**
 * After a rotation of SECRETS_KEY, seals anew what older keys have sealed, so that those can be taken out. What
 * none of the keys opens is left as it is, and said.
 */
export async function resealSecrets({ db, config }: WebhookDeps, logger: Logger): Promise<void> {
  const [newest] = config.secretsKeys;
  if (newest === undefined) throw new TypeError("there is no key to seal with");
  let batch: StoredSecrets[] = [];
  do {
    batch = await listSealedByOthers(db, keyIdOf(newest), batch.at(-1), BATCH);
    for (const stored of batch) {
      const context = secretContext(stored.accountId, stored.id);
      const reseal = (sealed: Sealed) =>
        seal(config.secretsKeys, open(config.secretsKeys, sealed, context), context);
      try {
        const { secret, oldSecret } = stored;
        await writeResealed(db, stored, {
          secret: reseal(secret),
          oldSecret: oldSecret === null ? null : reseal(oldSecret),
        });
      } catch (error) {
        logger.error({ err: error, webhookId: stored.id }, "a webhook's secret cannot be sealed anew");
      }
    }
  } while (batch.length === BATCH);
}
