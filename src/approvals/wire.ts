import { isoOrNull } from "../lib/time.ts";
import type { Approval } from "./schemas.ts";
import type { ApprovalRow } from "./store.ts";

/** Whether an approval's time has passed and it is not being paid. */
export function hasExpired(row: Pick<ApprovalRow, "status" | "executing" | "expiresAt">, now: Date): boolean {
  return row.status === "pending" && !row.executing && row.expiresAt <= now;
}

export type ApprovalState = "waiting" | "executing" | "confirmed" | "declined" | "expired";

/** An approval as people see it: with its outcome so far, and when it ended. */
export function withState<
  T extends Pick<ApprovalRow, "status" | "executing" | "expiresAt" | "resolvedAt"> & { now: Date },
>(row: T): T & { state: ApprovalState } {
  if (row.status !== "pending") return { ...row, state: row.status };
  if (hasExpired(row, row.now)) return { ...row, state: "expired", resolvedAt: row.expiresAt };
  return { ...row, state: row.executing ? "executing" : "waiting" };
}

/** An approval on the wire. Reads `expired` once its time has passed, even before a sweep has flipped it. */
export function toApproval(row: ApprovalRow, now: Date, publicUrl: string): Approval {
  const expired = hasExpired(row, now);
  return {
    id: row.id,
    type: row.type,
    status: expired ? "expired" : row.status,
    contractId: row.contractId,
    milestoneId: row.milestoneId,
    jobId: row.jobId,
    proposalId: null,
    approvalUrl: `${publicUrl}/approvals/${row.id}`,
    expiresAt: row.expiresAt.toISOString(),
    resolvedAt: isoOrNull(expired ? row.expiresAt : row.resolvedAt),
    result: row.result,
    createdAt: row.createdAt.toISOString(),
  };
}
