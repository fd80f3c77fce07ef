import { type Act, recordAudit, SERVICE_ACCOUNT } from "../audit/service.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { Problem } from "../lib/problems.ts";
import { seal } from "../lib/sealed.ts";
import { addSeconds, isoOrNull } from "../lib/time.ts";
import * as store from "./operator-store.ts";
import type { OperatorWebhook } from "./schemas.ts";
import type { WebhookDeps } from "./service.ts";
import { newWebhookSecret, OLD_SECRET_SECONDS } from "./signature.ts";
import { assertSendable, targetRules } from "./target-rules.ts";

/** The context that its secret is sealed with. */
export const OPERATOR_SECRET = "operator-webhook";

/**
 * Sets the URL that receives the events of all accounts from now on (docs/contract.md §8). A changed URL continues at the same
 * event, with the same secret.
 * @returns the secret of a new webhook, which is shown only once
 * @throws Problem bad_request {field: "url"}
 */
export async function putOperatorWebhook(
  { db, config }: WebhookDeps,
  url: string,
  act: Act,
): Promise<{ webhook: OperatorWebhook; secret?: string }> {
  assertSendable(url, targetRules(config));
  const secret = newWebhookSecret();
  const created = await inTransaction(db, async (trx, now) => {
    const sealed = seal(config.secretsKeys, secret, OPERATOR_SECRET);
    if (await store.insertOperatorWebhook(trx, url, sealed, now)) {
      await record(trx, act, { action: "operator_webhook_changed", after: { url } }, now);
      return true;
    }
    const before = await store.changeUrl(trx, url, now);
    if (before !== undefined) {
      const change = { before: { url: before }, after: { url } };
      await record(trx, act, { action: "operator_webhook_changed", ...change }, now);
    }
    return false;
  });
  return { webhook: await getOperatorWebhook(db), ...(created && { secret }) };
}

/** @throws Problem not_found */
export async function getOperatorWebhook(db: Db): Promise<OperatorWebhook> {
  const row = await store.findOperatorWebhook(db);
  if (row === undefined) throw noWebhook();
  return {
    url: row.url,
    createdAt: row.created_at.toISOString(),
    cursor: String(row.cursor),
    waiting: row.waiting,
    attempts: row.attempts,
    lastAttemptAt: isoOrNull(row.attempted_at),
    lastStatus: row.answer_status,
    lastError: row.answer_error,
    nextAttemptAt: row.waiting === 0 ? null : row.due_at.toISOString(),
  };
}

/**
 * Replaces the webhook's secret; for 24 h deliveries are signed with both.
 * @throws Problem not_found
 */
export async function rotateOperatorSecret(
  { db, config }: WebhookDeps,
  act: Act,
): Promise<{ webhook: OperatorWebhook; secret: string }> {
  const secret = newWebhookSecret();
  const sealed = seal(config.secretsKeys, secret, OPERATOR_SECRET);
  const replaced = await inTransaction(db, async (trx, now) => {
    const until = addSeconds(now, OLD_SECRET_SECONDS);
    if (!(await store.replaceOperatorSecret(trx, sealed, until))) return false;
    await record(trx, act, { action: "operator_webhook_secret_replaced" }, now);
    return true;
  });
  if (!replaced) throw noWebhook();
  return { webhook: await getOperatorWebhook(db), secret };
}

/** @throws Problem not_found */
export async function deleteOperatorWebhook(db: Db, act: Act): Promise<void> {
  await inTransaction(db, async (trx, now) => {
    const url = await store.deleteOperatorWebhook(trx);
    if (url === undefined) throw noWebhook();
    await record(trx, act, { action: "operator_webhook_deleted", before: { url } }, now);
  });
}

type Entry = Pick<Parameters<typeof recordAudit>[1], "action" | "before" | "after">;

function record(trx: Trx, act: Act, entry: Entry, now: Date): Promise<void> {
  return recordAudit(trx, { accountId: SERVICE_ACCOUNT, ...act, ...entry }, now);
}

function noWebhook(): Problem {
  return new Problem("not_found", { resource: "webhook" });
}
