import { AuditPage, AuditQuery } from "../audit/schemas.ts";
import { listAudit, SERVICE_ACCOUNT } from "../audit/service.ts";
import { listMilestonePage } from "../contracts/milestone-service.ts";
import type { App } from "../http/app.ts";
import { findAccount, type OperatorDeps } from "./account-service.ts";
import * as lists from "./list-schemas.ts";
import * as service from "./list-service.ts";
import { Account, AccountParams, describe, OperatorMilestone } from "./schemas.ts";

/** What the operator looks things up in, newest first, page by page (docs/contract.md §8). */
export function listRoutes(app: App, { db, config }: OperatorDeps): void {
  app.get(
    "/accounts",
    describe("listAccounts", "List the accounts", {
      querystring: lists.PageQuery,
      response: { 200: lists.pageOf("accounts", Account) },
    }),
    async (request) => service.listAccounts(db, request.query),
  );

  app.get(
    "/approvals",
    describe("listApprovals", "List the approvals of all accounts", {
      querystring: lists.ApprovalsQuery,
      response: { 200: lists.pageOf("approvals", lists.ListedApproval) },
    }),
    async (request) => service.listApprovals(db, config.publicUrl, request.query),
  );

  app.get(
    "/payments",
    describe("listPayments", "List the payments of all accounts, with those in doubt", {
      querystring: lists.PaymentsQuery,
      response: { 200: lists.pageOf("payments", lists.ListedPayment) },
    }),
    async (request) => service.listPayments(db, request.query),
  );

  app.get(
    "/audit",
    describe("listServiceAudit", "Read what was done that belongs to no account, and by whom", {
      querystring: AuditQuery,
      response: { 200: AuditPage },
    }),
    async (request) => listAudit(db, SERVICE_ACCOUNT, request.query),
  );

  app.get(
    "/accounts/:accountId/milestones",
    describe("listAccountMilestones", "List an account's milestones, of every status", {
      params: AccountParams,
      querystring: lists.PageQuery,
      response: { 200: lists.pageOf("milestones", OperatorMilestone) },
    }),
    async (request) => {
      const { accountId } = await findAccount(db, request.params.accountId);
      return listMilestonePage(db, accountId, request.query);
    },
  );

  app.get(
    "/accounts/:accountId/webhooks",
    describe("listAccountWebhooks", "List an account's webhooks, and how they stand", {
      params: AccountParams,
      querystring: lists.PageQuery,
      response: { 200: lists.pageOf("webhooks", lists.ListedWebhook) },
    }),
    async (request) => {
      const account = await findAccount(db, request.params.accountId);
      return service.listWebhooks(db, account, request.query);
    },
  );
}
