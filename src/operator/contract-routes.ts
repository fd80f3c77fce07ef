import { Type } from "@sinclair/typebox";
import { ContractsQuery, OperatorContract, OperatorContractWithBudget } from "../contracts/schemas.ts";
import { getMilestone, listContracts, withPayoutAccounts } from "../contracts/service.ts";
import { Event, OperatorUpdates, PageQuery } from "../events/schemas.ts";
import { readUpdates } from "../events/service.ts";
import type { App } from "../http/app.ts";
import { acceptExactJson, acceptNoBody, NoBody } from "../http/body.ts";
import { ref } from "../lib/schema.ts";
import * as accountService from "./account-service.ts";
import { operatorOf } from "./gate.ts";
import * as schemas from "./schemas.ts";
import { AccountParams, describe, many, one } from "./schemas.ts";
import * as service from "./service.ts";

const ContractParams = Type.Object({ accountId: Type.String(), contractId: Type.String() });
const MilestoneParams = Type.Object({ accountId: Type.String(), milestoneId: Type.String() });

/** An account's contracts, their milestones, and its feed (docs/contract.md §8). */
export function contractRoutes(app: App, deps: accountService.OperatorDeps): void {
  readAndPutContracts(app, deps);
  milestoneRoutes(app, deps);
  eventRoutes(app, deps);
}

function readAndPutContracts(app: App, deps: accountService.OperatorDeps): void {
  const { db } = deps;
  const Answer = one("contract", OperatorContract);
  app.put(
    "/accounts/:accountId/contracts/:contractId",
    describe(
      "putContract",
      "Create a contract, or set the named keys of one",
      {
        params: ContractParams,
        body: schemas.ContractBody,
        response: { 200: Answer, 201: Answer },
      },
      ["contract_ended", "payment_in_progress", "milestone_funded"],
    ),
    async (request, reply) => {
      const account = await accountService.findAccount(db, request.params.accountId);
      const { created, contract } = await service.putContract(
        deps,
        account,
        request.params.contractId,
        request.body,
        operatorOf(request),
      );
      return reply.code(created ? 201 : 200).send({ contract });
    },
  );

  app.get(
    "/accounts/:accountId/contracts/:contractId",
    describe("getAccountContract", "Read a contract with its budget", {
      params: ContractParams,
      response: { 200: one("contract", OperatorContractWithBudget) },
    }),
    async (request) => {
      const account = await accountService.findAccount(db, request.params.accountId);
      return { contract: await service.getContract(db, account, request.params.contractId) };
    },
  );

  app.get(
    "/accounts/:accountId/contracts",
    describe(
      "listAccountContracts",
      "List an account's contracts, newest first",
      {
        params: AccountParams,
        querystring: ContractsQuery,
        response: { 200: many("contracts", OperatorContract) },
      },
      ["list_too_large"],
    ),
    async (request) => {
      const { accountId } = await accountService.findAccount(db, request.params.accountId);
      const contracts = await listContracts(db, accountId, request.query);
      return { contracts: await withPayoutAccounts(db, accountId, contracts) };
    },
  );
}

function milestoneRoutes(app: App, deps: accountService.OperatorDeps): void {
  const { db } = deps;
  const Answer = one("milestone", schemas.OperatorMilestone);
  app.put(
    "/accounts/:accountId/milestones/:milestoneId",
    describe(
      "putMilestone",
      "Create a milestone, or set the named keys of one",
      {
        params: MilestoneParams,
        body: schemas.MilestoneBody,
        response: { 200: Answer, 201: Answer },
      },
      [
        "contract_ended",
        "milestone_cancelled",
        "milestone_not_fundable",
        "payment_in_progress",
        "milestone_limit_reached",
      ],
    ),
    async (request, reply) => {
      const account = await accountService.findAccount(db, request.params.accountId);
      const { created, milestone } = await service.putMilestone(
        deps,
        account,
        request.params.milestoneId,
        request.body,
        operatorOf(request),
      );
      return reply.code(created ? 201 : 200).send({ milestone });
    },
  );

  app.get(
    "/accounts/:accountId/milestones/:milestoneId",
    describe("getMilestone", "Read a milestone", { params: MilestoneParams, response: { 200: Answer } }),
    async (request) => {
      const { accountId } = await accountService.findAccount(db, request.params.accountId);
      return { milestone: await getMilestone(db, accountId, request.params.milestoneId) };
    },
  );

  app.register(async (scope: App) => {
    acceptNoBody(scope);
    scope.post(
      "/accounts/:accountId/milestones/:milestoneId/cancel",
      describe(
        "cancelMilestone",
        "Cancel a milestone that is not funded",
        { params: MilestoneParams, body: NoBody, response: { 200: Answer } },
        ["milestone_not_fundable", "payment_in_progress"],
      ),
      async (request) => {
        const account = await accountService.findAccount(db, request.params.accountId);
        return {
          milestone: await service.cancelMilestone(
            deps,
            account,
            request.params.milestoneId,
            operatorOf(request),
          ),
        };
      },
    );
  });
}

function eventRoutes(app: App, deps: accountService.OperatorDeps): void {
  const { db } = deps;
  app.register(async (scope: App) => {
    acceptExactJson(scope);
    scope.post(
      "/accounts/:accountId/events",
      describe("postEvent", "Pass an event on to an account's feed", {
        params: AccountParams,
        body: schemas.EventBody,
        response: { 201: one("event", Event) },
      }),
      async (request, reply) => {
        const account = await accountService.findAccount(db, request.params.accountId);
        const event = await service.postEvent(deps, account, request.body, operatorOf(request));
        return reply.code(201).send({ event });
      },
    );
  });

  app.get(
    "/accounts/:accountId/events",
    describe("listEvents", "Read an account's feed, all types", {
      params: AccountParams,
      querystring: PageQuery,
      response: { 200: ref(OperatorUpdates) },
    }),
    async (request) => {
      const { accountId, organizationId } = await accountService.findAccount(db, request.params.accountId);
      const { events, ...page } = await readUpdates(db, { accountId, scopes: "all" }, request.query);
      // As in the operator's own feed, whose types it holds too.
      return { ...page, events: events.map((event) => ({ ...event, accountId: organizationId })) };
    },
  );
}
