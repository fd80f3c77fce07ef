import { type Act, recordAudit, SERVICE_ACCOUNT } from "../audit/service.ts";
import { makeDue, type Pause, readPause, setPause } from "../billing/payment-service.ts";
import type { Db } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { isoOrNull } from "../lib/time.ts";
import type { PauseState } from "./schemas.ts";

/** Whether all payments are paused, and since when it is so. */
export async function getPause(db: Db): Promise<PauseState> {
  return toPauseState(await readPause(db));
}

/**
 * Pauses all payments, or resumes them (docs/contract.md §8). Once this has returned, nothing new is submitted to the processor by
 * any process; what was confirmed before and not submitted waits, and is due again when payments resume.
 */
export async function putPause(db: Db, paused: boolean, act: Act): Promise<PauseState> {
  await inTransaction(db, async (trx, now) => {
    if (!(await setPause(trx, paused, now))) return;
    if (!paused) await makeDue(trx, "held back", now);
    const action = paused ? "payments_paused" : "payments_resumed";
    const change = { before: { paymentsPaused: !paused }, after: { paymentsPaused: paused } };
    await recordAudit(trx, { accountId: SERVICE_ACCOUNT, ...act, action, ...change }, now);
  });
  return getPause(db);
}

function toPauseState({ paused, changedAt }: Pause): PauseState {
  return { paymentsPaused: paused, changedAt: isoOrNull(changedAt) };
}
