import { Type } from "@sinclair/typebox";
import type { FastifyRequest } from "fastify";
import type { CardForm, CardSetup } from "../../billing/processor.ts";
import { type BillingDeps, keepSetUpCard } from "../../billing/service.ts";
import type { TopUpDeps } from "../../billing/top-up-service.ts";
import type { App } from "../../http/app.ts";
import { isUuid } from "../../lib/ids.ts";
import { notFound } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { formToken } from "../../sign-in/form-token.ts";
import { type Human, openSessionGate } from "../../sign-in/gate.ts";
import { assertActs, PASSWORD_AT_MOST } from "../../sign-in/service.ts";
import { absentFault, proveNow } from "../kit/presence.ts";
import { show } from "../kit/site.ts";
import { cardProofField } from "./billing-page.ts";
import { changer, showBilling } from "./billing-routes.ts";
import { cardPage } from "./card-page.ts";

const Uuid = Type.String({ pattern: "^[0-9a-f-]{36}$" });
const Token = Type.String({ maxLength: 100 });
const strict = { additionalProperties: false };
const Begin = Type.Object(
  {
    accountId: Uuid,
    form_token: Token,
    approval: Type.Optional(Uuid),
    password: Type.Optional(Type.String({ maxLength: PASSWORD_AT_MOST })),
  },
  strict,
);
const Keep = Type.Object({ form_token: Token, approval: Type.Optional(Uuid) }, strict);
const Params = Type.Object({ setupId: Type.String({ pattern: "^seti_[A-Za-z0-9]{1,200}$" }) });
const Query = Type.Object({
  approval: Type.Optional(Type.Unsafe<unknown>({})),
  redirect_status: Type.Optional(Type.Unsafe<unknown>({})),
});

type Deps = SessionDeps & BillingDeps & TopUpDeps;

/**
 * How a person adds a card on the processor's own form. It begins with a POST, which makes a setup at the
 * processor; the page of the setup shows the form, and the browser comes back there when it is filled in. Only
 * then does a POST put the card on file: to open the page changes nothing.
 */
export function cardRoutes(app: App, deps: Deps, cardForm: CardForm): void {
  const begin = openSessionGate(deps, {
    purpose: (request) => `billing:${(request.body as { accountId: string }).accountId}`,
    returnTo: () => "/billing",
  });
  const page = openSessionGate(deps, {
    purpose: (request) => keepPurpose(setupIdOf(request)),
    // What Stripe adds to the address is a secret, and said enough when the person came.
    returnTo: (request) => pagePath(setupIdOf(request), approvalOf(request.query)),
  });

  app.post(
    "/billing/new-card",
    { ...begin.options, schema: { ...begin.options.schema, body: Begin } },
    async (request, reply) => {
      const { accountId, approval, password } = request.body;
      const human = changer(begin.human(request), accountId);
      const acting = await proveNow(deps, request, reply, human, password);
      if (acting === undefined) {
        const fault = absentFault(cardProofField(accountId), password);
        return showBilling(deps, reply, human, { approval, fault });
      }
      await assertActs(deps.db, acting, { id: accountId, may: "decide", unfrozen: true });
      return reply.redirect(pagePath(await cardForm.begin(accountId, human.userId), approval), 303);
    },
  );

  app.get(
    "/billing/cards/:setupId",
    { ...page.options, schema: { ...page.options.schema, params: Params, querystring: Query } },
    async (request, reply) => {
      const human = page.human(request);
      const { setupId } = request.params;
      const setup = own(human, setupId, await cardForm.find(setupId));
      const approval = approvalOf(request.query);
      const path = pagePath(setupId, undefined);
      const shown = cardPage({
        setup,
        accountName: accountOf(human, setup)?.accountName ?? "",
        publishableKey: cardForm.publishableKey,
        returnUrl: deps.config.publicUrl + pagePath(setupId, approval),
        path,
        formToken: formToken(deps.keys, human, keepPurpose(setupId)),
        approval,
        refused: request.query.redirect_status === "failed",
      });
      return show(deps, reply, shown, { human });
    },
  );

  app.post(
    "/billing/cards/:setupId",
    { ...page.options, schema: { ...page.options.schema, params: Params, body: Keep } },
    async (request, reply) => {
      const { setupId } = request.params;
      const { approval } = request.body;
      const human = page.human(request);
      own(human, setupId, await cardForm.find(setupId));
      const setup = await keepSetUpCard(deps, setupId, human);
      if (setup?.card === undefined) return reply.redirect(pagePath(setupId, approval), 303);
      return reply.redirect(approval === undefined ? "/billing?said=added" : `/approvals/${approval}`, 303);
    },
  );
}

/** @throws Problem not_found for a setup that the person has not begun, not_permitted for a viewer by now */
function own(human: Human, setupId: string, setup: CardSetup | undefined): CardSetup {
  if (setup?.userId !== human.userId || accountOf(human, setup) === undefined)
    throw notFound("cards", "setupId", setupId);
  changer(human, setup.accountId);
  return setup;
}

function accountOf({ memberships }: Human, { accountId }: CardSetup) {
  return memberships.find((membership) => membership.accountId === accountId);
}

function keepPurpose(setupId: string): string {
  return `keep-card:${setupId}`;
}

function setupIdOf(request: FastifyRequest): string {
  return (request.params as { setupId: string }).setupId;
}

function approvalOf(query: unknown): string | undefined {
  const { approval } = query as { approval?: unknown };
  return typeof approval === "string" && isUuid(approval) ? approval : undefined;
}

function pagePath(setupId: string, approval: string | undefined): string {
  return `/billing/cards/${encodeURIComponent(setupId)}${approval === undefined ? "" : `?approval=${approval}`}`;
}
