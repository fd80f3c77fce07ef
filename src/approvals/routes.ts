import { Type } from "@sinclair/typebox";
import { type GateDeps, openGate, openGrantGate } from "../accounts/gate.ts";
import type { App } from "../http/app.ts";
import { acceptNoBody, NoBody } from "../http/body.ts";
import { originOf } from "../http/origin.ts";
import { isExternalId, isUuid } from "../lib/ids.ts";
import { formatTimeLeft, SECOND } from "../lib/time.ts";
import { type RequestDeps, requestEnd, requestRelease, withdrawRequest } from "./request-service.ts";
import {
  ApprovalRequested,
  ContractEnded,
  END_REQUESTED,
  FUNDING_REQUESTED,
  OneApproval,
  RELEASE_REQUESTED,
} from "./schemas.ts";
import {
  type ApprovalDeps,
  readApproval,
  readFunding,
  requestMilestoneFunding,
  showApproval,
} from "./service.ts";

const ContractParams = Type.Object({ contractId: Type.String() });
const MilestoneParams = Type.Object({ milestoneId: Type.String() });
const ApprovalParams = Type.Object({ approvalId: Type.String() });

/** POST /milestones/{milestoneId}/fund (docs/contract.md §1). Records a pending approval; never moves money. */
export function fundRoute(app: App, deps: GateDeps & ApprovalDeps): void {
  acceptNoBody(app);
  const gate = openGate(
    deps,
    "requestMilestoneFunding",
    [
      "not_found",
      "contract_ended",
      "milestone_cancelled",
      "milestone_not_fundable",
      "payment_method_required",
      "payments_paused",
      "too_many_pending",
    ],
    (credential, request) => {
      const { milestoneId } = request.params as { milestoneId: string };
      return readFunding(deps.db, credential, isExternalId(milestoneId) ? milestoneId : null);
    },
  );

  app.post(
    "/milestones/:milestoneId/fund",
    {
      ...gate.options,
      schema: {
        operationId: "requestMilestoneFunding",
        summary: "Ask for a milestone to be funded",
        description:
          "Never moves money. Records a pending approval, which a signed-in human confirms or declines at " +
          "`approval.approvalUrl`. While one is pending, asking again answers the same approval. It " +
          `expires after ${formatTimeLeft(deps.config.approvalTtlSeconds * SECOND)}; learn the outcome from ` +
          "`GET /approvals/{approvalId}` or `GET /updates`.",
        tags: ["Approvals"],
        params: MilestoneParams,
        body: NoBody,
        response: { 202: ApprovalRequested },
      },
    },
    async (request, reply) => {
      const approval = await requestMilestoneFunding(
        deps,
        request.params.milestoneId,
        gate.grant(request),
        () => gate.again(request, reply),
      );
      return reply.code(202).send({ approval, message: FUNDING_REQUESTED });
    },
  );
}

/** POST /milestones/{milestoneId}/approve (docs/contract.md §1). Records a pending approval; never moves money. */
export function releaseRoute(app: App, deps: GateDeps & RequestDeps): void {
  acceptNoBody(app);
  const gate = openGrantGate(deps, "requestMilestoneApproval", [
    "not_found",
    "contract_ended",
    "milestone_cancelled",
    "milestone_not_funded",
    "payment_disputed",
    "payout_account_required",
    "payments_paused",
    "too_many_pending",
  ]);
  app.post(
    "/milestones/:milestoneId/approve",
    {
      ...gate.options,
      schema: {
        operationId: "requestMilestoneApproval",
        summary: "Ask for a milestone's money to be released",
        description:
          "Never moves money. Records a pending approval, which a signed-in human confirms or declines at " +
          "`approval.approvalUrl`; confirming pays the payee, once. While one is pending, asking again answers the same " +
          "approval.",
        tags: ["Approvals"],
        params: MilestoneParams,
        body: NoBody,
        response: { 202: ApprovalRequested },
      },
    },
    async (request, reply) => {
      const asked = requestRelease(deps, gate.grant(request), request.params.milestoneId);
      const approval = await gate.done(request, reply, await asked);
      return reply.code(202).send({ approval, message: RELEASE_REQUESTED });
    },
  );
}

/**
 * POST /contracts/{contractId}/end (docs/contract.md §1). Ends a contract without held money at once; otherwise
 * records a pending approval.
 */
export function endRoute(app: App, deps: GateDeps & RequestDeps): void {
  acceptNoBody(app);
  const gate = openGrantGate(deps, "endContract", [
    "not_found",
    "contract_ended",
    "payment_in_progress",
    "payment_disputed",
    "payments_paused",
    "too_many_pending",
  ]);
  app.post(
    "/contracts/:contractId/end",
    {
      ...gate.options,
      schema: {
        operationId: "endContract",
        summary: "End a contract",
        description:
          "Without a funded milestone the contract ends at once. Else a pending approval is recorded over all of them: a " +
          "signed-in human confirms or declines it at `approval.approvalUrl`, and confirming refunds each, once.",
        tags: ["Approvals"],
        params: ContractParams,
        body: NoBody,
        response: { 200: ContractEnded, 202: ApprovalRequested },
      },
    },
    async (request, reply) => {
      const grant = gate.grant(request);
      const { tokenId, tokenName: name, rootTokenId: rootId } = grant;
      const actor = { kind: "token" as const, tokenId, rootId, name };
      const { contractId } = request.params;
      const asked = requestEnd(deps, grant, contractId, actor, originOf(request));
      const answer = await gate.done(request, reply, await asked);
      return "ended" in answer
        ? reply.code(200).send({ ok: true as const, contractId, status: "ended" as const })
        : reply.code(202).send({ approval: answer.approval, message: END_REQUESTED });
    },
  );
}

/** POST /approvals/{approvalId}/withdraw (docs/contract.md §1). */
export function withdrawRoute(app: App, deps: GateDeps & RequestDeps): void {
  acceptNoBody(app);
  const gate = openGrantGate(deps, "withdrawApproval", [
    "not_found",
    "made_by_another_key",
    "payment_in_progress",
    "already_decided",
  ]);
  app.post(
    "/approvals/:approvalId/withdraw",
    {
      ...gate.options,
      schema: {
        operationId: "withdrawApproval",
        summary: "Withdraw a request",
        description:
          "Ends a pending approval that this token's own root asked for: it reads `expired`, with " +
          '`result: { reason: "withdrawn" }`. Asked again, it answers the same.',
        tags: ["Approvals"],
        params: ApprovalParams,
        body: NoBody,
        response: { 200: OneApproval },
      },
    },
    async (request, reply) => {
      const withdrawn = withdrawRequest(deps, gate.grant(request), request.params.approvalId);
      return { approval: await gate.done(request, reply, await withdrawn) };
    },
  );
}

/** GET /approvals/{approvalId} (docs/contract.md §1). Works before the claim. */
export function approvalRoute(app: App, deps: GateDeps & ApprovalDeps): void {
  const gate = openGate(deps, "getApproval", ["not_found"], (credential, request) => {
    const { approvalId } = request.params as { approvalId: string };
    return readApproval(deps.db, credential, isUuid(approvalId) ? approvalId : null);
  });

  app.get(
    "/approvals/:approvalId",
    {
      ...gate.options,
      schema: {
        operationId: "getApproval",
        summary: "Read an approval",
        description:
          "Poll it to learn what the human decided. `confirmed` means that the action has been executed.",
        tags: ["Approvals"],
        params: ApprovalParams,
        response: { 200: OneApproval },
      },
    },
    async (request) => ({
      approval: showApproval(gate.grant(request), request.params.approvalId, deps.config.publicUrl),
    }),
  );
}
