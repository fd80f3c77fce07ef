import { readFileSync } from "node:fs";
import formBody from "@fastify/formbody";
import type { RequestDeps } from "../approvals/request-service.ts";
import type { BillingDeps } from "../billing/service.ts";
import type { Logo } from "../config/logo.ts";
import type { App } from "../http/app.ts";
import { toProblem } from "../http/errors.ts";
import { problemRow } from "../lib/problems.ts";
import type { SessionDeps } from "../sessions/service.ts";
import { readHuman } from "../sign-in/gate.ts";
import type { WebhookDeps } from "../webhooks/service.ts";
import { approvalPageRoutes } from "./approval-routes.ts";
import type { ApprovalPageDeps } from "./approval-view.ts";
import { billingRoutes } from "./billing-routes.ts";
import { cardRoutes } from "./card-routes.ts";
import { type ClaimPageDeps, claimRoutes } from "./claim-routes.ts";
import { contractRoutes } from "./contracts/contract-routes.ts";
import { inviteRoutes } from "./invite-routes.ts";
import { keyRoutes } from "./key-routes.ts";
import type { Page } from "./layout.ts";
import { mailboxRoutes } from "./mailbox-routes.ts";
import { type MemberPageDeps, memberRoutes } from "./member-routes.ts";
import * as pages from "./pages.ts";
import { passkeyConsentRoutes } from "./passkey-consent-routes.ts";
import { passkeyRoutes } from "./passkey-routes.ts";
import { passkeySignInRoutes } from "./passkey-sign-in-routes.ts";
import { problemPage } from "./problem-page.ts";
import { type ReceiptPageDeps, receiptPageRoutes } from "./receipt-routes.ts";
import { resetRoutes } from "./reset-routes.ts";
import { sandboxRoutes } from "./sandbox-routes.ts";
import { securityRoutes } from "./security-routes.ts";
import { signInRoutes } from "./sign-in-routes.ts";
import { show } from "./site.ts";
import { upgradeRoutes } from "./upgrade-routes.ts";
import { webhookPageRoutes } from "./webhook-routes.ts";

const ASSETS = [
  { url: "/assets/style.css", type: "text/css; charset=utf-8", file: "style.css" },
  { url: "/assets/card.js", type: "text/javascript; charset=utf-8", file: "card.js" },
  { url: "/assets/co-sign.js", type: "text/javascript; charset=utf-8", file: "co-sign.js" },
  { url: "/assets/passkeys.js", type: "text/javascript; charset=utf-8", file: "passkeys.js" },
  { url: "/assets/send.js", type: "text/javascript; charset=utf-8", file: "send.js" },
  { url: "/assets/webauthn.js", type: "text/javascript; charset=utf-8", file: "webauthn.js" },
  { url: "/assets/zone.js", type: "text/javascript; charset=utf-8", file: "zone.js" },
] as const;

export type WebDeps = SessionDeps &
  ApprovalPageDeps &
  BillingDeps &
  WebhookDeps &
  MemberPageDeps &
  ClaimPageDeps &
  ReceiptPageDeps &
  RequestDeps;

/** The pages for people (CONTRACT.md §7), and what they are drawn with. GET changes nothing. */
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
  if (deps.processor.cardForm === undefined) sandboxRoutes(app, deps);
  else cardRoutes(app, deps, deps.processor.cardForm);
  resetRoutes(app, deps);
  settingsRoute(app);
  keyRoutes(app, deps);
  memberRoutes(app, deps);
  upgradeRoutes(app, deps);
  securityRoutes(app, deps);
  passkeyRoutes(app, deps);
  passkeyConsentRoutes(app, deps);
  webhookPageRoutes(app, deps);
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
    return show(deps, reply, problemPage(problem, request.id), { status, human });
  });
}

function plainPages(app: App, deps: SessionDeps): void {
  const page = (url: string, content: Page): void => {
    app.get(url, { config: { access: { by: "public" } }, schema: { hide: true } }, async (request, reply) =>
      show(deps, reply, content, { human: await readHuman(deps, request) }),
    );
  };
  page("/", pages.homePage(deps.config.appName));
  page("/sign-up", pages.signUpPage);
}

/** Where the navigation leads to; each part of the settings has an address of its own. */
function settingsRoute(app: App): void {
  app.get(
    "/settings",
    { config: { access: { by: "public" } }, schema: { hide: true } },
    async (_request, reply) => reply.redirect("/settings/keys", 303),
  );
}

function assetRoutes(app: App, logo: Logo): void {
  for (const { url, type, file } of ASSETS) {
    const content = readFileSync(new URL(file, import.meta.url));
    app.get(url, { config: { access: { by: "public" } }, schema: { hide: true } }, async (_request, reply) =>
      reply.type(type).send(content),
    );
  }
  // An SVG that is opened by itself is a page, with whatever the operator's file holds.
  app.get(
    "/assets/logo",
    { config: { access: { by: "public" } }, schema: { hide: true } },
    async (_request, reply) =>
      reply
        .header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
        .type(logo.type)
        .send(logo.content),
  );
}
