import { shortenWaits as shortenPaymentWaits } from "../approvals/advance-service.ts";
import { type ProcessorEventDeps, shortenEventWaits } from "../approvals/processor-event-service.ts";
import { shortenWaits as shortenTopUpWaits } from "../billing/top-up-jobs.ts";
import { shortenWaits as shortenMailWaits } from "../mail/jobs.ts";
import { shortenWaits as shortenWebhookWaits } from "../webhooks/jobs.ts";
import { shortenOperatorWaits } from "../webhooks/operator-jobs.ts";

/**
 * Bounds every lease and every wait of the database by what its kind lasts. After a step back of the database's clock
 * they would otherwise last until the clock has caught up. Several processes may run it at once.
 */
export async function shortenWaits(deps: ProcessorEventDeps): Promise<void> {
  await shortenPaymentWaits(deps);
  await shortenEventWaits(deps);
  await shortenTopUpWaits(deps);
  await shortenMailWaits(deps.db);
  await shortenWebhookWaits(deps.db);
  await shortenOperatorWaits(deps.db);
}
