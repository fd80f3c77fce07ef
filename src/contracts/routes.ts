import { Type } from "@sinclair/typebox";
import { type GateDeps, openGrantGate } from "../accounts/gate.ts";
import { answerOnce } from "../accounts/idempotency-service.ts";
import type { Db } from "../database/connection.ts";
import type { App } from "../http/app.ts";
import { IdempotencyHeaders, readIdempotencyKey } from "../http/idempotency.ts";
import { ref } from "../lib/schema.ts";
import { createMilestone } from "./milestone-service.ts";
import { Contract, ContractsQuery, ContractWithBudget, Milestone, NewMilestone } from "./schemas.ts";
import { getContract, listContracts } from "./service.ts";

const ContractParams = Type.Object({ contractId: Type.String() });
const ContractList = Type.Object({ contracts: Type.Array(ref(Contract)) });
const OneContract = Type.Object({ contract: ref(ContractWithBudget) });
const OneMilestone = Type.Object({ milestone: ref(Milestone) });

/** GET /contracts and GET /contracts/{contractId} (docs/contract.md §4). */
export function contractRoutes(app: App, deps: GateDeps & { db: Db }): void {
  const { db } = deps;
  const listing = openGrantGate(deps, "listContracts", ["list_too_large"]);
  const reading = openGrantGate(deps, "getContract", ["not_found"]);

  app.get(
    "/contracts",
    {
      ...listing.options,
      schema: {
        operationId: "listContracts",
        summary: "List contracts",
        description:
          "All contracts of the account, newest first, each with its milestones. A list of more than about 8 MiB is refused " +
          "with `list_too_large`, not cut short: narrow it by `jobId` or `status`, or read contracts one by one. Works " +
          "before the claim.",
        tags: ["Contracts"],
        querystring: ContractsQuery,
        response: { 200: ContractList },
      },
    },
    async (request) => ({
      contracts: await listContracts(db, listing.grant(request).accountId, request.query),
    }),
  );

  app.get(
    "/contracts/:contractId",
    {
      ...reading.options,
      schema: {
        operationId: "getContract",
        summary: "Read a contract",
        description: "One contract with its milestones and its budget. Works before the claim.",
        tags: ["Contracts"],
        params: ContractParams,
        response: { 200: OneContract },
      },
    },
    async (request) => ({
      contract: await getContract(db, reading.grant(request).accountId, request.params.contractId),
    }),
  );
}

/** POST /contracts/{contractId}/milestones (docs/contract.md §4). Takes an `Idempotency-Key`. */
export function createMilestoneRoute(app: App, deps: GateDeps & { db: Db }): void {
  const { db } = deps;
  const gate = openGrantGate(deps, "createMilestone", [
    "not_found",
    "contract_ended",
    "contract_rate_missing",
    "milestone_limit_reached",
    "request_in_progress",
    "idempotency_key_reused",
  ]);

  app.post(
    "/contracts/:contractId/milestones",
    {
      ...gate.options,
      schema: {
        operationId: "createMilestone",
        summary: "Add a milestone to a contract",
        description:
          "Moves no money: the milestone is `NOT_FUNDED` until a human confirms a request by " +
          "`POST /milestones/{milestoneId}/fund`. In a contract paid by the hour or the label, the amount is the rate " +
          "times `volume`, rounded to the nearest cent, half a cent up.\n\n" +
          "A contract has at most 1,000 milestones, with at most 1 MiB of names and descriptions. Cancelled and refunded " +
          "milestones do not count.",
        tags: ["Contracts"],
        params: ContractParams,
        headers: IdempotencyHeaders,
        body: NewMilestone,
        response: { 201: OneMilestone },
      },
    },
    async (request, reply) => {
      const { accountId, tokenId } = gate.grant(request);
      const keyed = readIdempotencyKey(request, reply);
      const milestone = await answerOnce<Milestone>(db, keyed && { accountId, tokenId, ...keyed }, (keep) =>
        createMilestone(db, accountId, request.params.contractId, request.body, keep),
      );
      return reply.code(201).send({ milestone });
    },
  );
}
