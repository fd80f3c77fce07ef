import type { Logger } from "pino";
import { noteSeen, readUntold, searchLostIntents } from "../billing/lost-service.ts";
import { listDuePayments, listInDoubt } from "../billing/payment-service.ts";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { tellInDoubt } from "./booking.ts";
import { advancePayment, type PaymentDeps } from "./payment.ts";
import { expireApprovals } from "./service.ts";
import { logFieldsOf } from "./steps.ts";
import { listLapsed } from "./store.ts";

const BATCH = 500;
const PAYMENTS_BATCH = 20;
/** At most so many batches a sweep: what is advanced is due later than now, so that few are ever needed. */
const PAYMENTS_TURNS = 100;

/**
 * Flips approvals whose 72 hours have passed, each with its event, one subject a transaction. Any number of
 * processes may run it at once: each flip happens once.
 * @returns how many this run flipped
 */
export async function sweepLapsedApprovals(db: Db): Promise<number> {
  let flipped = 0;
  for (;;) {
    const lapsed = await listLapsed(db, await readClock(db), BATCH);
    for (const { accountId, id } of lapsed) flipped += await expireApprovals(db, accountId, [id]);
    if (lapsed.length < BATCH) return flipped;
  }
}

/**
 * Goes on with the payments that nobody looks after: whose process died, whose answer was lost, or who wait
 * for a bank's authentication. Several processes may run it at once: a lease lets one of them call. What becomes of each
 * is logged where it is written.
 */
export async function sweepDuePayments(deps: PaymentDeps, logger: Logger): Promise<void> {
  for (let turn = 1; turn <= PAYMENTS_TURNS; turn++) {
    const due = await listDuePayments(deps.db, await readClock(deps.db), PAYMENTS_BATCH);
    await Promise.all(due.map((key) => advancePayment({ ...deps, logger }, key).catch(() => {})));
    if (due.length < PAYMENTS_BATCH) return;
  }
}

/**
 * Tells the operator, by their feed and the log, which payments have been in doubt for 15 minutes, and again each hour.
 * Every process runs it, so that a dead `work` does not keep it quiet; each is told by one of them.
 */
export async function alertInDoubt(deps: PaymentDeps, logger: Logger): Promise<void> {
  for (const key of await listInDoubt(deps.db)) {
    const told = await tellInDoubt(deps.db, key);
    if (told === undefined) continue;
    const fields = { ...logFieldsOf(deps, told), inDoubtSince: told.inDoubtSince };
    logger.error({ alert: "payment_in_doubt", ...fields }, "the outcome of a payment is unknown");
  }
}

/**
 * Looks for what the database may have lost once the server runs anew, and notes until when nothing is lost. Says aloud, once
 * each, which payments were: none is booked before its milestone is confirmed again, and perhaps nobody will.
 */
export async function sweepLostIntents(deps: PaymentDeps, logger: Logger): Promise<void> {
  await searchLostIntents(deps);
  await noteSeen(deps.db);
  for await (const { id: intentId, accountId, milestoneId } of readUntold(deps)) {
    const said = "the processor was paid for something that the database has lost";
    logger.error({ alert: "charge_not_booked", intentId, accountId, milestoneId }, said);
  }
}
