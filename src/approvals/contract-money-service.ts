import type { Db } from "../database/connection.ts";
import { isExternalId } from "../lib/ids.ts";
import { toPage } from "../lib/pages.ts";
import * as store from "./contract-money-store.ts";
import * as movements from "./movement-store.ts";

export type {
  ContractSummary,
  MilestoneMoney,
  PastApproval,
  PayeeHistory,
  PendingApproval,
} from "./contract-money-store.ts";
export type { MoneyMovement } from "./movement-store.ts";

/** Cursor of a list of contracts. */
export type ContractPoint = { accountId: string; id: string };

/** How many milestones and approvals a contract's page shows. */
const MILESTONES_SHOWN = 500;
const APPROVALS_SHOWN = 50;

/** A contract as its page shows it. */
export type ContractMoney = store.ContractHead & {
  milestones: store.MilestoneMoney[];
  /** Newest first, at most 50. */
  approvals: store.PastApproval[];
  history: store.PayeeHistory;
};

/** A page of the accounts' contracts, newest first. */
export async function listContractsForHuman(
  db: Db,
  accountIds: readonly string[],
  { after, limit }: { after: ContractPoint | undefined; limit: number },
): Promise<{ contracts: store.ContractSummary[]; next: ContractPoint | null }> {
  const rows = await store.listContracts(db, accountIds, { after, limit: limit + 1 });
  const { page: contracts, nextCursor: next } = toPage(rows, limit, ({ accountId, id }) => ({
    accountId,
    id,
  }));
  return { contracts, next };
}

/** The contract with that id in the first of the person's accounts that has one. `undefined`: none has. */
export async function readContractForHuman(
  db: Db,
  accountIds: readonly string[],
  id: string,
): Promise<ContractMoney | undefined> {
  const head = isExternalId(id) ? await store.findContract(db, accountIds, id) : undefined;
  if (head === undefined) return undefined;
  const { accountId, payee } = head;
  const [milestones, approvals, history] = await Promise.all([
    store.listMilestones(db, accountId, id, MILESTONES_SHOWN),
    store.listApprovals(db, accountId, id, APPROVALS_SHOWN),
    store.readPayeeHistory(db, accountId, payee.userId),
  ]);
  return { ...head, milestones, approvals, history };
}

/** How many movements an export contains at most. */
const MOVEMENTS_EXPORTED = 10_000;

/** The account's fundings, payouts and refunds, newest first. @param limit at most 10,000 */
export function listMovements(
  db: Db,
  accountId: string,
  limit = MOVEMENTS_EXPORTED,
): Promise<movements.MoneyMovement[]> {
  return movements.listMovements(db, accountId, limit);
}
