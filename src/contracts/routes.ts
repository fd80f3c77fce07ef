import { Type } from "@sinclair/typebox";
import { type GateDeps, openGate } from "../accounts/gate.ts";
import { readGrant } from "../accounts/service.ts";
import type { Db } from "../database/connection.ts";
import type { App } from "../http/app.ts";
import { ref } from "../lib/schema.ts";
import { CONTRACTS_ACCESS } from "./access.ts";
import { Contract, ContractsQuery, ContractWithBudget } from "./schemas.ts";
import { getContract, listContracts } from "./service.ts";

const ContractParams = Type.Object({ contractId: Type.String() });
const ContractList = Type.Object({ contracts: Type.Array(ref(Contract)) });
const OneContract = Type.Object({ contract: ref(ContractWithBudget) });

/** GET /contracts and GET /contracts/{contractId} (CONTRACT.md §4). */
export function contractRoutes(app: App, deps: GateDeps & { db: Db }): void {
  const { db } = deps;
  const gate = openGate(deps, CONTRACTS_ACCESS, ["not_found"], (credential) => readGrant(db, credential));

  app.get(
    "/contracts",
    {
      ...gate.options,
      schema: {
        operationId: "listContracts",
        summary: "List contracts",
        description:
          "The account's contracts, newest first, each with its milestones. Works before the claim.",
        tags: ["Contracts"],
        querystring: ContractsQuery,
        response: { 200: ContractList },
      },
    },
    async (request) => ({ contracts: await listContracts(db, gate.grant(request).accountId, request.query) }),
  );

  app.get(
    "/contracts/:contractId",
    {
      ...gate.options,
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
      contract: await getContract(db, gate.grant(request).accountId, request.params.contractId),
    }),
  );
}
