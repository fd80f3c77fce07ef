import type { ApprovalType, Decision, Statement } from "../lib/statement.ts";
import type { HumanApprovalRow } from "./human-store.ts";
import { payingSource } from "./source-rules.ts";

/** The statement that a decision would sign now. */
export function statementOf(
  row: HumanApprovalRow,
  decision: Decision,
  nonce: string,
): Statement<ApprovalType> {
  const common = {
    v: 1 as const,
    accountId: row.organizationId,
    approvalId: row.id,
    decision,
    source: decision === "decline" ? null : payingSource(row),
    nonce,
  };
  switch (row.type) {
    case "milestone_fund":
      return { ...common, action: row.type, terms: row.terms };
    case "milestone_approve":
      return { ...common, action: row.type, terms: row.terms };
    default:
      return { ...common, action: row.type, terms: row.terms };
  }
}

/** False if a funding has no card and no credits that cover it. */
export function canPay({ type, card }: HumanApprovalRow): boolean {
  return type !== "milestone_fund" || card !== null;
}
