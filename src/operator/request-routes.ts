import { Type } from "@sinclair/typebox";
import {
  ApprovalRequested,
  ContractEnded,
  END_REQUESTED,
  FUNDING_REQUESTED,
  OneApproval,
  RELEASE_REQUESTED,
} from "../approvals/schemas.ts";
import type { ApprovalDeps } from "../approvals/service.ts";
import type { App } from "../http/app.ts";
import { acceptNoBody, NoBody } from "../http/body.ts";
import { findAccount } from "./account-service.ts";
import { operatorOf } from "./gate.ts";
import * as service from "./request-service.ts";
import { describe } from "./schemas.ts";

const MilestoneParams = Type.Object({ accountId: Type.String(), milestoneId: Type.String() });
const ContractParams = Type.Object({ accountId: Type.String(), contractId: Type.String() });
const ApprovalParams = Type.Object({ accountId: Type.String(), approvalId: Type.String() });
const ASKING = ["contract_ended", "account_frozen", "payments_paused", "too_many_pending"] as const;

/** What the operator asks an account's people for, as an agent would (docs/contract.md §8). */
export function requestRoutes(app: App, deps: ApprovalDeps): void {
  acceptNoBody(app);
  const { db } = deps;

  const fund = describe(
    "askMilestoneFunding",
    "Ask for a milestone to be funded: a human decides",
    { params: MilestoneParams, body: NoBody, response: { 202: ApprovalRequested } },
    [...ASKING, "milestone_cancelled", "milestone_not_fundable", "payment_method_required"],
  );
  app.post("/accounts/:accountId/milestones/:milestoneId/fund", fund, async (request, reply) => {
    const account = await findAccount(db, request.params.accountId);
    const approval = await service.askFunding(deps, account, request.params.milestoneId, operatorOf(request));
    return reply.code(202).send({ approval, message: FUNDING_REQUESTED });
  });

  const release = describe(
    "askMilestoneRelease",
    "Ask for a milestone's money to be released: a human decides",
    { params: MilestoneParams, body: NoBody, response: { 202: ApprovalRequested } },
    [...ASKING, "milestone_cancelled", "milestone_not_funded", "payment_disputed", "payout_account_required"],
  );
  app.post("/accounts/:accountId/milestones/:milestoneId/approve", release, async (request, reply) => {
    const account = await findAccount(db, request.params.accountId);
    const approval = await service.askRelease(deps, account, request.params.milestoneId, operatorOf(request));
    return reply.code(202).send({ approval, message: RELEASE_REQUESTED });
  });

  const end = describe(
    "askContractEnd",
    "End a contract: at once, or once a human has confirmed its refunds",
    { params: ContractParams, body: NoBody, response: { 200: ContractEnded, 202: ApprovalRequested } },
    [...ASKING, "payment_in_progress", "payment_disputed"],
  );
  app.post("/accounts/:accountId/contracts/:contractId/end", end, async (request, reply) => {
    const account = await findAccount(db, request.params.accountId);
    const { contractId } = request.params;
    const answer = await service.askEnd(deps, account, contractId, operatorOf(request));
    return "ended" in answer
      ? reply.code(200).send({ ok: true as const, contractId, status: "ended" as const })
      : reply.code(202).send({ approval: answer.approval, message: END_REQUESTED });
  });

  const withdraw = describe(
    "withdrawAskedApproval",
    "Withdraw what the operator has asked for",
    { params: ApprovalParams, body: NoBody, response: { 200: OneApproval } },
    ["made_by_another_key", "payment_in_progress", "already_decided"],
  );
  app.post("/accounts/:accountId/approvals/:approvalId/withdraw", withdraw, async (request) => {
    const account = await findAccount(db, request.params.accountId);
    return {
      approval: await service.withdraw(deps, account, request.params.approvalId, operatorOf(request)),
    };
  });
}
