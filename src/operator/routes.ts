import { Type } from "@sinclair/typebox";
import { AuditPage, AuditQuery } from "../audit/schemas.ts";
import { listAudit } from "../audit/service.ts";
import { listCharges } from "../billing/sandbox.ts";
import { Charge, PaymentMethod } from "../billing/schemas.ts";
import {
  addPaymentMethod,
  type BillingDeps,
  listPaymentMethods,
  removePaymentMethod,
} from "../billing/service.ts";
import { ContractsQuery, OperatorContract, OperatorContractWithBudget } from "../contracts/schemas.ts";
import { getMilestone, listContracts, withPayoutAccounts } from "../contracts/service.ts";
import { Event, PageQuery, Updates } from "../events/schemas.ts";
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
const CardParams = Type.Object({ accountId: Type.String(), paymentMethodId: Type.String() });

/** The operator's API (CONTRACT.md §8): the way data gets in. Registered behind `operatorGate`. */
export function operatorRoutes(app: App, deps: accountService.OperatorDeps & BillingDeps): void {
  accountRoutes(app, deps);
  cardRoutes(app, deps);
  sandboxRoutes(app, deps);
  contractRoutes(app, deps);
  milestoneRoutes(app, deps);
  eventRoutes(app, deps);
}

function accountRoutes(app: App, deps: accountService.OperatorDeps): void {
  const put = describe("putAccount", "Create an account, or set the named keys of one", [
    "co_sign_loosening",
    "second_signer_loosening",
    "passkey_missing",
  ]);
  const Answer = one("account", schemas.Account);
  app.put(
    "/accounts/:accountId",
    {
      config: put.config,
      schema: {
        ...put.schema,
        params: AccountParams,
        body: schemas.AccountBody,
        response: { 200: Answer, 201: Answer },
      },
    },
    async (request, reply) => {
      const { created, account } = await accountService.putAccount(
        deps,
        request.params.accountId,
        request.body,
        operatorOf(request),
      );
      return reply.code(created ? 201 : 200).send({ account });
    },
  );

  const audit = describe("listAudit", "Read what was done in an account, and by whom");
  app.get(
    "/accounts/:accountId/audit",
    {
      config: audit.config,
      schema: {
        ...audit.schema,
        params: AccountParams,
        querystring: AuditQuery,
        response: { 200: AuditPage },
      },
    },
    async (request) => {
      const { accountId } = await accountService.findAccount(deps.db, request.params.accountId);
      return listAudit(deps.db, accountId, request.query);
    },
  );

  const get = describe("getAccount", "Read an account");
  app.get(
    "/accounts/:accountId",
    { config: get.config, schema: { ...get.schema, params: AccountParams, response: { 200: Answer } } },
    async (request) => ({
      account: (await accountService.findAccount(deps.db, request.params.accountId)).account,
    }),
  );
}

function cardRoutes(app: App, deps: BillingDeps): void {
  const { db } = deps;
  const add = describe("addPaymentMethod", "Put a card on file", [
    "unknown_payment_method",
    "account_frozen",
  ]);
  app.post(
    "/accounts/:accountId/payment-methods",
    {
      config: add.config,
      schema: {
        ...add.schema,
        params: AccountParams,
        body: schemas.PaymentMethodBody,
        response: { 201: one("paymentMethod", PaymentMethod) },
      },
    },
    async (request, reply) => {
      const { accountId } = await accountService.findAccount(db, request.params.accountId);
      const paymentMethod = await addPaymentMethod(
        deps,
        accountId,
        request.body.paymentMethod,
        operatorOf(request),
      );
      return reply.code(201).send({ paymentMethod });
    },
  );

  const list = describe("listPaymentMethods", "List the cards on file");
  app.get(
    "/accounts/:accountId/payment-methods",
    {
      config: list.config,
      schema: {
        ...list.schema,
        params: AccountParams,
        response: { 200: many("paymentMethods", PaymentMethod) },
      },
    },
    async (request) => {
      const { accountId } = await accountService.findAccount(db, request.params.accountId);
      return { paymentMethods: await listPaymentMethods(db, accountId) };
    },
  );

  app.register(async (scope: App) => removeCardRoute(scope, deps));
}

function removeCardRoute(app: App, deps: BillingDeps): void {
  acceptNoBody(app);
  const remove = describe("removePaymentMethod", "Take a card off file");
  app.delete(
    "/accounts/:accountId/payment-methods/:paymentMethodId",
    {
      config: remove.config,
      schema: {
        ...remove.schema,
        params: CardParams,
        body: NoBody,
        response: { 200: Type.Object({ deleted: Type.Literal(true) }) },
      },
    },
    async (request) => {
      const { accountId } = await accountService.findAccount(deps.db, request.params.accountId);
      await removePaymentMethod(deps, accountId, request.params.paymentMethodId, operatorOf(request));
      return { deleted: true as const };
    },
  );
}

