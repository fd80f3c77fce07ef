import type { Trx } from "../database/connection.ts";
import { isExternalId } from "../lib/ids.ts";
import { notFound, Problem } from "../lib/problems.ts";
import { assertMilestoneLimit } from "./limits.ts";
import * as milestoneStore from "./milestone-store.ts";
import * as store from "./store.ts";
import { changesTerms } from "./terms.ts";

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
    await assertMilestoneLimit(trx, accountId, contractId);
    return change;
  }
  const termsChanged = changesTerms("milestones", row, milestoneStore.milestoneColumns(values));
  if (termsChanged) await assertUntouched(trx, accountId, row);
  await milestoneStore.updateMilestone(trx, accountId, id, values, {
    number,
    revision: row.revision + (termsChanged ? 1 : 0),
    now,
  });
  await assertMilestoneLimit(trx, accountId, contractId);
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
