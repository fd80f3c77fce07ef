import { readFileSync } from "node:fs";
import formBody from "@fastify/formbody";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { RequestDeps } from "../approvals/request-service.ts";
import type { BillingDeps } from "../billing/service.ts";
import type { Logo } from "../config/logo.ts";
import type { App } from "../http/app.ts";
import { toProblem } from "../http/errors.ts";
import { findOpenable } from "../http/route-list.ts";
import { problemRow } from "../lib/problems.ts";
import type { SessionDeps } from "../passkeys/session-deps.ts";
import { readHuman } from "../sign-in/gate.ts";
import type { WebhookDeps } from "../webhooks/service.ts";
import { approvalPageRoutes } from "./approvals/approval-routes.ts";
import type { ApprovalPageDeps } from "./approvals/approval-view.ts";
import { type ReceiptPageDeps, receiptPageRoutes } from "./approvals/receipt-routes.ts";
import { billingRoutes } from "./billing/billing-routes.ts";
import { cardRoutes } from "./billing/card-routes.ts";
import { sandboxCheckoutRoutes } from "./billing/sandbox-checkout-routes.ts";
import { sandboxRoutes } from "./billing/sandbox-routes.ts";
import { topUpRoutes } from "./billing/top-up-routes.ts";
import { contractRoutes } from "./contracts/contract-routes.ts";
import { type ClaimPageDeps, claimRoutes } from "./entry/claim-routes.ts";
import { inviteRoutes } from "./entry/invite-routes.ts";
import type { LinkDeps } from "./entry/link-view.ts";
import { mailboxRoutes } from "./entry/mailbox-routes.ts";
import { passkeySignInRoutes } from "./entry/passkey-sign-in-routes.ts";
import { resetRoutes } from "./entry/reset-routes.ts";
import { signInRoutes } from "./entry/sign-in-routes.ts";
import { encodeAsset, FOREVER, listAssets } from "./kit/assets.ts";
import * as pages from "./kit/pages.ts";
import { problemPage } from "./kit/problem-page.ts";
import { show } from "./kit/site.ts";
import { activityRoutes } from "./settings/activity/activity-routes.ts";
import { pendingRoutes } from "./settings/changes/pending-routes.ts";
import { keyRoutes } from "./settings/keys/key-routes.ts";
import { memberRoutes } from "./settings/members/member-routes.ts";
import type { MemberPageDeps } from "./settings/members/member-view.ts";
import { upgradeRoutes } from "./settings/members/upgrade-routes.ts";
import { policyRoutes } from "./settings/policy/policy-routes.ts";
import { passkeyConsentRoutes } from "./settings/security/passkey-consent-routes.ts";
import { passkeyRoutes } from "./settings/security/passkey-routes.ts";
import { securityRoutes } from "./settings/security/security-routes.ts";
import { webhookPageRoutes } from "./settings/webhooks/webhook-routes.ts";

const A_DAY = "public, max-age=86400";
const TOUCH_ICON = readFileSync(new URL("./assets/touch-icon.png", import.meta.url));
/** Search engines find the first page, the documents for agents, and no page of any account. */
const ROBOTS = "User-agent: *\nAllow: /$\nAllow: /llms.txt\nAllow: /auth.md\nAllow: /docs\nDisallow: /\n";

export type WebDeps = SessionDeps &
  LinkDeps &
  ApprovalPageDeps &
  BillingDeps &
  WebhookDeps &
  MemberPageDeps &
  ClaimPageDeps &
  ReceiptPageDeps &
  RequestDeps;

