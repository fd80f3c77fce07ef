import { notFound, Problem, paymentsPaused } from "../lib/problems.ts";
import type { FundingRow } from "./funding-store.ts";

/** The result of a fund request: the pending approval, an expired one to flip, or a new one to create. */
export type FundingStep =
  | { kind: "pending"; approvalId: string }
  | { kind: "expired"; approvalId: string }
  | { kind: "create" };

/**
 * The rules of `POST /milestones/{id}/fund` (docs/contract.md §1) in their order: first what cannot be changed, last
 * what a person can. They apply to every request, also while an approval is pending.
 * @param asked the id as in the path
 * @throws Problem not_found, contract_ended, milestone_cancelled, milestone_not_fundable, payment_method_required;
 * payments_paused if it would be accepted otherwise
 */
export function decideFunding(row: FundingRow, asked: string, publicUrl: string): FundingStep {
  if (row.milestoneId === null) throw notFound("milestones", "milestoneId", asked);
  if (row.contractStatus === "ended") throw new Problem("contract_ended", { contractId: row.contractId });
  if (row.milestoneStatus === "CANCELLED") throw new Problem("milestone_cancelled");
  if (row.milestoneStatus !== "NOT_FUNDED")
    throw new Problem("milestone_not_fundable", { status: row.milestoneStatus });
  if (!row.hasCard) throw new Problem("payment_method_required", { billingUrl: `${publicUrl}/billing` });
  if (row.paymentsPaused) throw paymentsPaused();
  const { approvalId } = row;
  if (approvalId !== null) {
    const expired = !row.approvalExecuting && row.approvalExpiresAt <= row.now;
    return { kind: expired ? "expired" : "pending", approvalId };
  }
  return { kind: "create" };
}
