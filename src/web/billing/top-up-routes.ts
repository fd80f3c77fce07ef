import { Type } from "@sinclair/typebox";
import { isFrozen } from "../../accounts/service.ts";
import { advanceTopUp, openCheckout } from "../../billing/checkout-service.ts";
import { readPause } from "../../billing/payment-service.ts";
import { findTopUpForHuman, type TopUpDeps } from "../../billing/top-up-service.ts";
import type { App } from "../../http/app.ts";
import { notFound } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { formToken } from "../../sign-in/form-token.ts";
import type { Human } from "../../sign-in/gate.ts";
import { assertActs } from "../../sign-in/service.ts";
import { manages } from "../kit/memberships.ts";
import { type Answer, personForm, personPage } from "../kit/person-routes.ts";
import { show } from "../kit/site.ts";
import { topUpPage } from "./top-up-page.ts";

const PARAMS = { topUpId: Type.String() };

type Deps = SessionDeps & TopUpDeps;

/** `/top-ups/{id}` (docs/contract.md §5): the page of a `checkoutUrl`. Opening it changes nothing and makes no call. */
export function topUpRoutes(app: App, deps: Deps): void {
  const path = "/top-ups/:topUpId";
  const page: Answer<typeof PARAMS> = async ({ human, params: { topUpId }, query }, reply) => {
    const { topUp, membership } = await findOwn(deps, topUpId, human);
    const view = {
      topUp,
      accountName: membership.accountName,
      over: topUp.expiresAt <= topUp.now,
      frozen: await isFrozen(deps.db, topUp.accountId),
      paused: (await readPause(deps.db)).paused,
      payPage: deps.processor.cardForm === undefined ? "the sandbox's page" : "Stripe's page",
      payToken: manages(membership) ? formToken(deps.keys, human, payPurpose(topUpId)) : undefined,
      lookToken: formToken(deps.keys, human, lookPurpose(topUpId)),
      returned: query.returned !== undefined,
    };
    return show(deps, reply, topUpPage(view), { human });
  };
  personPage(app, deps, path, page, PARAMS);
  const common = {
    params: PARAMS,
    fields: {},
    returnTo: ({ topUpId }: { topUpId: string }) => pathOf(topUpId),
  };

  const pay = personForm(app, deps, { ...common, purpose: ({ params }) => payPurpose(params.topUpId) });
  pay(`${path}/checkout`, async ({ human, params: { topUpId } }, reply) => {
    const { topUp } = await findOwn(deps, topUpId, human);
    await openCheckout(deps, topUp, human);
    return reply.redirect(pathOf(topUpId), 303);
  });

  const look = personForm(app, deps, { ...common, purpose: ({ params }) => lookPurpose(params.topUpId) });
  look(`${path}/look`, async ({ human, params: { topUpId }, request }, reply) => {
    const { topUp } = await findOwn(deps, topUpId, human);
    await assertActs(deps.db, human, { id: topUp.accountId, may: "read" });
    await advanceTopUp(deps, topUp).catch((error: unknown) =>
      request.log.warn({ reqId: request.id, err: error }, "the outcome of a top-up is not known yet"),
    );
    return reply.redirect(pathOf(topUpId), 303);
  });
}

/** @throws Problem not_found for a top-up that is of none of the person's accounts */
async function findOwn(deps: Deps, id: string, { memberships }: Human) {
  const accountIds = memberships.map(({ accountId }) => accountId);
  const topUp = await findTopUpForHuman(deps.db, accountIds, id);
  const membership = memberships.find(({ accountId }) => accountId === topUp?.accountId);
  if (topUp === undefined || membership === undefined) throw notFound("credit-top-ups", "topUpId", id);
  return { topUp, membership };
}

const pathOf = (topUpId: string): string => `/top-ups/${encodeURIComponent(topUpId)}`;
const payPurpose = (topUpId: string): string => `top-up:pay:${topUpId}`;
const lookPurpose = (topUpId: string): string => `top-up:look:${topUpId}`;
