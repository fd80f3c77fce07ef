import { centsToDollars } from "../lib/money.ts";
import { isoOrNull } from "../lib/time.ts";
import type { MilestoneRow } from "./milestone-store.ts";
import type { Budget, Contract, Milestone } from "./schemas.ts";
import type { ContractRow } from "./store.ts";

const FUNDED = new Set(["ACTIVE_FUNDED", "PAID"]);

/** A contract for the wire, with those of its milestones that are to be seen, in their order (docs/contract.md §4). */
export function toContract(row: ContractRow, visible: readonly MilestoneRow[]): Contract {
  return {
    id: row.id,
    status: row.status,
    title: row.title,
    jobId: row.job_id,
    proposalId: row.proposal_id,
    paymentType: row.payment_type,
    rateUsd: row.rate_cents === null ? null : centsToDollars(row.rate_cents),
    estimatedTotalUsd: visible.length === 0 ? null : centsToDollars(sum(visible.map((m) => m.amount_cents))),
    estimatedVolume: visible.every((m) => m.volume === null) ? null : sum(visible.map((m) => m.volume ?? 0)),
    hasActiveMilestone: visible.some((m) => m.status === "ACTIVE_FUNDED"),
    startDate: row.created_at.toISOString(),
    endDate: isoOrNull(row.ended_at),
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
    freelancer: {
      userId: row.freelancer_user_id,
      displayName: row.freelancer_name,
      country: row.freelancer_country,
      profilePath: row.freelancer_profile_path,
    },
    milestones: visible.map(toMilestone),
  };
}

/** A milestone for the wire. */
export function toMilestone(row: MilestoneRow): Milestone {
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    status: row.status,
    amountUsd: centsToDollars(row.amount_cents),
    volume: row.volume,
    milestoneNumber: row.number,
    dueDate: isoOrNull(row.due_at),
    pendingApproval: row.pending_approval,
    needsReview: false,
    invoiceId: row.invoice_id,
    createdAt: row.created_at.toISOString(),
  };
}

/** What is funded under a contract. Nothing is metered here, so nothing counts as consumed. */
export function toBudget(row: ContractRow, milestones: readonly MilestoneRow[]): Budget {
  const funded = milestones.filter((milestone) => FUNDED.has(milestone.status));
  const active = milestones.find((milestone) => milestone.status === "ACTIVE_FUNDED");
  const fundedVolume = sum(funded.map((milestone) => milestone.volume ?? 0));
  return {
    contractId: row.id,
    paymentType: row.payment_type,
    state: "OK",
    fundedVolume,
    fundedAmountUsd: centsToDollars(sum(funded.map((milestone) => milestone.amount_cents))),
    consumed: { seconds: 0, hours: 0, labels: 0, tasks: 0 },
    consumedVolume: 0,
    remainingVolume: fundedVolume,
    consumedFraction: 0,
    activeMilestone:
      active === undefined
        ? null
        : {
            id: active.id,
            name: active.name,
            amountUsd: centsToDollars(active.amount_cents),
            volume: active.volume,
            status: active.status,
          },
    lastUsageAt: null,
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
