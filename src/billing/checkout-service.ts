import { isFrozen } from "../accounts/service.ts";
import { readClock } from "../database/clock.ts";
import type { Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { Problem, paymentsPaused } from "../lib/problems.ts";
import { addSeconds } from "../lib/time.ts";
import { line, named } from "../mail/line.ts";
import { queueMail } from "../mail/service.ts";
import { type Actor, holdActor } from "../sign-in/service.ts";
import { atBoundary } from "./boundaries.ts";
import { adjustCredits, bookTopUpEntry } from "./credit-booking.ts";
import { lookAgainIn } from "./look-rules.ts";
import { holdPause } from "./pause-store.ts";
import type { CheckoutRecord, Reversal } from "./processor.ts";
import { hasChanged } from "./reversal-rules.ts";
import { listTopUpReversals, saveReversal } from "./reversal-store.ts";
import { creditsAdjustedMail, topUpCompletedMail } from "./top-up-mails.ts";
import type { TopUpDeps, TopUpKey, TopUpRow } from "./top-up-service.ts";
import * as store from "./top-up-store.ts";

const KEYS_A_TURN = 5;
/** How far our clock and the processor's may differ, in seconds. */
const SLACK_SECONDS = 60 * 60;
const LOST_SECONDS = 2 * 24 * 60 * 60;

/**
 * Opens the processor's page on which a top-up is paid. Its key derives from the top-up, so that a repeat leads to
 * the same page.
 * @throws Problem not_found, not_permitted, account_frozen, payments_paused, top_up_ended; what the processor threw
 */
export async function openCheckout(deps: TopUpDeps, key: TopUpKey, actor: Actor): Promise<void> {
  for (let turn = 1; turn <= KEYS_A_TURN; turn++) {
    const row = await inTransaction(deps.db, (trx, now) => holdOpenable(trx, key, actor, now));
    if (row.sessionId !== null) return;
    const { accountId, id, sessionNumber, amountCents, currency } = row;
    const request = {
      accountId,
      topUpId: id,
      key: `top-up:${accountId}:${id}:${sessionNumber}`,
      amountCents,
      currency,
      returnUrl: `${deps.config.publicUrl}/top-ups/${id}?returned`,
    };
    const opened = await atBoundary(deps, "call-open-page", () => deps.processor.checkout.open(request));
    const record = opened.status === "opened" ? opened.record : await findSession(deps, row);
    if (record?.state.status === "open") return keepOpened(deps, row, actor, record.id, record.state.url);
    if (record?.state.status === "complete") return void (await bookCheckout(deps, record));
    if (record?.state.status === "processing") throw new Error(`${record.id} is still being paid`);
    // Under this key no page can be paid any more.
    await dropPage(deps, row);
  }
  throw new Error("the processor has had every key");
}

/** Gives a page up that can no longer be paid: the next one gets another key. */
function dropPage(deps: TopUpDeps, row: TopUpRow): Promise<void> {
  return atBoundary(deps, "write-page-dropped", () =>
    inTransaction(deps.db, (trx) => store.dropSession(trx, row)),
  );
}

/** Locks the actor and a top-up that can still be paid. */
async function holdOpenable(trx: Trx, key: TopUpKey, actor: Actor, now: Date): Promise<TopUpRow> {
  if (await holdPause(trx)) throw paymentsPaused();
  const account = { id: key.accountId, may: "decide", unfrozen: true } as const;
  await holdActor(trx, actor, { account }, now);
  const row = await store.lockTopUp(trx, key);
  if (row?.status !== "PENDING" || row.expiresAt <= now) throw new Problem("top_up_ended");
  return row;
}

/** Stores the page's address. Ends the page if the top-up can no longer be paid. */
async function keepOpened(
  deps: TopUpDeps,
  row: TopUpRow,
  actor: Actor,
  sessionId: string,
  url: string,
): Promise<void> {
  const keep = async (trx: Trx, now: Date) => {
    await holdOpenable(trx, row, actor, now);
    const dueAt = nextLook(row, now);
    if (!(await store.keepSession(trx, row, { id: sessionId, url, dueAt })))
      throw new Problem("top_up_ended");
  };
  try {
    await atBoundary(deps, "write-page", () => inTransaction(deps.db, keep));
  } catch (error) {
    const present = await store.findTopUp(deps.db, row);
    if (present?.sessionId !== sessionId) await deps.processor.checkout.end(sessionId).catch(() => {});
    throw error;
  }
}

/** The processor's page of a top-up that has none stored: a paid one before an open one. */
async function findSession(
  deps: TopUpDeps,
  { accountId, id, createdAt }: TopUpKey & { createdAt: Date },
): Promise<CheckoutRecord | undefined> {
  const since = addSeconds(createdAt, -SLACK_SECONDS);
  const records = await atBoundary(deps, "call-list-pages", () =>
    Array.fromAsync(deps.processor.checkout.list({ since, accountId })),
  );
  const own = records.filter(({ topUpId }) => topUpId === id);
  const of = (status: CheckoutRecord["state"]["status"]) => own.find(({ state }) => state.status === status);
  return of("complete") ?? of("processing") ?? of("open") ?? own[0];
}

/**
 * Advances a top-up by the state of its page: books a payment; ends the page once the top-up has expired or the
 * account is frozen, and only then marks it expired. Idempotent.
 * @returns `twice`: two pages were paid, so a person must look
 * @throws what the processor or the database threw
 */
export async function advanceTopUp(deps: TopUpDeps, key: TopUpKey): Promise<"twice" | undefined> {
  const row = await store.findTopUp(deps.db, key);
  if (row?.status !== "PENDING") return undefined;
  const over = row.expiresAt <= (await readClock(deps.db)) || (await isFrozen(deps.db, key.accountId));
  // A page whose address was not stored was never shown to a person.
  if (row.sessionId === null) return over ? expire(deps, row) : undefined;
  const { checkout } = deps.processor;
  const { sessionId } = row;
  const found = await atBoundary(deps, "call-read-page", () => checkout.find(sessionId));
  const record =
    found?.state.status === "open" && over
      ? await atBoundary(deps, "call-end-page", () => checkout.end(sessionId))
      : found;
  if (record === undefined) throw new Error(`the processor does not know the page ${sessionId}`);
  if (record.state.status === "complete") return bookCheckout(deps, record);
  if (record.state.status !== "expired") return undefined;
  return over ? expire(deps, row) : void (await dropPage(deps, row));
}

async function expire(deps: TopUpDeps, row: TopUpRow): Promise<undefined> {
  await atBoundary(deps, "write-top-up-expired", () =>
    inTransaction(deps.db, (trx) => store.expireTopUp(trx, row)),
  );
}

/** When a top-up with an open page is next read. */
export function nextLook({ createdAt, expiresAt }: TopUpRow, now: Date): Date {
  const next = addSeconds(now, lookAgainIn(createdAt, now));
  return next > expiresAt && expiresAt > now ? expiresAt : next;
}

/** The top-up of a processor's page; `undefined`: none of ours. */
export async function findTopUpOf(
  { processor }: TopUpDeps,
  sessionId: string,
): Promise<TopUpKey | undefined> {
  const record = await processor.checkout.find(sessionId);
  if (record === undefined || record.accountId === null || record.topUpId === null) return undefined;
  return { accountId: record.accountId, id: record.topUpId };
}

/**
 * Advances the top-up of a processor's event, also one that the database has lost, and books its refunds and disputes
 * as adjustments of the credits.
 * @returns `twice`: two pages were paid; `gone`: money was taken back, or returned
 */
export async function followTopUp(deps: TopUpDeps, key: TopUpKey): Promise<"twice" | "gone" | undefined> {
  const row = await store.findTopUp(deps.db, key);
  if (row?.status === "COMPLETED") return (await bookTopUpReversals(deps, row)) ? "gone" : undefined;
  if (row?.status === "PENDING" && row.sessionId !== null) return advanceTopUp(deps, key);
  const createdAt = row?.createdAt ?? addSeconds(await readClock(deps.db), -LOST_SECONDS);
  const record = await findSession(deps, { ...key, createdAt });
  return record?.state.status === "complete" ? bookCheckout(deps, record) : undefined;
}

/** Books a paid page, once: top-up, credit entry, mail. Money that was paid is always booked. */
async function bookCheckout(deps: TopUpDeps, record: CheckoutRecord): Promise<"twice" | undefined> {
  const { accountId, topUpId: id, state } = record;
  if (accountId === null || id === null || state.status !== "complete") return undefined;
  const { intentId } = state;
  const book = async (trx: Trx, now: Date): Promise<"twice" | undefined> => {
    const lost = { processor: deps.processor.name, expiresAt: addSeconds(record.createdAt, 1) };
    const row =
      (await store.lockTopUp(trx, { accountId, id })) ??
      (await store
        .insertLostTopUp(trx, { accountId, id }, record, lost)
        .then(() => store.lockTopUp(trx, { accountId, id })));
    if (row === undefined) throw new Error(`${record.id} was paid for an account that is not there`);
    if (row.status === "COMPLETED") return row.sessionId === record.id ? undefined : "twice";
    const { amountCents, currency } = row;
    if (record.amountCents !== amountCents || record.currency !== currency)
      throw new Error(`${record.id} was paid with another amount than was asked for`);
    await store.completeTopUp(trx, row, { sessionId: record.id, intentId }, now);
    await bookTopUpEntry(trx, { accountId, topUpId: id, amountCents }, now);
    for (const to of await store.listMailed(trx, accountId, ["owner", "approver"]))
      await queueMail(trx, topUpCompletedMail(deps.config, to, row), now);
    return undefined;
  };
  return atBoundary(deps, "write-top-up", () => inTransaction(deps.db, book));
}

/**
 * Books the processor's refunds and disputes of a top-up: what they have taken is an adjustment, and what is returned
 * is another. Idempotent, in any order.
 * @returns whether anything has changed
 */
async function bookTopUpReversals(deps: TopUpDeps, row: TopUpRow): Promise<boolean> {
  const { accountId, id: topUpId, intentId } = row;
  if (intentId === null) return false;
  const observedAt = await readClock(deps.db);
  const reversals = await Array.fromAsync(deps.processor.listReversals({ intentId }));
  if (reversals.length === 0) return false;
  return inTransaction(deps.db, async (trx, now) => {
    await store.lockTopUp(trx, row);
    const known = await listTopUpReversals(trx, accountId, topUpId);
    let changed = false;
    for (const reversal of reversals) {
      const before = known.find(({ id }) => id === reversal.id);
      if (before !== undefined && (before.observedAt > observedAt || !hasChanged(before, reversal))) continue;
      changed = true;
      await saveReversal(trx, { accountId, topUpId }, reversal, { now, observedAt });
      const amountCents = (before?.takenCents ?? 0) - reversal.takenCents;
      if (amountCents !== 0) await adjust(trx, deps, { accountId, topUpId, amountCents }, reversal, now);
    }
    return changed;
  });
}

async function adjust(
  trx: Trx,
  { config }: TopUpDeps,
  { accountId, topUpId, amountCents }: { accountId: string; topUpId: string; amountCents: number },
  { id, kind, status, currency }: Reversal,
  now: Date,
): Promise<void> {
  const note = `${kind === "dispute" ? "Dispute" : "Refund"} ${id} of this top-up's payment: ${status}`;
  await adjustCredits(trx, { accountId, topUpId, amountCents, note }, now);
  const why = line`A ${named(kind)} of a top-up's payment is ${named(status)}.`;
  for (const to of await store.listMailed(trx, accountId, ["owner", "approver"]))
    await queueMail(trx, creditsAdjustedMail(config, to, { amountCents, currency, why }), now);
}
