import { Type } from "@sinclair/typebox";
import type { CardForm, CardSetup } from "../../billing/processor.ts";
import { type BillingDeps, keepSetUpCard } from "../../billing/service.ts";
import type { TopUpDeps } from "../../billing/top-up-service.ts";
import type { App } from "../../http/app.ts";
import { isUuid } from "../../lib/ids.ts";
import { notFound } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { formToken } from "../../sign-in/form-token.ts";
import type { Human } from "../../sign-in/gate.ts";
import { assertActs } from "../../sign-in/service.ts";
import { managedBy } from "../kit/memberships.ts";
import { type Answer, PASSWORD, personForm, personPage, UUID } from "../kit/person-routes.ts";
import { absentFault, proveNow } from "../kit/presence.ts";
import { leadToFault } from "../kit/said.ts";
import { show } from "../kit/site.ts";
import { cardProofField } from "./billing-page.ts";
import { billingPath, cardsPurpose } from "./billing-routes.ts";
import { cardPage } from "./card-page.ts";

const PARAMS = { setupId: Type.String({ pattern: "^seti_[A-Za-z0-9]{1,200}$" }) };

type Deps = SessionDeps & BillingDeps & TopUpDeps;

/**
 * How a person adds a card on the processor's own form. It begins with a POST, which creates a setup at the processor.
 * The setup's page shows the form, and the browser returns there when it is complete. Only then a POST adds the card:
 * opening the page changes nothing.
 */
export function cardRoutes(app: App, deps: Deps, cardForm: CardForm): void {
  const begin = personForm(app, deps, {
    fields: { accountId: UUID, approval: Type.Optional(UUID), ...PASSWORD },
    purpose: cardsPurpose,
    returnTo: () => "/billing",
  });
  begin("/billing/new-card", async ({ human, body, request }, reply) => {
    const { accountId, approval, password } = body;
    managedBy(human, accountId);
    const acting = await proveNow(deps, request, reply, human, password);
    if (acting === undefined) {
      const fault = absentFault(cardProofField(accountId), password);
      return leadToFault(deps, reply, human, billingPath(approval), fault);
    }
    await assertActs(deps.db, acting, { id: accountId, may: "decide", unfrozen: true });
    return reply.redirect(pagePath(await cardForm.begin(accountId, human.userId), approval), 303);
  });

  const path = "/billing/cards/:setupId";
  const page: Answer<typeof PARAMS> = async ({ human, params: { setupId }, query }, reply) => {
    const { setup, accountName } = own(human, setupId, await cardForm.find(setupId));
    const approval = approvalOf(query);
    const shown = cardPage({
      setup,
      accountName,
      publishableKey: cardForm.publishableKey,
      returnUrl: deps.config.publicUrl + pagePath(setupId, approval),
      path: pagePath(setupId, undefined),
      formToken: formToken(deps.keys, human, keepPurpose(setupId)),
      approval,
      refused: query.redirect_status === "failed",
    });
    return show(deps, reply, shown, { human });
  };
  // What Stripe adds to the address is a secret: a person who signs in returns to the address without it.
  personPage(app, deps, path, page, PARAMS, ({ setupId }, query) => pagePath(setupId, approvalOf(query)));

  const keep = personForm(app, deps, {
    params: PARAMS,
    fields: { approval: Type.Optional(UUID) },
    purpose: ({ params }) => keepPurpose(params.setupId),
    returnTo: ({ setupId }) => pagePath(setupId, undefined),
  });
  keep(path, async ({ human, params: { setupId }, body: { approval } }, reply) => {
    own(human, setupId, await cardForm.find(setupId));
    const setup = await keepSetUpCard(deps, setupId, human);
    if (setup?.card === undefined) return reply.redirect(pagePath(setupId, approval), 303);
    return reply.redirect(approval === undefined ? "/billing?said=added" : `/approvals/${approval}`, 303);
  });
}

/** @throws Problem not_found for a setup that the person has not begun, not_permitted for a viewer by now */
function own(human: Human, setupId: string, setup: CardSetup | undefined) {
  const account = human.memberships.find(({ accountId }) => accountId === setup?.accountId);
  if (setup?.userId !== human.userId || account === undefined) throw notFound("cards", "setupId", setupId);
  return { setup, accountName: managedBy(human, account.accountId).accountName };
}

function keepPurpose(setupId: string): string {
  return `keep-card:${setupId}`;
}

function approvalOf({ approval }: Readonly<Record<string, string | undefined>>): string | undefined {
  return approval !== undefined && isUuid(approval) ? approval : undefined;
}

function pagePath(setupId: string, approval: string | undefined): string {
  return `/billing/cards/${encodeURIComponent(setupId)}${approval === undefined ? "" : `?approval=${approval}`}`;
}
