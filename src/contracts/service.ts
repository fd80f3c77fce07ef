import type { Db, Trx } from "../database/connection.ts";
import type { ContractStatus, MilestoneStatus } from "../database/schema.ts";
import { isExternalId } from "../lib/ids.ts";
import { notFound, Problem } from "../lib/problems.ts";
import { assertListable, assertRoom } from "./limits.ts";
import * as milestoneStore from "./milestone-store.ts";
import type { Contract, ContractsQuery, ContractWithBudget, Milestone } from "./schemas.ts";
import * as store from "./store.ts";
import { changesTerms } from "./terms.ts";
import { toBudget, toContract, toMilestone } from "./wire.ts";

export type { MilestoneValues } from "./milestone-store.ts";
export type { ContractValues } from "./store.ts";
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

/** What a write changed. The caller ends approvals and writes events and audit entries in the same transaction. */
export type ContractChange = {
  created: boolean;
  termsChanged: boolean;
  ended: boolean;
  /** Absent when it was created. */
  before: store.ContractValues | undefined;
  after: store.ContractValues;
};

/**
 * Creates or changes a contract. `merge` gives the new values for the current ones. While one of its milestones is
 * executing, payee, payout account and job cannot change and the contract cannot end. While one is funded, neither
 * can the payee nor the end (docs/contract.md §8).
 * @throws Problem contract_ended, payment_in_progress, milestone_funded {milestoneIds}, and what `merge` throws
 */
export async function saveContract(
  trx: Trx,
  accountId: string,
  id: string,
  merge: (present: store.ContractValues | undefined) => store.ContractValues,
  now: Date,
): Promise<ContractChange> {
  const row = await store.lockContract(trx, accountId, id);
  if (row === undefined) {
    const values = merge(undefined);
    if (await store.insertContract(trx, accountId, id, values, now)) {
      return { created: true, termsChanged: false, ended: false, before: undefined, after: values };
    }
    return saveContract(trx, accountId, id, merge, now);
  }
  const present = toContractValues(row);
  const values = merge(present);
  const unchanged = { created: false, termsChanged: false, ended: false, before: present, after: values };
  if (JSON.stringify(values) === JSON.stringify(present)) return unchanged;
  if (row.status === "ended") throw new Problem("contract_ended", { contractId: id });
  const termsChanged = changesTerms("contracts", row, store.contractColumns(values));
  const ended = values.status === "ended";
  if ((termsChanged || ended) && (await milestoneStore.isExecuting(trx, accountId, { contractId: id }))) {
    throw new Problem("payment_in_progress", { contractId: id });
  }
  if (ended || payeeOf(values) !== payeeOf(present)) {
    // Read after the check for executing milestones: one that has just finished is funded by now.
    const milestoneIds = await milestoneStore.listFunded(trx, accountId, id);
    if (milestoneIds.length > 0) throw new Problem("milestone_funded", { milestoneIds });
  }
  await store.updateContract(trx, accountId, id, values, {
    revision: row.revision + (termsChanged ? 1 : 0),
    now,
  });
  return { ...unchanged, termsChanged, ended };
}

export type MilestoneChange = {
  created: boolean;
  termsChanged: boolean;
  contractId: string;
  jobId: string;
  /** Absent when it was created. */
  before: milestoneStore.MilestoneValues | undefined;
  after: milestoneStore.MilestoneValues;
};

/**
 * Creates or changes a milestone. `merge` gives the new values for the current ones.
 * @throws Problem not_found (the contract), contract_ended, milestone_cancelled, milestone_not_fundable,
 * payment_in_progress, milestone_limit_reached, and what `merge` throws
 */
