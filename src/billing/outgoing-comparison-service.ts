import type { Db } from "../database/connection.ts";
import { formatAmount } from "../lib/money.ts";
import { addSeconds } from "../lib/time.ts";
import { findPaymentsByIds, listSent, type SentPayment } from "./compared-store.ts";
import type { Outgoing, Processor, SentRecord } from "./processor.ts";

/** Younger ones may be under way. */
const SETTLED_SECONDS = 15 * 60;
const BATCH = 100;

/** A difference between the processor's record of a payout or refund and ours. */
export type SentDifference = {
  kind: "not booked" | "not at processor" | "amounts differ" | "reversal not booked";
  id: string;
  accountId: string | null;
  paymentId: string | null;
  processor: string;
  books: string;
};

type Comparing = {
  db: Db;
  outgoing: Outgoing;
  kind: "payout" | "refund";
  since: Date;
  now: Date;
  seen: Set<string>;
};

/** Compares payouts and refunds with the processor's record, both ways. */
export async function* compareOutgoing(
  db: Db,
  processor: Processor,
  { since, now }: { since: Date; now: Date },
): AsyncIterable<SentDifference | "same"> {
  for (const [kind, outgoing] of [
    ["payout", processor.payouts],
    ["refund", processor.refunds],
  ] as const) {
    const comparing = { db, outgoing, kind, since, now, seen: new Set<string>() };
    yield* compareListed(comparing);
    yield* compareBooked(comparing);
  }
}

/** The processor's side: every record that is ours. */
async function* compareListed(comparing: Comparing): AsyncIterable<SentDifference | "same"> {
  const { outgoing, since } = comparing;
  let batch: SentRecord[] = [];
  for await (const record of outgoing.list({ since })) {
    batch.push(record);
    if (batch.length < BATCH) continue;
    yield* compareBatch(comparing, batch);
    batch = [];
  }
  yield* compareBatch(comparing, batch);
}

async function* compareBatch(
  comparing: Comparing,
  batch: readonly SentRecord[],
): AsyncIterable<SentDifference | "same"> {
  const payments = await findPaymentsByIds(comparing.db, batch);
  for (const record of batch) {
    comparing.seen.add(record.id);
    yield await compare(comparing, record, payments.get(record.attemptId ?? ""));
  }
}

/** Our side: booked payouts and refunds that the processor has not listed. */
async function* compareBooked(comparing: Comparing): AsyncIterable<SentDifference | "same"> {
  const { db, outgoing, kind, since, seen } = comparing;
  for (let after: SentPayment | undefined; ; ) {
    const page = await listSent(db, kind, since, after, BATCH);
    for (const payment of page) {
      if (payment.sentId === null || seen.has(payment.sentId)) continue;
      const record = await outgoing.find(payment.sentId);
      yield record === undefined
        ? differenceOf("not at processor", payment.sentId, payment, "unknown", sum(payment))
        : await compare(comparing, record, payment);
    }
    after = page.at(-1);
    if (page.length < BATCH) return;
  }
}

async function compare(
  { db, outgoing, now }: Comparing,
  listed: SentRecord,
  found: SentPayment | undefined,
): Promise<SentDifference | "same"> {
  if (judge(listed, found, now) === undefined) return "same";
  // One of the two may have been read before the other moved.
  const record = (await outgoing.find(listed.id)) ?? listed;
  const payment = (await findPaymentsByIds(db, [record])).get(record.attemptId ?? "");
  const kind = judge(record, payment, now);
  if (kind === undefined) return "same";
  const held =
    record.returnedCents > 0
      ? `${formatAmount(record.returnedCents, record.currency)} came back`
      : sum(record);
  return differenceOf(
    kind,
    record.id,
    payment ?? { accountId: record.accountId, id: null },
    held,
    booked(payment),
  );
}

/** Compares a record with its attempt; `undefined`: nothing to report. */
function judge(
  { id, state, amountCents, currency, returnedCents }: SentRecord,
  payment: SentPayment | undefined,
  now: Date,
): SentDifference["kind"] | undefined {
  if (payment?.status === "succeeded" && payment.sentId === id) {
    if (payment.amountCents !== amountCents || payment.currency !== currency) return "amounts differ";
    return returnedCents > payment.returnedCents ? "reversal not booked" : undefined;
  }
  // What was returned before it was booked moved nothing.
  if (state.status !== "succeeded" || returnedCents >= amountCents) return undefined;
  const open = payment !== undefined && payment.status !== "succeeded" && payment.status !== "refused";
  const underWay = open && payment.createdAt > addSeconds(now, -SETTLED_SECONDS);
  return underWay ? undefined : "not booked";
}

function differenceOf(
  kind: SentDifference["kind"],
  id: string,
  { accountId, id: paymentId }: { accountId: string | null; id: string | null },
  processor: string,
  books: string,
): SentDifference {
  return { kind, id, accountId, paymentId, processor, books };
}

function booked(payment: SentPayment | undefined): string {
  if (payment === undefined) return "unknown";
  return payment.status === "succeeded" ? sum(payment) : payment.status;
}

function sum({ amountCents, currency }: { amountCents: number; currency: string }): string {
  return `${formatAmount(amountCents, currency)} sent`;
}
