import { Type } from "@sinclair/typebox";
import { type GateDeps, openGate } from "../accounts/gate.ts";
import type { App } from "../http/app.ts";
import { acceptNoBody, NoBody } from "../http/body.ts";
import { isExternalId, isUuid } from "../lib/ids.ts";
import { ApprovalRequested, FUNDING_REQUESTED, OneApproval } from "./schemas.ts";
import {
  type ApprovalDeps,
  readApproval,
  readFunding,
  requestMilestoneFunding,
  showApproval,
} from "./service.ts";

const MilestoneParams = Type.Object({ milestoneId: Type.String() });
const ApprovalParams = Type.Object({ approvalId: Type.String() });

/** POST /milestones/{milestoneId}/fund (CONTRACT.md §1). Records a pending approval; never moves money. */
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
          "`approval.approvalUrl`. While one is pending, asking again answers the same approval. It lapses after " +
          "72 hours; learn the outcome from `GET /approvals/{approvalId}` or `GET /updates`.",
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

/** GET /approvals/{approvalId} (CONTRACT.md §1). Works before the claim. */
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