function sandboxRoutes(app: App, { db }: BillingDeps): void {
  const charges = describe("listSandboxCharges", "Read the sandbox's own books");
  app.get(
    "/sandbox/charges",
    {
      config: charges.config,
      schema: {
        ...charges.schema,
        querystring: Type.Object({ accountId: Type.String() }),
        response: { 200: many("charges", Charge) },
      },
    },
    async (request) => {
      const { accountId } = await accountService.findAccount(db, request.query.accountId);
      return { charges: await listCharges(db, accountId) };
    },
  );
}

function contractRoutes(app: App, deps: accountService.OperatorDeps): void {
  const { db } = deps;
  const put = describe("putContract", "Create a contract, or set the named keys of one", [
    "contract_ended",
    "payment_in_progress",
    "milestone_funded",
  ]);
  const Answer = one("contract", OperatorContract);
  app.put(
    "/accounts/:accountId/contracts/:contractId",
    {
      config: put.config,
      schema: {
        ...put.schema,
        params: ContractParams,
        body: schemas.ContractBody,
        response: { 200: Answer, 201: Answer },
      },
    },
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

  const get = describe("getAccountContract", "Read a contract with its budget");
  app.get(
    "/accounts/:accountId/contracts/:contractId",
    {
      config: get.config,
      schema: {
        ...get.schema,
        params: ContractParams,
        response: { 200: one("contract", OperatorContractWithBudget) },
      },
    },
    async (request) => {
      const account = await accountService.findAccount(db, request.params.accountId);
      return { contract: await service.getContract(db, account, request.params.contractId) };
    },
  );

  const list = describe("listAccountContracts", "List an account's contracts, newest first", [
    "list_too_large",
  ]);
  app.get(
    "/accounts/:accountId/contracts",
    {
      config: list.config,
      schema: {
        ...list.schema,
        params: AccountParams,
        querystring: ContractsQuery,
        response: { 200: many("contracts", OperatorContract) },
      },
    },
    async (request) => {
      const { accountId } = await accountService.findAccount(db, request.params.accountId);
      const contracts = await listContracts(db, accountId, request.query);
      return { contracts: await withPayoutAccounts(db, accountId, contracts) };
    },
  );
}

function milestoneRoutes(app: App, deps: accountService.OperatorDeps): void {
  const { db } = deps;
  const put = describe("putMilestone", "Create a milestone, or set the named keys of one", [
    "contract_ended",
    "milestone_cancelled",
    "milestone_not_fundable",
    "payment_in_progress",
    "milestone_limit_reached",
  ]);
  const Answer = one("milestone", schemas.OperatorMilestone);
  app.put(
    "/accounts/:accountId/milestones/:milestoneId",
    {
      config: put.config,
      schema: {
        ...put.schema,
        params: MilestoneParams,
        body: schemas.MilestoneBody,
        response: { 200: Answer, 201: Answer },
      },
    },
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

  const get = describe("getMilestone", "Read a milestone");
  app.get(
    "/accounts/:accountId/milestones/:milestoneId",
    { config: get.config, schema: { ...get.schema, params: MilestoneParams, response: { 200: Answer } } },
    async (request) => {
      const { accountId } = await accountService.findAccount(db, request.params.accountId);
      return { milestone: await getMilestone(db, accountId, request.params.milestoneId) };
    },
  );

  const cancel = describe("cancelMilestone", "Cancel a milestone that is not funded", [
    "milestone_not_fundable",
    "payment_in_progress",
  ]);
  app.register(async (scope: App) => {
    acceptNoBody(scope);
    scope.post(
      "/accounts/:accountId/milestones/:milestoneId/cancel",
      {
        config: cancel.config,
        schema: { ...cancel.schema, params: MilestoneParams, body: NoBody, response: { 200: Answer } },
      },
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
  const post = describe("postEvent", "Pass an event on to an account's feed");
  app.register(async (scope: App) => {
    acceptExactJson(scope);
    scope.post(
      "/accounts/:accountId/events",
      {
        config: post.config,
        schema: {
          ...post.schema,
          params: AccountParams,
          body: schemas.EventBody,
          response: { 201: one("event", Event) },
        },
      },
      async (request, reply) => {
        const account = await accountService.findAccount(db, request.params.accountId);
        const event = await service.postEvent(deps, account, request.body, operatorOf(request));
        return reply.code(201).send({ event });
      },
    );
  });

  const list = describe("listEvents", "Read an account's feed, all types");
  app.get(
    "/accounts/:accountId/events",
    {
      config: list.config,
      schema: {
        ...list.schema,
        params: AccountParams,
        querystring: PageQuery,
        response: { 200: ref(Updates) },
      },
    },
    async (request) => {
      const { accountId } = await accountService.findAccount(db, request.params.accountId);
      return readUpdates(db, { accountId, scopes: "all" }, request.query);
    },
  );
}