export async function saveMilestone(
  trx: Trx,
  accountId: string,
  id: string,
  merge: (present: milestoneStore.MilestoneValues | undefined) => milestoneStore.MilestoneValues,
  now: Date,
): Promise<MilestoneChange> {
  // Invariant 11: the contract is locked first, so the milestone is read once without a lock to find it.
  const seen = await milestoneStore.findMilestone(trx, accountId, id);
  const contractId = merge(seen && toMilestoneValues(seen)).contractId;
  const contract = await store.lockContract(trx, accountId, contractId);
  if (contract === undefined) throw notFound("contracts", "contractId", contractId);
  const row = await milestoneStore.lockMilestone(trx, accountId, id);
  const present = row && toMilestoneValues(row);
  const values = merge(present);
  if (values.contractId !== contractId) throw new Problem("unavailable", { retryAfterSeconds: 1 });
  const change = {
    created: row === undefined,
    termsChanged: false,
    contractId,
    jobId: contract.job_id,
    before: present,
    after: values,
  };
  if (JSON.stringify(values) === JSON.stringify(present)) return change;
  const left =
    row && row.contract_id !== contractId
      ? await store.findContract(trx, accountId, row.contract_id)
      : contract;
  for (const { id: of, status } of [contract, left ?? contract]) {
    if (status === "ended") throw new Problem("contract_ended", { contractId: of });
  }
  const number =
    row?.contract_id === contractId
      ? row.number
      : await milestoneStore.nextMilestoneNumber(trx, accountId, contractId);
  if (row === undefined || present === undefined) {
    if (!(await milestoneStore.insertMilestone(trx, accountId, id, values, { number, now })))
      return saveMilestone(trx, accountId, id, merge, now);
    await assertRoom(trx, accountId, contractId);
    return change;
  }
  const termsChanged = changesTerms("milestones", row, milestoneStore.milestoneColumns(values));
  if (termsChanged) await assertUntouched(trx, accountId, row);
  await milestoneStore.updateMilestone(trx, accountId, id, values, {
    number,
    revision: row.revision + (termsChanged ? 1 : 0),
    now,
  });
  await assertRoom(trx, accountId, contractId);
  return { ...change, termsChanged };
}

/**
 * Cancels an unfunded milestone; a cancelled one stays cancelled.
 * @returns whether it was cancelled by this call, and what its event needs
 * @throws Problem not_found, payment_in_progress, milestone_not_fundable
 */
export async function cancelMilestone(
  trx: Trx,
  accountId: string,
  id: string,
  now: Date,
): Promise<{ cancelled: boolean; contractId: string; jobId: string }> {
  const seen = isExternalId(id) ? await milestoneStore.findMilestone(trx, accountId, id) : undefined;
  const contract = seen && (await store.findContract(trx, accountId, seen.contract_id));
  const row = seen && (await milestoneStore.lockMilestone(trx, accountId, id));
  if (row === undefined || contract === undefined) throw notFound("milestones", "milestoneId", id);
  const change = { contractId: contract.id, jobId: contract.job_id };
  if (row.status === "CANCELLED") return { cancelled: false, ...change };
  await assertUntouched(trx, accountId, row);
  await milestoneStore.moveMilestone(trx, accountId, id, { from: "NOT_FUNDED", to: "CANCELLED", now });
  return { cancelled: true, ...change };
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
  const contract = await store.holdContractOf(trx, accountId, id, alone);
  const row = contract && (await milestoneStore.lockMilestone(trx, accountId, id));
  if (row === undefined || contract === undefined) throw notFound("milestones", "milestoneId", id);
  const executing = await milestoneStore.isExecuting(trx, accountId, { milestoneId: id });
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

/**
 * Ends a contract under which no money is held. The caller holds the contract.
 * @throws what the database says while money is held or moving under it (invariant 14)
 */
export function endContract(trx: Trx, accountId: string, id: string, now: Date): Promise<void> {
  return store.endContract(trx, accountId, id, now);
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

async function assertUntouched(trx: Trx, accountId: string, row: milestoneStore.MilestoneRow): Promise<void> {
  if (row.status === "CANCELLED") throw new Problem("milestone_cancelled");
  if (row.status !== "NOT_FUNDED") throw new Problem("milestone_not_fundable", { status: row.status });
  if (await milestoneStore.isExecuting(trx, accountId, { milestoneId: row.id })) {
    throw new Problem("payment_in_progress", { milestoneId: row.id });
  }
}

/** The payee, as a human signs it. */
function payeeOf({ freelancer }: store.ContractValues): string {
  return JSON.stringify([freelancer.userId, freelancer.displayName]);
}

function toContractValues(row: store.ContractRow): store.ContractValues {
  return {
    title: row.title,
    jobId: row.job_id,
    proposalId: row.proposal_id,
    paymentType: row.payment_type,
    rateCents: row.rate_cents,
    status: row.status,
    freelancer: {
      userId: row.freelancer_user_id,
      displayName: row.freelancer_name,
      country: row.freelancer_country,
      profilePath: row.freelancer_profile_path,
      payoutAccount: row.payout_account,
    },
  };
}

function toMilestoneValues(row: milestoneStore.MilestoneRow): milestoneStore.MilestoneValues {
  return {
    contractId: row.contract_id,
    name: row.name,
    description: row.description,
    amountCents: row.amount_cents,
    volume: row.volume,
    dueAt: row.due_at,
  };
}
