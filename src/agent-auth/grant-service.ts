import { assertMayDecide, holdAccount } from "../accounts/service.ts";
import { readClock, readClockNow } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { leaveTrace } from "../sessions/service.ts";
import { fetchableUntil, isRefused } from "./claim.ts";
import * as store from "./store.ts";

/** A token that a claim has brought and that its agent has not fetched yet: nobody holds it, and it may be had. */
export type WaitingGrant = { agentName: string | null; scopes: readonly string[]; until: Date };

/** The account's, if one waits. */
export async function findWaitingGrant(db: Db, accountId: string): Promise<WaitingGrant | undefined> {
  const row = await store.findByAccount(db, accountId);
  const until = row && fetchableUntil(row);
  if (row === undefined || until === undefined || isRefused(row) || until <= (await readClock(db)))
    return undefined;
  return { agentName: row.agentName, scopes: row.scopes ?? [], until };
}

/**
 * A person takes back what a claim has let the agent do, before it has fetched its token: from then on it is refused.
 * @returns `false`: the agent was quicker, or there is none
 * @throws Problem not_found, not_permitted for a viewer
 */
export async function refuseGrant(
  db: Db,
  person: { userId: string },
  accountId: string,
  address: string,
): Promise<boolean> {
  return inTransaction(db, async (trx) => {
    await holdAccount(trx, accountId);
    const now = await readClockNow(trx);
    await assertMayDecide(trx, accountId, person.userId);
    const row = await store.findByAccount(trx, accountId);
    if (row === undefined || !(await store.markRefused(trx, accountId))) return false;
    const detail = { accountId, registrationId: row.registrationId, scopes: row.scopes };
    await leaveTrace(trx, { userId: person.userId, action: "grant_refused", detail, address }, now);
    return true;
  });
}
