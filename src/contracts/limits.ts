import type { Db, Trx } from "../database/connection.ts";
import type { ContractStatus } from "../database/schema.ts";
import { Problem } from "../lib/problems.ts";
import * as milestoneStore from "./milestone-store.ts";

const MIB = 1024 * 1024;

/** The most that one contract holds; cancelled and refunded milestones do not count. */
export const MILESTONES_AT_MOST = 1_000;
export const MILESTONE_TEXT_AT_MOST = MIB;
/** The largest list: about 15,000 usual milestones, or eight contracts at their limit. */
export const LIST_AT_MOST = 8 * MIB;

/**
 * Checks that a contract is within its limits after a write. Exact, as the caller holds the contract.
 * @throws Problem milestone_limit_reached
 */
export async function assertMilestoneLimit(trx: Trx, accountId: string, contractId: string): Promise<void> {
  const { count, bytes } = await milestoneStore.measureMilestones(trx, accountId, contractId);
  if (count <= MILESTONES_AT_MOST && bytes <= MILESTONE_TEXT_AT_MOST) return;
  throw new Problem("milestone_limit_reached", {
    limit: MILESTONES_AT_MOST,
    limitBytes: MILESTONE_TEXT_AT_MOST,
  });
}

/**
 * Checks, before it is read, that a list fits into the memory of a process that also serves others. A larger list is
 * refused, not cut short.
 * @throws Problem list_too_large
 */
export async function assertListable(
  db: Db,
  accountId: string,
  filter: { jobId?: string; status?: ContractStatus },
): Promise<void> {
  if ((await milestoneStore.measureList(db, accountId, filter, LIST_AT_MOST)) <= LIST_AT_MOST) return;
  throw new Problem("list_too_large", { narrowBy: ["jobId", "status"] });
}
