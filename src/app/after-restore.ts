import { parseArgs } from "node:util";
import { forgetRun, listLost, searchLostIntents } from "../billing/lost-service.ts";
import type { IntentRecord, Processor } from "../billing/processor.ts";
import type { StripeAddress } from "../billing/stripe-client.ts";
import type { Config } from "../config/config.ts";
import type { Db } from "../database/connection.ts";
import { formatAmount } from "../lib/money.ts";
import { readArguments, withProcessor } from "./by-hand.ts";

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
  return withProcessor(config, "after-restore", stripeAt, async ({ db, processor }) => {
    await forgetRun(db, since);
    await searchLostIntents({ db, processor });
    return print(await readPaid(db, processor));
  });
}

function readSince(args: readonly string[]): Date | undefined {
  return readArguments("after-restore [--since TIME]", () => {
    const { values } = parseArgs({ args: [...args], options: { since: { type: "string" } } });
    if (values.since === undefined) return undefined;
    const since = new Date(values.since);
    if (Number.isNaN(since.getTime())) throw new Error("--since must be a time, as in 2026-11-30T08:00:00Z");
    return since;
  });
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
