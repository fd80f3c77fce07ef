import type { Logger } from "pino";
import { noteSeen, readUntold, searchLostIntents } from "../billing/lost-service.ts";
import { listDuePayments, listInDoubt } from "../billing/payment-service.ts";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { sweep, sweepEach } from "../jobs/sweep.ts";
import { advancePayment, type PaymentDeps } from "./advance-service.ts";
import { tellInDoubt } from "./booking.ts";
import { expireApprovals } from "./service.ts";
import { logFieldsOf } from "./step-service.ts";
import { type ExpiredApproval, listExpired } from "./store.ts";

const BATCH = 500;
const PAYMENTS_BATCH = 20;
/** Batches a sweep at most. What is advanced is due later than now, so few are needed. */
const PAYMENTS_TURNS = 100;

/**
 * Expires approvals after their 72 hours, each with its event, those of an account in one transaction. Several processes
 * may run it at once: each approval is flipped once.
 * @returns how many this run flipped
 */
export async function sweepExpiredApprovals(db: Db): Promise<number> {
  let last: ExpiredApproval | undefined;
  return sweep(
    async () => {
      const expired = await listExpired(db, await readClock(db), last, BATCH);
      last = expired.at(-1) ?? last;
      return [...Map.groupBy(expired, ({ accountId }) => accountId)];
    },
    ([accountId, ofAccount]) =>
      expireApprovals(
        db,
        accountId,
        ofAccount.map(({ id }) => id),
      ),
    { advances: true },
  );
}

/**
 * Advances the payments that no process drives: the process died, the answer was lost, or the bank's verification is
 * pending. Several processes may run it at once: the lease admits one. Each outcome is logged where it is written.
 */
export async function sweepDuePayments(deps: PaymentDeps, logger: Logger): Promise<void> {
  for (let turn = 1; turn <= PAYMENTS_TURNS; turn++) {
    const due = await listDuePayments(deps.db, await readClock(deps.db), PAYMENTS_BATCH);
    await Promise.all(due.map((key) => advancePayment({ ...deps, logger }, key).catch(() => {})));
    if (due.length < PAYMENTS_BATCH) return;
  }
}

/**
 * Reports the payments that have been in doubt for 15 minutes, in the operator's feed and the log, and again each hour.
 * Every process runs it, so a dead `work` silences nothing; the database admits one report an hour.
 */
export async function alertInDoubt(deps: PaymentDeps, logger: Logger): Promise<void> {
  await sweepEach(await listInDoubt(deps.db), async (key) => {
    const told = await tellInDoubt(deps.db, key);
    if (told === undefined) return;
    const fields = { ...logFieldsOf(deps, told), inDoubtSince: told.inDoubtSince };
    logger.error({ alert: "payment_in_doubt", ...fields }, "the outcome of a payment is unknown");
  });
}

/**
 * Searches for payments that the database may have lost after a restart or fail-over, and records up to when nothing
 * is lost. Logs each such payment once: it is booked only if its milestone is confirmed again.
 */
export async function sweepLostIntents(deps: PaymentDeps, logger: Logger): Promise<void> {
  await searchLostIntents(deps);
  await noteSeen(deps.db);
  for await (const { id: intentId, accountId, milestoneId } of readUntold(deps)) {
    const said = "the processor was paid for something that the database has lost";
    logger.error({ alert: "charge_not_booked", intentId, accountId, milestoneId }, said);
  }
}
