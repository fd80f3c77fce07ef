import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { formatAmount } from "../lib/money.ts";
import { addSeconds, DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS } from "../lib/time.ts";
import {
  findPaymentsByIds,
  findPaymentsByIntents,
  type KeyedPayment,
  listReversalsToCheck,
  listSucceeded,
} from "./compared-store.ts";
import { compareOutgoing } from "./outgoing-comparison-service.ts";
import type { IntentRecord, IntentState, Processor, Reversal } from "./processor.ts";
import { topUpsOf, untoldTopUps } from "./top-up-comparison-service.ts";

/** Younger ones may be under way. */
const SETTLED_SECONDS = 15 * MINUTE_SECONDS;
/** After this, an intent without a payment may be cancelled: its creator has given up. */
const LEFT_OVER_SECONDS = 6 * HOUR_SECONDS;
const BATCH = 500;

/** A difference between the two records of one thing. */
export type Difference = {
  kind:
    | "not booked"
    | "not at processor"
    | "amounts differ"
    | "reversal not booked"
    | "reversal differs"
    | "reversal not at processor"
    | "cannot be cancelled";
  /** The processor's id. */
  id: string;
  accountId: string | null;
  paymentId: string | null;
  processor: string;
  books: string;
};

export type Reconciliation = {
  since: Date;
  /** How many intents and payments were compared. */
  compared: number;
  differences: Difference[];
  /** Intents that moved nothing and belong to no payment: cancelled now, or to be. */
  leftOver: IntentRecord[];
};

type Comparison = Reconciliation & {
  db: Db;
  processor: Processor;
  now: Date;
  seen: Map<string, IntentRecord>;
};

/**
 * Compares the processor's record with ours, both ways: payments, refunds and disputes, to the cent. Changes nothing
 * here. At the processor, cancels intents that moved nothing and belong to no payment, unless `dryRun`.
 * @param days how far back
 * @throws what the processor or the database threw
 */
export async function reconcile(
  { db, processor }: { db: Db; processor: Processor },
  { days, dryRun }: { days: number; dryRun: boolean },
): Promise<Reconciliation> {
  const now = await readClock(db);
  const since = addSeconds(now, -days * DAY_SECONDS);
  const comparison: Comparison = {
    db,
    processor,
    now,
    since,
    compared: 0,
    differences: [],
    leftOver: [],
    seen: new Map(),
  };
  await compareIntents(comparison);
  await comparePayments(comparison);
  await compareReversals(comparison);
  for await (const one of compareOutgoing(db, processor, comparison)) {
    comparison.compared += 1;
    if (one !== "same") comparison.differences.push(one);
  }
  if (!dryRun) await cancelLeftOver(comparison);
  const { compared, differences, leftOver } = comparison;
  return { since, compared, differences, leftOver };
}

/** The processor's side: every intent that is ours. */
async function compareIntents(comparison: Comparison): Promise<void> {
  const { db, processor, since, seen } = comparison;
  const compareBatch = async (batch: IntentRecord[]): Promise<void> => {
    const payments = await findPaymentsByIntents(db, batch.map(keyOf));
    const topUps = await topUpsOf(db, batch);
    for (const record of batch)
      await compare(comparison, record, payments.get(record.id) ?? topUps.get(record.id));
  };
  let batch: IntentRecord[] = [];
  for await (const record of processor.listIntents({ since })) {
    seen.set(record.id, record);
    batch.push(record);
    if (batch.length < BATCH) continue;
    await compareBatch(batch);
    batch = [];
  }
  await compareBatch(batch);
}

/** Our side: paid here, and not listed by the processor. */
async function comparePayments(comparison: Comparison): Promise<void> {
  const { db, processor, since, seen } = comparison;
  for (let after: KeyedPayment | undefined; ; ) {
    const page = await listSucceeded(db, since, after, BATCH);
    for (const payment of page) {
      if (payment.intentId === null || seen.has(payment.intentId)) continue;
      const record = await processor.findIntent(payment.intentId);
      if (record === undefined) tell(comparison, "not at processor", payment, "unknown", paid(payment));
      else await compare(comparison, record, payment);
    }
    after = page.at(-1);
    if (page.length < BATCH) break;
  }
  for await (const { topUp, record } of untoldTopUps(comparison, comparison)) {
    if (record === undefined) tell(comparison, "not at processor", topUp, "unknown", paid(topUp));
    else await compare(comparison, record, topUp);
  }
}

