import { parseArgs } from "node:util";
import Stripe from "stripe";
import { forgetRun, listLost, searchLostIntents } from "../billing/lost-service.ts";
import type { IntentRecord, Processor } from "../billing/processor.ts";
import type { StripeAddress } from "../billing/stripe-client.ts";
import type { Config } from "../config/config.ts";
import { connect, type Db } from "../database/connection.ts";
import { asDatabaseError } from "../database/unusable.ts";
import { formatAmount } from "../lib/money.ts";
import { StartError } from "../lib/start-error.ts";
import { MINUTE } from "../lib/time.ts";
import { assertMigrated } from "./prepare-database.ts";
import { assertOwnProcessor, openProcessor } from "./start.ts";

const STATEMENT_TIMEOUT = MINUTE;
const LOCK_TIMEOUT = 10_000;

/**
 * For a restore or a fail-over that the server's run does not show (docs/operations.md): numbers go on beyond every number
 * that was given, and the processor is searched for payments that the database has lost.
 * @param args `--since`, an ISO 8601 time: how far back to search; without it, since this database was last seen whole
 * @returns for the person at the terminal: which payments were found
 * @throws StartError for whatever that person can mend
 */
export async function afterRestore(
  config: Config,
  args: readonly string[],
  stripeAt?: StripeAddress,
): Promise<string> {
  const since = readSince(args);
  if (config.databaseUrl === undefined) throw new StartError("after-restore needs DATABASE_URL");
  const connection = connect(config.databaseDirectUrl ?? config.databaseUrl, {
    size: 2,
    statementTimeout: STATEMENT_TIMEOUT,
    lockTimeout: LOCK_TIMEOUT,
    onIdleError: () => {},
  });
  try {
    const { db } = connection;
    await assertMigrated(connection.db);
    const processor = openProcessor(db, config, stripeAt);
    await assertOwnProcessor(db, processor);
    await forgetRun(db, since);
    await searchLostIntents({ db, processor });
    return print(await readPaid(db, processor));
  } catch (error) {
    if (error instanceof Stripe.errors.StripeError)
      throw new StartError(`Stripe cannot be asked: ${error.message}`);
    throw asDatabaseError(error);
  } finally {
    await connection.close();
  }
}

function readSince(args: readonly string[]): Date | undefined {
  try {
    const { values } = parseArgs({ args: [...args], options: { since: { type: "string" } } });
    if (values.since === undefined) return undefined;
    const since = new Date(values.since);
    if (Number.isNaN(since.getTime())) throw new Error("--since must be a time, as in 2026-11-30T08:00:00Z");
    return since;
  } catch (error) {
    throw new StartError(`after-restore [--since TIME]: ${error instanceof Error ? error.message : error}`);
  }
}

async function readPaid(db: Db, processor: Processor): Promise<IntentRecord[]> {
  const paid: IntentRecord[] = [];
  for (const { intentId } of await listLost(db)) {
    const record = await processor.findIntent(intentId);
    if (record?.state.status === "succeeded" && record.refundedCents < record.amountCents) paid.push(record);
  }
  return paid;
}

function print(paid: readonly IntentRecord[]): string {
  if (paid.length === 0) return "The processor holds no payment that this database has lost.";
  const lines = paid.map(
    ({ id, accountId, milestoneId, amountCents, currency }) =>
      `${id}  ${formatAmount(amountCents, currency)}  milestone ${milestoneId}  account ${accountId}`,
  );
  return [
    `The processor holds ${paid.length} payments that this database has lost:`,
    ...lines,
    "Each is booked when its milestone is confirmed again. See docs/operations.md.",
  ].join("\n");
}
