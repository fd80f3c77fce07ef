import { Type } from "@sinclair/typebox";
import type { FastifyRequest } from "fastify";
import { findApprovalForHuman, type HumanApproval } from "../../approvals/human-service.ts";
import type { App } from "../../http/app.ts";
import { notFound, Problem } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import type { Receipt } from "../../receipts/schemas.ts";
import { findReceiptForHuman, type ReceiptDeps } from "../../receipts/service.ts";
import { type Human, openSessionGate } from "../../sign-in/gate.ts";
import { show } from "../kit/site.ts";
import { fileName, receiptPage } from "./receipt-page.ts";

const Params = Type.Object({ approvalId: Type.String() });

export type ReceiptPageDeps = SessionDeps & ReceiptDeps;

/** A decided approval's receipt for the members of its account: to read, to print, and as a file to keep. */
export function receiptPageRoutes(app: App, deps: ReceiptPageDeps): void {
  const gate = openSessionGate(deps);
  const options = { ...gate.options, schema: { ...gate.options.schema, params: Params } };

  app.get(
    "/approvals/:approvalId/receipt",
    { ...options, constraints: { audience: "page" } },
    async (request, reply) => {
      const human = gate.human(request);
      const receipt = await findOwn(deps, request, human);
      const kid = deps.receiptKeys.published[0]?.kid ?? "";
      const approval = await findApproval(deps, request, human);
      const names = approval && {
        contract: approval.contractTitleThen,
        milestone: approval.milestoneNameThen,
      };
      const page = receiptPage({ receipt, asker: approval?.asker ?? null, names, kid });
      return show(deps, reply, page, { human });
    },
  );

  app.get("/approvals/:approvalId/receipt.json", options, async (request, reply) => {
    const receipt = await findOwn(deps, request, gate.human(request));
    return reply
      .header("content-disposition", `attachment; filename="${fileName(receipt)}"`)
      .send({ receipt });
  });
}

/** @throws Problem not_found, no_receipt */
async function findOwn(deps: ReceiptPageDeps, request: FastifyRequest, human: Human): Promise<Receipt> {
  const { approvalId } = request.params as { approvalId: string };
  const accounts = human.memberships.map(({ accountId }) => accountId);
  const receipt = await findReceiptForHuman(deps, accounts, approvalId);
  if (receipt !== undefined) return receipt;
  const approval = await findApproval(deps, request, human);
  if (approval === undefined) throw notFound("approvals", "approvalId", approvalId);
  throw new Problem("no_receipt", { approvalId });
}

function findApproval(
  { db }: ReceiptPageDeps,
  request: FastifyRequest,
  { memberships }: Human,
): Promise<HumanApproval | undefined> {
  const { approvalId } = request.params as { approvalId: string };
  const accounts = memberships.map(({ accountId }) => accountId);
  return findApprovalForHuman(db, accounts, approvalId);
}