async function compare(
  comparison: Comparison,
  listed: IntentRecord,
  found: KeyedPayment | undefined,
): Promise<void> {
  const { db, processor, now, leftOver } = comparison;
  comparison.compared += 1;
  if (judge(listed, found, now) === undefined) return;
  // One of the two may have been read before the other moved.
  const record = (await processor.findIntent(listed.id)) ?? listed;
  const payment =
    (await findPaymentsByIntents(db, [keyOf(record)])).get(record.id) ??
    (await topUpsOf(db, [record])).get(record.id);
  const kind = judge(record, payment, now);
  if (kind === "left over") leftOver.push(record);
  else if (kind !== undefined) {
    const held = record.state.status === "succeeded" ? paid(record) : record.state.status;
    const booked = payment?.status === "succeeded" ? paid(payment) : (payment?.status ?? "unknown");
    tell(comparison, kind, payment ?? { ...keyOf(record), id: null }, held, booked);
  }
}

/** Compares an intent with its payment; `undefined`: nothing to report. */
export function judge(
  { state, amountCents, currency, createdAt }: IntentRecord,
  payment: KeyedPayment | undefined,
  now: Date,
): Difference["kind"] | "left over" | undefined {
  const over = payment === undefined || payment.status === "refused";
  const booked = payment?.status === "succeeded";
  if (state.status === "succeeded") {
    const underWay = !over && payment.createdAt > addSeconds(now, -SETTLED_SECONDS);
    if (!booked) return underWay ? undefined : "not booked";
    return payment.amountCents === amountCents && payment.currency === currency
      ? undefined
      : "amounts differ";
  }
  if (booked) return "not at processor";
  const old = createdAt <= addSeconds(now, -LEFT_OVER_SECONDS);
  return over && old && canStillMove(state) ? "left over" : undefined;
}

/** Refunds and disputes, both ways. An open one may be older than the period. */
async function compareReversals(comparison: Comparison): Promise<void> {
  const { db, processor, since, seen } = comparison;
  const rows = await listReversalsToCheck(db, since);
  const told = new Map<string, Reversal>();
  const take = async (all: AsyncIterable<Reversal>): Promise<void> => {
    for await (const reversal of all) told.set(reversal.id, reversal);
  };
  await take(processor.listReversals({ since }));
  const missing = new Set(rows.filter(({ id }) => !told.has(id)).map(({ intentId }) => intentId));
  for (const intentId of missing) await take(processor.listReversals({ intentId }));

  const ours = new Map(rows.map((row) => [row.id, row]));
  for (const reversal of told.values()) {
    const row = ours.get(reversal.id);
    const record = seen.get(reversal.intentId) ?? (await processor.findIntent(reversal.intentId));
    if (record === undefined) continue;
    // Our own refunds are attempts and are compared as such.
    const { accountId } = record;
    const { attemptId } = reversal;
    if (attemptId !== null && (await findPaymentsByIds(db, [{ accountId, attemptId }])).size > 0) continue;
    const subject = { accountId: record.accountId, id: row?.paymentId ?? null, intentId: reversal.id };
    const stands = standing(reversal);
    if (row === undefined) {
      if (reversal.takenCents > 0) tell(comparison, "reversal not booked", subject, stands, "unknown");
    } else if (standing(row) !== stands) tell(comparison, "reversal differs", subject, stands, standing(row));
  }
  for (const row of rows) {
    if (told.has(row.id)) continue;
    const subject = { accountId: row.accountId, id: row.paymentId, intentId: row.id };
    tell(comparison, "reversal not at processor", subject, "unknown", standing(row));
  }
}

async function cancelLeftOver(comparison: Comparison): Promise<void> {
  for (const record of comparison.leftOver) {
    const { status } = await comparison.processor.cancel(record.id);
    const subject = { ...keyOf(record), id: null };
    // It paid before it was cancelled.
    if (status === "succeeded") tell(comparison, "not booked", subject, paid(record), "unknown");
    else if (status !== "refused") tell(comparison, "cannot be cancelled", subject, status, "unknown");
  }
}

/** Whether it can still pay. */
function canStillMove(state: IntentState): boolean {
  if (state.status === "refused") return state.code !== "canceled";
  return state.status === "unconfirmed" || state.status === "action_required";
}

function tell(
  { differences }: Comparison,
  kind: Difference["kind"],
  { accountId, id, intentId }: { accountId: string | null; id: string | null; intentId: string | null },
  processor: string,
  books: string,
): void {
  differences.push({ kind, id: intentId ?? "", accountId, paymentId: id, processor, books });
}

function keyOf({ id, accountId }: IntentRecord): { accountId: string | null; intentId: string } {
  return { accountId, intentId: id };
}

function paid({ amountCents, currency }: { amountCents: number; currency: string }): string {
  return `${formatAmount(amountCents, currency)} paid`;
}

function standing({
  kind,
  status,
  takenCents,
  currency,
}: {
  kind: string;
  status: string;
  takenCents: number;
  currency: string;
}): string {
  return `${kind} ${status}, ${formatAmount(takenCents, currency)} taken`;
}
