import type { Db, Trx } from "../database/connection.ts";
import type { ContractStatus, MilestoneStatus } from "../database/schema.ts";
import { together } from "../database/transaction.ts";
import { isExternalId } from "../lib/ids.ts";
import { notFound, Problem } from "../lib/problems.ts";
import { assertListable } from "./limits.ts";
import * as milestoneStore from "./milestone-store.ts";
import type { Contract, ContractsQuery, ContractWithBudget, Milestone } from "./schemas.ts";
import * as store from "./store.ts";
import { toBudget, toContract, toMilestone } from "./wire.ts";

export type { MilestoneValues } from "./milestone-store.ts";
export type { ContractValues } from "./store.ts";
export { endContract } from "./store.ts";
export { FUNDING_TERMS, FUNDING_TERMS_COLUMNS, RELEASE_TERMS, readFundingTerms } from "./terms.ts";

/**
 * All contracts of the account, newest first (docs/contract.md §4).
 * @throws Problem list_too_large
 */
export async function listContracts(db: Db, accountId: string, query: ContractsQuery): Promise<Contract[]> {
  const filter = {
    ...(query.jobId === undefined ? {} : { jobId: query.jobId }),
    ...(query.status === undefined ? {} : { status: query.status as ContractStatus }),
  };
  await assertListable(db, accountId, filter);
  const contracts = await store.listContracts(db, accountId, filter);
  const milestones = await milestoneStore.listMilestones(
    db,
    accountId,
    contracts.map((contract) => contract.id),
  );
  const byContract = Map.groupBy(milestones, (milestone) => milestone.contract_id);
  return contracts.map((contract) => toContract(contract, byContract.get(contract.id) ?? []));
}

/**
 * One contract with its budget.
 * @throws Problem not_found {resource: "contracts", contractId}
 */
export async function getContract(db: Db, accountId: string, id: string): Promise<ContractWithBudget> {
  const contract = isExternalId(id) ? await store.findContract(db, accountId, id) : undefined;
  if (contract === undefined) throw notFound("contracts", "contractId", id);
  const milestones = await milestoneStore.listMilestones(db, accountId, [id]);
  return {
    ...toContract(contract, milestones),
    jobDmConversationId: null,
    budget: toBudget(contract, milestones),
  };
}

/** Adds the payout accounts, which only the operator reads. */
export async function withPayoutAccounts<T extends Contract>(
  db: Db,
  accountId: string,
  contracts: readonly T[],
): Promise<(T & { freelancer: { payoutAccount: string | null } })[]> {
  const ids = contracts.map(({ id }) => id);
  const accounts = await store.listPayoutAccounts(db, accountId, ids);
  return contracts.map((contract) => {
    const payoutAccount = accounts.get(contract.id) ?? null;
    return { ...contract, freelancer: { ...contract.freelancer, payoutAccount } };
  });
}

/**
 * One milestone, whatever its state.
 * @throws Problem not_found {resource: "milestones", milestoneId}
 */
export async function getMilestone(
  db: Db,
  accountId: string,
  id: string,
): Promise<Milestone & { contractId: string }> {
  const milestone = isExternalId(id) ? await milestoneStore.findMilestone(db, accountId, id) : undefined;
  if (milestone === undefined) throw notFound("milestones", "milestoneId", id);
  return { ...toMilestone(milestone), contractId: milestone.contract_id };
}

/** A milestone that is locked until the transaction ends, with its contract, to book what happened to its money. */
export type HeldMilestone = {
  id: string;
  status: MilestoneStatus;
  contractId: string;
  contractStatus: ContractStatus;
  jobId: string;
  executing: boolean;
};

/**
 * Locks the contract and then the milestone, so that the contract's fields stay as they are until the transaction ends.
 * @param alone whether to lock the contract exclusively, as it may end
 * @throws Problem not_found {resource: "milestones", milestoneId}
 */
export async function holdMilestone(
  trx: Trx,
  accountId: string,
  id: string,
  { alone = false }: { alone?: boolean } = {},
): Promise<HeldMilestone> {
  const [contract, row, executing] = await together(
    store.holdContractOf(trx, accountId, id, alone),
    milestoneStore.lockMilestone(trx, accountId, id),
    milestoneStore.isExecuting(trx, accountId, { milestoneId: id }),
  );
  if (row === undefined || contract === undefined) throw notFound("milestones", "milestoneId", id);
  const { id: contractId, status: contractStatus, jobId } = contract;
  return { id, status: row.status, contractId, contractStatus, jobId, executing };
}

/**
 * Marks a milestone as funded, after its money has moved.
 * @throws Problem milestone_not_fundable when it is not NOT_FUNDED, which the executing key rules out
 */
export async function fundMilestone(
  trx: Trx,
  accountId: string,
  { id, status }: HeldMilestone,
  invoiceId: string,
  now: Date,
): Promise<void> {
  const step = { from: "NOT_FUNDED", to: "ACTIVE_FUNDED", now, invoiceId } as const;
  if (!(await milestoneStore.moveMilestone(trx, accountId, id, step)))
    throw new Problem("milestone_not_fundable", { status });
}

/**
 * Marks a milestone as paid, after its money was paid out.
 * @throws Problem milestone_not_funded when it is not ACTIVE_FUNDED, which the executing key rules out
 */
export async function payMilestone(
  trx: Trx,
  accountId: string,
  { id, status }: HeldMilestone,
  now: Date,
): Promise<void> {
  if (!(await milestoneStore.moveMilestone(trx, accountId, id, { from: "ACTIVE_FUNDED", to: "PAID", now })))
    throw new Problem("milestone_not_funded", { status });
}

/** Marks a funded milestone as refunded. @returns `false` when it is not funded */
export function refundMilestone(trx: Trx, accountId: string, id: string, now: Date): Promise<boolean> {
  return milestoneStore.moveMilestone(trx, accountId, id, { from: "ACTIVE_FUNDED", to: "REFUNDED", now });
}

/** Marks a paid milestone as funded again, after its payout was returned. @returns `false` when it is not paid */
export function returnMilestone(trx: Trx, accountId: string, id: string, now: Date): Promise<boolean> {
  return milestoneStore.moveMilestone(trx, accountId, id, { from: "PAID", to: "ACTIVE_FUNDED", now });
}

/** Locks a contract exclusively, and reads what may keep it from ending. @returns `undefined` when there is none */
export async function holdContract(
  trx: Trx,
  accountId: string,
  id: string,
): Promise<{ status: ContractStatus; jobId: string; executing: boolean; funded: string[] } | undefined> {
  const row = await store.lockContract(trx, accountId, id);
  if (row === undefined) return undefined;
  const executing = await milestoneStore.isExecuting(trx, accountId, { contractId: id });
  const funded = await milestoneStore.listFunded(trx, accountId, id);
  return { status: row.status, jobId: row.job_id, executing, funded };
}