/** The pages for people (docs/contract.md §7), and what they are drawn with. GET changes nothing. */
export async function webRoutes(
  app: App,
  deps: WebDeps,
  { demo, logo }: { demo: boolean; logo: Logo },
): Promise<void> {
  await app.register(formBody);
  refuseWithPages(app, deps);
  plainPages(app, deps);
  signInRoutes(app, deps);
  passkeySignInRoutes(app, deps);
  inviteRoutes(app, deps);
  claimRoutes(app, deps);
  approvalPageRoutes(app, deps);
  receiptPageRoutes(app, deps);
  contractRoutes(app, deps);
  billingRoutes(app, deps);
  topUpRoutes(app, deps);
  if (deps.processor.cardForm === undefined) {
    sandboxRoutes(app, deps);
    sandboxCheckoutRoutes(app, deps);
  } else cardRoutes(app, deps, deps.processor.cardForm);
  resetRoutes(app, deps);
  settingsRoute(app);
  keyRoutes(app, deps);
  memberRoutes(app, deps);
  upgradeRoutes(app, deps);
  pendingRoutes(app, deps);
  policyRoutes(app, deps);
  securityRoutes(app, deps);
  passkeyRoutes(app, deps);
  passkeyConsentRoutes(app, deps);
  webhookPageRoutes(app, deps);
  activityRoutes(app, deps);
  if (demo) await app.register(async (scope: App) => mailboxRoutes(scope, deps));
  assetRoutes(app, logo);
}

/** Within `app`, whatever refuses answers with a page. */
function refuseWithPages(app: App, deps: SessionDeps): void {
  app.setErrorHandler(async (error, request, reply) => {
    const problem = toProblem(error);
    if (problem.problem === "internal_error")
      request.log.error({ reqId: request.id, err: error }, "unforeseen error");
    const wait = problem.details?.retryAfterSeconds;
    if (typeof wait === "number") reply.header("retry-after", wait);
    const { status } = problemRow(problem.problem);
    // Where it is our side that fails, looking for who asks might fail too.
    const human = status < 500 ? await readHuman(deps, request).catch(() => undefined) : undefined;
    return show(
      deps,
      reply,
      problemPage(problem, {
        id: request.id,
        changes: request.method !== "GET" && request.method !== "HEAD",
        // What goes wrong once a decision is recorded is answered by its own route.
        decides: request.routeOptions.url?.startsWith("/approvals/") === true,
        back: findOpenable(app, request.url),
        email: human?.email,
      }),
      { status, human },
    );
  });
}

function plainPages(app: App, deps: SessionDeps): void {
  const options = { config: { access: { by: "public" as const } }, schema: { hide: true as const } };
  app.get("/", options, async (request, reply) => {
    if ((await readHuman(deps, request)) !== undefined) return reply.redirect("/approvals", 303);
    return show(deps, reply, pages.homePage(deps.config.appName));
  });
  app.get("/sign-up", options, async (request, reply) =>
    show(deps, reply, pages.signUpPage, { human: await readHuman(deps, request) }),
  );
}

/** Where the navigation leads to; each part of the settings has an address of its own. */
function settingsRoute(app: App): void {
  app.get(
    "/settings",
    { config: { access: { by: "public" } }, schema: { hide: true } },
    async (_request, reply) => reply.redirect("/settings/keys", 303),
  );
}

/** What pages load, and what browsers and crawlers ask every site for. */
function assetRoutes(app: App, logo: Logo): void {
  const open = { config: { access: { by: "public" as const } }, schema: { hide: true } };
  for (const asset of listAssets()) {
    app.get(asset.url, open, async (request, reply) => {
      const { encoding, body } = encodeAsset(asset, request.headers["accept-encoding"]);
      if (encoding !== "identity") reply.header("content-encoding", encoding);
      return reply.headers({ "cache-control": FOREVER, vary: "Accept-Encoding" }).type(asset.type).send(body);
    });
  }
  const sendLogo = async (_request: FastifyRequest, reply: FastifyReply) =>
    reply
      // An SVG that is opened by itself is a page, with whatever the operator's file holds.
      .header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
      .header("cache-control", A_DAY)
      .type(logo.type)
      .send(logo.content);
  app.get("/assets/logo", open, sendLogo);
  app.get("/favicon.ico", open, sendLogo);
  app.get("/apple-touch-icon.png", open, async (request, reply) =>
    logo.type === "image/png"
      ? sendLogo(request, reply)
      : reply.header("cache-control", A_DAY).type("image/png").send(TOUCH_ICON),
  );
  app.get("/robots.txt", open, async (_request, reply) =>
    reply.header("cache-control", A_DAY).type("text/plain; charset=utf-8").send(ROBOTS),
  );
}
