import type { Db, Trx } from "../database/connection.ts";
import type { ContractStatus } from "../database/schema.ts";
import { Problem } from "../lib/problems.ts";
import * as store from "./store.ts";

const MIB = 1024 * 1024;

/** What one contract holds at most, milestones that were cancelled or refunded aside. */
export const MILESTONES_AT_MOST = 1_000;
export const MILESTONE_TEXT_AT_MOST = MIB;
/** What one list holds at most: some 15,000 milestones as they usually are, or eight contracts that hold all they may. */
export const LIST_AT_MOST = 8 * MIB;

/**
 * Makes sure that a contract, with what was just written, can still be answered whole. Exact, as whoever calls holds
 * the contract.
 * @throws Problem milestone_limit_reached
 */
export async function assertRoom(trx: Trx, accountId: string, contractId: string): Promise<void> {
  const { count, bytes } = await store.measureMilestones(trx, accountId, contractId);
  if (count <= MILESTONES_AT_MOST && bytes <= MILESTONE_TEXT_AT_MOST) return;
  throw new Problem("milestone_limit_reached", {
    limit: MILESTONES_AT_MOST,
    limitBytes: MILESTONE_TEXT_AT_MOST,
  });
}

/**
 * Makes sure, before it is read, that a list fits into the memory of a process that answers others too. Nothing is left
 * out of one that does not: it is refused.
 * @throws Problem list_too_large
 */
export async function assertListable(
  db: Db,
  accountId: string,
  filter: { jobId?: string; status?: ContractStatus },
): Promise<void> {
  if ((await store.measureList(db, accountId, filter)) <= LIST_AT_MOST) return;
  throw new Problem("list_too_large", { narrowBy: ["jobId", "status"] });
}
