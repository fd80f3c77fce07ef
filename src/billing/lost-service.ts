import { setTimeout as delay } from "node:timers/promises";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { addSeconds, DAY_SECONDS, HOUR_SECONDS } from "../lib/time.ts";
import * as store from "./lost-store.ts";
import type { IntentRecord, IntentState, Processor } from "./processor.ts";

export { forgetRun, listLost, noteSeen } from "./lost-store.ts";

type Deps = { db: Db; processor: Processor };

/** How far the clocks may differ, and how long before a lost commit the processor may have been called. */
const SLACK_SECONDS = HOUR_SECONDS;
/** Longer than a processor keeps keys, which is a day. */
const KEYS_KEPT_SECONDS = 2 * DAY_SECONDS;
const BATCH = 500;

/**
 * Finds payments that the database has lost. After a restart or fail-over, the last commits may be missing, but the
 * processor still holds their intents. So before anything is paid, this lists all intents created since, of all
 * accounts, and stores those without a payment here (`lost_intents`). It lists by time of creation: an account's
 * customer may be lost too, and Stripe's search is a minute or more behind. A process searches once, however many
 * callers wait.
 * @param within how long to wait, in milliseconds; the search continues
 * @throws what the processor threw; an error if it took too long
 */
export async function searchLostIntents(deps: Deps, within?: number): Promise<void> {
  if (!(await store.readSearch(deps.db)).moved) return;
  const search = underWay.get(deps.processor) ?? beginSearch(deps);
  if (within === undefined) return search;
  const end = new AbortController();
  const tooLong = delay(within, undefined, { signal: end.signal }).then(() => {
    throw new Error("the search at the processor takes longer than a request may wait");
  });
  await Promise.race([search, tooLong]).finally(() => end.abort());
}

const underWay = new WeakMap<Processor, Promise<void>>();

function beginSearch(deps: Deps): Promise<void> {
  const search = searchUntilDone(deps).finally(() => underWay.delete(deps.processor));
  underWay.set(deps.processor, search);
  return search;
}

async function searchUntilDone({ db, processor }: Deps): Promise<void> {
  for (;;) {
    const search = await store.readSearch(db);
    if (!search.moved) return;
    await keepLost(db, processor.listIntents({ since: addSeconds(search.seenAt, -SLACK_SECONDS) }));
    await store.endSearch(db, search);
  }
}

/** Searches what was created for an account under keys that the processor still keeps. */
export async function searchIntentsOf(deps: Deps, accountId: string): Promise<void> {
  const since = addSeconds(await readClock(deps.db), -KEYS_KEPT_SECONDS);
  await keepLost(deps.db, deps.processor.listIntents({ since, accountId }));
}

async function keepLost(db: Db, intents: AsyncIterable<IntentRecord>): Promise<void> {
  const now = await readClock(db);
  let batch: IntentRecord[] = [];
  for await (const intent of intents) {
    batch.push(intent);
    if (batch.length < BATCH) continue;
    await store.keepLost(db, batch, now);
    batch = [];
  }
  await store.keepLost(db, batch, now);
}

/**
 * Lost payments that succeeded and were not reported yet. Each is marked as reported when the next is requested: a
 * crash in between reports it twice, never not at all.
 */
export async function* readUntold({ db, processor }: Deps): AsyncIterable<IntentRecord> {
  for (const { accountId, intentId } of await store.listUntold(db)) {
    const record = await processor.findIntent(intentId);
    if (record?.state.status === "processing") continue;
    if (record?.state.status === "succeeded" && !isOver(record)) yield record;
    await store.markTold(db, accountId, intentId, await readClock(db));
  }
}

/**
 * Cancels a lost intent unless it has paid.
 * @returns its record if it has paid or may still pay; `undefined`: it will move no money, or all was refunded
 */
export async function endLostIntent(
  { db, processor }: Deps,
  { accountId, intentId }: { accountId: string; intentId: string },
): Promise<IntentRecord | undefined> {
  let record = await processor.findIntent(intentId);
  if (record !== undefined && canBeCancelled(record.state)) {
    await processor.cancel(intentId);
    record = await processor.findIntent(intentId);
  }
  if (record !== undefined && !isOver(record)) return record;
  await store.forgetLost(db, accountId, intentId);
  return undefined;
}

function canBeCancelled(state: IntentState): boolean {
  return state.status !== "succeeded" && state.status !== "processing" && !isCancelled(state);
}

function isCancelled(state: IntentState): boolean {
  return state.status === "refused" && state.code === "canceled";
}

function isOver({ state, amountCents, refundedCents }: IntentRecord): boolean {
  return isCancelled(state) || (state.status === "succeeded" && refundedCents >= amountCents);
}
