import type { FastifyPluginCallback } from "fastify";
import type { Logger } from "pino";
import { accountRoutes } from "../accounts/routes.ts";
import { Capabilities, JobDraftCapabilities, Me, TokenMetadata } from "../accounts/schemas.ts";
import { revokeTokenRoute, tokenRoutes } from "../accounts/token-routes.ts";
import type { TokenUses } from "../accounts/token-use-service.ts";
import { discoveryRoutes } from "../agent-auth/discovery-routes.ts";
import { agentAuthRoutes } from "../agent-auth/routes.ts";
import { openAgentAuth } from "../agent-auth/service.ts";
import { machineDocsRoutes } from "../api-docs/machine-docs.ts";
import { describeApi, operatorDescriptionRoute, serveApiReference } from "../api-docs/openapi.ts";
import { operatorPageRoute } from "../api-docs/operator-page.ts";
import { voidSignatures } from "../approvals/advance-service.ts";
import { processorRoutes } from "../approvals/processor-routes.ts";
import { approvalRoute, endRoute, fundRoute, releaseRoute, withdrawRoute } from "../approvals/routes.ts";
import { Approval } from "../approvals/schemas.ts";
import { AuditEntry } from "../audit/schemas.ts";
import type { BoundaryObserver } from "../billing/boundaries.ts";
import { createTopUpRoute, creditRoutes } from "../billing/credit-routes.ts";
import { CreditEntry, CreditLedger, Credits, TopUp, TopUpAsked } from "../billing/credit-schemas.ts";
import { pendingPaymentsRoute } from "../billing/pending-routes.ts";
import type { Processor } from "../billing/processor.ts";
import { Charge, PaymentMethod, PendingPayment } from "../billing/schemas.ts";
import type { Config } from "../config/config.ts";
import { contractRoutes, createMilestoneRoute } from "../contracts/routes.ts";
import {
  Budget,
  Contract,
  ContractWithBudget,
  Milestone,
  OperatorContract,
  OperatorContractWithBudget,
} from "../contracts/schemas.ts";
import type { Db } from "../database/connection.ts";
import { updatesRoute } from "../events/routes.ts";
import { Event, OperatorEvent, OperatorUpdates, Updates } from "../events/schemas.ts";
import type { Waiters } from "../events/waiters.ts";
import type { App } from "../http/app.ts";
import type { Draining } from "../http/draining.ts";
import { openLookups } from "../http/lookups.ts";
import { createServer, handleUnknownRoutes } from "../http/server.ts";
import type { RateLimits } from "../http/token-rate-limit.ts";
import { VERSION } from "../lib/version.ts";
import { mcpRoute } from "../mcp/routes.ts";
import { accessRoutes } from "../operator/access-routes.ts";
import { creditAdjustmentRoute } from "../operator/credit-routes.ts";
import { operatorFeedRoute } from "../operator/feed-routes.ts";
import { operatorGate } from "../operator/gate.ts";
import { ListedApproval, ListedPayment, ListedWebhook } from "../operator/list-schemas.ts";
import { pauseRoutes } from "../operator/pause-routes.ts";
import { requestRoutes } from "../operator/request-routes.ts";
import { operatorRoutes } from "../operator/routes.ts";
import { Account, Member, OperatorMilestone } from "../operator/schemas.ts";
import { operatorWebhookRoutes } from "../operator/webhook-routes.ts";
import { openSessions } from "../passkeys/session-deps.ts";
import { jwksRoute, receiptRoute } from "../receipts/routes.ts";
import { Receipt } from "../receipts/schemas.ts";
import { openReceiptKeys, type ReceiptKeys } from "../receipts/service.ts";
import { sendPage } from "../web/kit/layout.ts";
import { notFoundPage } from "../web/kit/pages.ts";
import { webRoutes } from "../web/routes.ts";
import { webhookActionRoutes, webhookRoutes } from "../webhooks/routes.ts";
import { Delivery, OperatorWebhook, Webhook } from "../webhooks/schemas.ts";
import { healthRoutes, metricsRoute } from "./health.ts";

export type AppDeps = {
  config: Config;
  db: Db;
  limits: RateLimits;
  tokenUses: TokenUses;
  waiters: Waiters;
  processor: Processor;
  boundaries?: BoundaryObserver | undefined;
  logger: Logger;
  /** Absent: the app stops at once. */
  draining?: Draining | undefined;
  /** Traces each request; absent: none is. */
  tracePlugin?: FastifyPluginCallback | undefined;
};

