import type { Logger } from "pino";
import type { ChangeBus } from "../database/change-bus.ts";
import type { Db } from "../database/connection.ts";
import { OPERATOR_FEED } from "../events/schemas.ts";
import { every, type Loop } from "../jobs/every.ts";
import { newestKeyId } from "../lib/sealed.ts";
import { SECOND } from "../lib/time.ts";
import { createDeliveryClient } from "./delivery-client.ts";
import { LEASE_SECONDS, LONGEST_WAIT, sendOperatorEvents } from "./operator-dispatch-service.ts";
import { OPERATOR_SECRET } from "./operator-service.ts";
import * as store from "./operator-store.ts";
import type { WebhookDeps } from "./service.ts";
import { resealPair } from "./signature.ts";
import { targetRules } from "./target-rules.ts";

/** How long a stop waits for attempts under way before it aborts them. */
const STOP_GRACE = 3 * SECOND;

/** Sends new events to the operator's webhook as the feed grows, and every 5 s those that are due again. */
export function deliverOperatorWebhook(
  { db, config, changeBus }: WebhookDeps & { changeBus: ChangeBus },
  logger: Logger,
): Loop {
  const client = createDeliveryClient({ ...targetRules(config), maxSockets: 1 });
  const stopping = new AbortController();
  const deps = { db, config, client, logger };
  const loop = every(5 * SECOND, "operator's webhook", logger, () =>
    sendOperatorEvents(deps, stopping.signal),
  );
  const unsubscribe = changeBus.subscribe((woken) => {
    if (woken === "all" || woken.has(OPERATOR_FEED)) loop.runNow();
  });
  return {
    runNow: loop.runNow,
    async stop() {
      unsubscribe();
      stopping.abort();
      const grace = setTimeout(() => void client.close(), STOP_GRACE);
      await loop.stop();
      clearTimeout(grace);
    },
  };
}

/** Shortens what a step back of the database's clock has made wait too long. Several processes may run it at once. */
export function shortenOperatorWaits(db: Db): Promise<void> {
  return store.shortenOperatorWaits(db, { leaseSeconds: LEASE_SECONDS, waitSeconds: LONGEST_WAIT });
}

/** Seals the webhook's secrets with the newest SECRETS_KEY after a rotation, so that older keys can be taken out. */
export async function resealOperatorSecrets({ db, config }: WebhookDeps): Promise<void> {
  const { secretsKeys } = config;
  const stored = await store.findSealedByOther(db, newestKeyId(secretsKeys));
  if (stored === undefined) return;
  await store.writeOperatorResealed(db, stored.secret, resealPair(secretsKeys, stored, OPERATOR_SECRET));
}
