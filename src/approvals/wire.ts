import { isoOrNull } from "../lib/time.ts";
import type { Approval } from "./schemas.ts";
import type { ApprovalRow } from "./store.ts";

/** Whether an approval's time has passed, and nothing of it is under way. */
export function hasLapsed(row: Pick<ApprovalRow, "status" | "executing" | "expiresAt">, now: Date): boolean {
  return row.status === "pending" && !row.executing && row.expiresAt <= now;
}

/** An approval for the wire. One whose time has passed reads `expired` before any sweep has flipped it. */
export function toApproval(row: ApprovalRow, now: Date, publicUrl: string): Approval {
  const lapsed = hasLapsed(row, now);
  return {
    id: row.id,
    type: row.type,
    status: lapsed ? "expired" : row.status,
    contractId: row.contractId,
    milestoneId: row.milestoneId,
    jobId: row.jobId,
    proposalId: null,
    approvalUrl: `${publicUrl}/approvals/${row.id}`,
    expiresAt: row.expiresAt.toISOString(),
    resolvedAt: isoOrNull(lapsed ? row.expiresAt : row.resolvedAt),
    result: row.result,
    createdAt: row.createdAt.toISOString(),
  };
}
