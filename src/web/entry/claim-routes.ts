import { type Static, Type } from "@sinclair/typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import { isClaimSecret } from "../../agent-auth/claim-rules.ts";
import {
  type Claimant,
  type ClaimOutcome,
  type ClaimView,
  claimAccount,
  viewClaim,
} from "../../agent-auth/claim-service.ts";
import { type AgentAuthDeps, canClaim } from "../../agent-auth/service.ts";
import type { App } from "../../http/app.ts";
import { requireSameOrigin } from "../../http/same-origin.ts";
import { isVisible } from "../../lib/names.ts";
import { Problem } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { checkFormToken } from "../../sign-in/form-token.ts";
import { type Human, readHuman } from "../../sign-in/gate.ts";
import { passwordFault } from "../../sign-in/service.ts";
import type { Fault } from "../kit/forms.ts";
import { passkeyOffer } from "../kit/presence.ts";
import { callerOf, show, tokenField } from "../kit/site.ts";
import {
  claimedPage,
  claimFormPage,
  claimMailPage,
  claimOverPage,
  claimPage,
  type Filled,
  UNFILLED,
} from "./claim-pages.ts";
import { followLink, type LinkDeps } from "./link-view.ts";

const DONE = "/claim?said=claimed";
const NAME_AT_MOST = 200;
const SIX_DIGITS = /^\d{6}$/;

const Query = Type.Object({
  token: Type.Optional(Type.Unsafe<unknown>({})),
  said: Type.Optional(Type.Unsafe<unknown>({})),
});
const ClaimForm = Type.Object({
  token: Type.String({ maxLength: 100 }),
  code: Type.String({ maxLength: 100 }),
  payments_write: Type.Optional(Type.Literal("yes")),
  webhooks_manage: Type.Optional(Type.Literal("yes")),
  name: Type.Optional(Type.String({ maxLength: 1024 })),
  password: Type.Optional(Type.String({ maxLength: 1024 })),
  form_token: Type.Optional(Type.String({ maxLength: 100 })),
});
type ClaimForm = Static<typeof ClaimForm>;

export type ClaimPageDeps = SessionDeps & AgentAuthDeps & LinkDeps;

/** `/claim` (docs/contract.md §6, §7): GET shows a claim, POST makes it. */
export function claimRoutes(app: App, deps: ClaimPageDeps): void {
  const access = { config: { access: { by: "public" as const } } };

  const viewOf = (request: FastifyRequest, secret: string): Promise<ClaimView | undefined> =>
    followLink(deps, request, secret, isClaimSecret, () => viewClaim(deps, secret));

  const present = async (
    reply: FastifyReply,
    secret: string,
    human: Human | undefined,
    { filled = UNFILLED, fault }: { filled?: Filled; fault?: Fault } = {},
  ): Promise<FastifyReply> => {
    const view = await viewOf(reply.request, secret);
    if (view?.state !== "open") {
      return show(deps, reply, claimOverPage(view?.state ?? "unknown"), { human, status: 410 });
    }
    if (!view.mailed) {
      return show(deps, reply, claimMailPage(view, { mailed: canClaim(deps.config) }), { human });
    }
    const visitor = human && { email: human.email, tokenField: tokenField(deps, human, purposeOf(view)) };
    const page = claimFormPage(view, secret, visitor, filled, fault);
    return show(deps, reply, page, { human, status: fault === undefined ? 200 : 422 });
  };

  app.get("/claim", { ...access, schema: { hide: true, querystring: Query } }, async (request, reply) => {
    const { token, said } = request.query;
    const human = await readHuman(deps, request);
    if (typeof token === "string") return present(reply, token, human);
    const page =
      said === "claimed"
        ? claimedPage(await passkeyOffer(deps, human, "/approvals"))
        : claimPage({ mailed: canClaim(deps.config) });
    return show(deps, reply, page, { human });
  });

  app.post(
    "/claim",
    {
      ...access,
      onRequest: requireSameOrigin(deps.config.publicUrl),
      schema: { hide: true, body: ClaimForm },
    },
    async (request, reply) => {
      const { body } = request;
      const human = await readHuman(deps, request);
      const view = await viewOf(request, body.token);
      if (view === undefined || !mayClaim(view, human)) return present(reply, body.token, human);
      if (human !== undefined && !checkFormToken(deps.keys, human, purposeOf(view), body.form_token)) {
        throw new Problem("form_refused");
      }
      const filled = filledIn(body);
      const fault = faultIn(body, human, { email: view.email, appName: deps.config.appName });
      if (fault !== undefined) return present(reply, body.token, human, { filled, fault });
      const outcome = await claim(deps, request, body, human);
      if (typeof outcome === "object" && "claimed" in outcome) {
        if (outcome.cookie !== undefined) reply.header("set-cookie", outcome.cookie);
        return reply.redirect(DONE, 303);
      }
      if (typeof outcome === "string") return present(reply, body.token, human);
      return present(reply, body.token, human, { filled, fault: wrongCode(outcome.triesLeft) });
    },
  );
}

/** Whether the sender of the form could claim: new here, or signed in as the person who was named. */
function mayClaim(view: ClaimView, human: Human | undefined): boolean {
  if (!view.mailed || view.state !== "open") return false;
  return human === undefined ? !view.known : human.email === view.email;
}

function claim(
  deps: ClaimPageDeps,
  request: FastifyRequest,
  body: ClaimForm,
  human: Human | undefined,
): Promise<ClaimOutcome> {
  const { paymentsWrite, webhooksManage, name } = filledIn(body);
  const answer = { code: codeIn(body), permissions: { paymentsWrite, webhooksManage } };
  const claimant: Claimant = human ?? { name, password: body.password ?? "" };
  return claimAccount(deps, body.token, answer, claimant, callerOf(request));
}

function filledIn({ payments_write, webhooks_manage, name }: ClaimForm): Filled {
  return {
    paymentsWrite: payments_write === "yes",
    webhooksManage: webhooks_manage === "yes",
    name: name?.trim() ?? "",
  };
}

function codeIn({ code }: ClaimForm): string {
  return code.replaceAll(/[\s-]/g, "");
}

/** What is wrong with a form, for its person; found before it counts as a try. */
function faultIn(
  body: ClaimForm,
  human: Human | undefined,
  about: { email: string; appName: string },
): Fault | undefined {
  if (!SIX_DIGITS.test(codeIn(body)))
    return { field: "code", message: "Enter the six-digit code that your agent shows you." };
  if (human !== undefined) return undefined;
  const { name } = filledIn(body);
  if (!isVisible(name)) return { field: "name", message: "Enter your name." };
  if (name.length > NAME_AT_MOST)
    return { field: "name", message: `Use at most ${NAME_AT_MOST} characters.` };
  const message = passwordFault(body.password ?? "", { ...about, name });
  return message === undefined ? undefined : { field: "password", message };
}

function wrongCode(triesLeft: number): Fault {
  const left = triesLeft === 1 ? "You have 1 try left" : `You have ${triesLeft} tries left`;
  return { field: "code", message: `That code isn’t right. ${left}.` };
}

function purposeOf({ accountId }: ClaimView): string {
  return `claim:${accountId}`;
}
