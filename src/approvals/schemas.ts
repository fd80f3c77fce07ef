import { type Static, Type } from "@sinclair/typebox";
import { nullable, ref, Time } from "../lib/schema.ts";
import type { ApprovalType } from "../lib/statement.ts";

/** An approval on the wire: these keys, in this order, no others (docs/contract.md §1). */
export const Approval = Type.Object(
  {
    id: Type.String(),
    type: Type.Unsafe<ApprovalType>(
      Type.String({ enum: ["milestone_fund", "milestone_approve", "contract_end"] }),
    ),
    status: Type.String({ enum: ["pending", "confirmed", "declined", "expired"] }),
    contractId: Type.String(),
    milestoneId: nullable(Type.String()),
    jobId: Type.String(),
    proposalId: nullable(Type.String()),
    approvalUrl: Type.String({
      format: "uri",
      description: "Where a signed-in human reads the terms and decides.",
    }),
    expiresAt: Time,
    resolvedAt: nullable(Time),
    result: Type.Unsafe<Record<string, unknown> | null>({
      type: ["object", "null"],
      additionalProperties: true,
      description:
        "What came of it when confirmed: the invoice and the payment, the invoice and the payout, or the refunds. A " +
        "`note` when a human wrote why they declined; a `reason` when it ended early.",
    }),
    createdAt: Time,
  },
  { $id: "Approval" },
);
export type Approval = Static<typeof Approval>;

export const OneApproval = Type.Object({ approval: ref(Approval) });
export const ApprovalRequested = Type.Object({ approval: ref(Approval), message: Type.String() });

export const ContractEnded = Type.Object({
  ok: Type.Literal(true),
  contractId: Type.String(),
  status: Type.Literal("ended"),
});

export const RELEASE_REQUESTED =
  "Recorded. Nothing has been paid out: a signed-in human of the account must open approval.approvalUrl and confirm.";
export const END_REQUESTED =
  "Recorded. Nothing has been refunded, and the contract continues: a signed-in human of the account must open " +
  "approval.approvalUrl and confirm.";

/** The `message` of a 202 to a fund request. */
export const FUNDING_REQUESTED =
  "Recorded. Nothing has been charged: a signed-in human of the account must open approval.approvalUrl and confirm.";
