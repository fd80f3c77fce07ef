import { Type } from "@sinclair/typebox";
import { AuditPage, AuditQuery } from "../audit/schemas.ts";
import { listAudit } from "../audit/service.ts";
import { listCharges } from "../billing/sandbox-client.ts";
import { Charge, PaymentMethod } from "../billing/schemas.ts";
import {
  addPaymentMethod,
  type BillingDeps,
  listPaymentMethods,
  removePaymentMethod,
} from "../billing/service.ts";
import type { App } from "../http/app.ts";
import { acceptNoBody, NoBody } from "../http/body.ts";
import * as accountService from "./account-service.ts";
import { contractRoutes } from "./contract-routes.ts";
import { operatorOf } from "./gate.ts";
import { listRoutes } from "./list-routes.ts";
import * as schemas from "./schemas.ts";
import { AccountParams, describe, many, one } from "./schemas.ts";

const CardParams = Type.Object({ accountId: Type.String(), paymentMethodId: Type.String() });

/** The operator's API (docs/contract.md §8): the way data gets in. Registered behind `operatorGate`. */
export function operatorRoutes(app: App, deps: accountService.OperatorDeps & BillingDeps): void {
  accountRoutes(app, deps);
  cardRoutes(app, deps);
  sandboxRoutes(app, deps);
  contractRoutes(app, deps);
  listRoutes(app, deps);
}

function accountRoutes(app: App, deps: accountService.OperatorDeps): void {
  const Answer = one("account", schemas.Account);
  app.put(
    "/accounts/:accountId",
    describe(
      "putAccount",
      "Create an account, or set the named keys of one",
      {
        params: AccountParams,
        body: schemas.AccountBody,
        response: { 200: Answer, 201: Answer },
      },
      ["co_sign_loosening", "second_signer_loosening", "passkey_missing"],
    ),
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

  app.get(
    "/accounts/:accountId/audit",
    describe("listAudit", "Read what was done in an account, and by whom", {
      params: AccountParams,
      querystring: AuditQuery,
      response: { 200: AuditPage },
    }),
    async (request) => {
      const { accountId } = await accountService.findAccount(deps.db, request.params.accountId);
      return listAudit(deps.db, accountId, request.query);
    },
  );

  app.get(
    "/accounts/:accountId",
    describe("getAccount", "Read an account", { params: AccountParams, response: { 200: Answer } }),
    async (request) => ({
      account: (await accountService.findAccount(deps.db, request.params.accountId)).account,
    }),
  );
}

function cardRoutes(app: App, deps: BillingDeps): void {
  const { db } = deps;
  app.post(
    "/accounts/:accountId/payment-methods",
    describe(
      "addPaymentMethod",
      "Put a card on file",
      {
        params: AccountParams,
        body: schemas.PaymentMethodBody,
        response: { 201: one("paymentMethod", PaymentMethod) },
      },
      ["unknown_payment_method", "account_frozen"],
    ),
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

  app.get(
    "/accounts/:accountId/payment-methods",
    describe("listPaymentMethods", "List the cards on file", {
      params: AccountParams,
      response: { 200: many("paymentMethods", PaymentMethod) },
    }),
    async (request) => {
      const { accountId } = await accountService.findAccount(db, request.params.accountId);
      return { paymentMethods: await listPaymentMethods(db, accountId) };
    },
  );

  app.register(async (scope: App) => removeCardRoute(scope, deps));
}

function removeCardRoute(app: App, deps: BillingDeps): void {
  acceptNoBody(app);
  app.delete(
    "/accounts/:accountId/payment-methods/:paymentMethodId",
    describe("removePaymentMethod", "Take a card off file", {
      params: CardParams,
      body: NoBody,
      response: { 200: schemas.Deleted },
    }),
    async (request) => {
      const { accountId } = await accountService.findAccount(deps.db, request.params.accountId);
      await removePaymentMethod(deps, accountId, request.params.paymentMethodId, operatorOf(request));
      return { deleted: true as const };
    },
  );
}

function sandboxRoutes(app: App, { db }: BillingDeps): void {
  app.get(
    "/sandbox/charges",
    describe(
      "listSandboxCharges",
      "Read the sandbox's own books",
      {
        querystring: Type.Object({ accountId: Type.String() }),
        response: { 200: many("charges", Charge) },
      },
      ["not_found"],
    ),
    async (request) => {
      const { accountId } = await accountService.findAccount(db, request.query.accountId);
      return { charges: await listCharges(db, accountId) };
    },
  );
}