const SHARED_SCHEMAS = [
  Approval,
  Capabilities,
  JobDraftCapabilities,
  Budget,
  Charge,
  CreditEntry,
  CreditLedger,
  Credits,
  TopUp,
  TopUpAsked,
  Milestone,
  Contract,
  ContractWithBudget,
  OperatorContract,
  OperatorContractWithBudget,
  Event,
  Me,
  PaymentMethod,
  PendingPayment,
  Receipt,
  TokenMetadata,
  Updates,
  Delivery,
  Webhook,
  Account,
  Member,
  OperatorMilestone,
  ListedApproval,
  ListedPayment,
  ListedWebhook,
  OperatorEvent,
  OperatorUpdates,
  OperatorWebhook,
  AuditEntry,
];

/** Puts the whole service together: every route is listed here, and nowhere else. */
export async function createApp(given: AppDeps): Promise<App> {
  const { config, limits } = given;
  const deps = { ...given, receiptKeys: openReceiptKeys(config.receiptSeeds, config.receiptRetiredKeys) };
  const app = createServer({
    logger: deps.logger,
    trustProxy: config.trustProxy,
    publicUrl: config.publicUrl,
    draining: deps.draining,
    corsOrigins: config.corsOrigins,
  });
  if (deps.tracePlugin !== undefined) await app.register(deps.tracePlugin);
  // Requests that wait would hold up the stop.
  app.addHook("preClose", async () => deps.waiters.stop());
  for (const schema of SHARED_SCHEMAS) app.addSchema(schema);
  await describeApi(app, config);
  handleUnknownRoutes(app, (reply) => sendPage(reply, config.appName, 404, notFoundPage()));

  await app.register(async (api: App) => publicApi(api, deps), { prefix: "/api/public/v1" });
  await app.register(async (bare: App) => {
    bare.addHook("onRoute", (route) => {
      route.schema = { ...route.schema, hide: true };
    });
    await bareAliases(bare, deps);
  });
  if (config.operatorApiKeys.length > 0) {
    const operator = async (api: App): Promise<void> => {
      api.addHook("onRequest", operatorGate(config.operatorApiKeys, limits));
      operatorRoutes(api, deps);
      accessRoutes(api, deps, (accountId, userId) => voidSignatures(deps, accountId, userId));
      operatorFeedRoute(api, deps);
      operatorWebhookRoutes(api, deps);
      pauseRoutes(api, deps);
      creditAdjustmentRoute(api, deps);
      operatorDescriptionRoute(api);
      await api.register(async (scope: App) => requestRoutes(scope, deps));
    };
    await app.register(operator, { prefix: "/api/operator/v1" });
    await app.register(async (scope: App) => {
      scope.addHook("onRequest", operatorGate(config.operatorApiKeys, limits));
      metricsRoute(scope, deps.db, { by: "operator" });
    });
  }
  mcpRoute(app, { ...deps, version: VERSION });
  const agentAuth = openAgentAuth(deps.db, config, openLookups(limits, "agent-auth"));
  discoveryRoutes(app, config);
  jwksRoute(app, deps.receiptKeys);
  await app.register(async (api: App) => agentAuthRoutes(api, agentAuth), {
    prefix: "/api/agent",
  });
  machineDocsRoutes(app, config);
  healthRoutes(app, deps);
  await app.register(async (webhook: App) => processorRoutes(webhook, deps));
  const sessions = openSessions(deps.db, config, deps.logger);
  app.addHook("onClose", () => sessions.background.settled());
  const pageDeps = { ...sessions, ...agentAuth, ...deps, links: openLookups(limits, "link") };
  await app.register(async (pages: App) => webRoutes(pages, pageDeps, config));
  await serveApiReference(app);
  if (config.operatorApiKeys.length > 0) operatorPageRoute(app);
  return app;
}

type RouteDeps = AppDeps & { receiptKeys: ReceiptKeys };

async function publicApi(api: App, deps: RouteDeps): Promise<void> {
  await bareAliases(api, deps);
  contractRoutes(api, deps);
  createMilestoneRoute(api, deps);
  creditRoutes(api, deps);
  createTopUpRoute(api, deps);
  await api.register(async (scope: App) => endRoute(scope, deps));
  accountRoutes(api, deps);
  pendingPaymentsRoute(api, deps);
  await api.register(async (scope: App) => tokenRoutes(scope, deps));
  await api.register(async (scope: App) => revokeTokenRoute(scope, deps));
  webhookRoutes(api, deps);
  await api.register(async (scope: App) => webhookActionRoutes(scope, deps));
}

/** The calls that answer under the bare prefix too (docs/contract.md §0). */
async function bareAliases(api: App, deps: RouteDeps): Promise<void> {
  for (const route of [fundRoute, releaseRoute, withdrawRoute])
    await api.register(async (scope: App) => route(scope, deps));
  approvalRoute(api, deps);
  receiptRoute(api, deps);
  updatesRoute(api, deps);
}
