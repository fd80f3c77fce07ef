import { Type } from "@sinclair/typebox";
import type { FastifyRequest } from "fastify";
import { isFrozen } from "../../accounts/service.ts";
import { advanceTopUp, openCheckout } from "../../billing/checkout-service.ts";
import { readPause } from "../../billing/payment-service.ts";
import { findTopUpForHuman, type TopUpDeps } from "../../billing/top-up-service.ts";
import type { App } from "../../http/app.ts";
import { notFound } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { formToken } from "../../sign-in/form-token.ts";
import { type Human, openSessionGate } from "../../sign-in/gate.ts";
import { assertActs } from "../../sign-in/service.ts";
import { show } from "../kit/site.ts";
import { topUpPage } from "./top-up-page.ts";

const Params = Type.Object({ topUpId: Type.String() });
const Query = Type.Object({ returned: Type.Optional(Type.Unsafe<unknown>({})) });
const Form = Type.Object({ form_token: Type.String({ maxLength: 100 }) }, { additionalProperties: false });

type Deps = SessionDeps & TopUpDeps;

/** `/top-ups/{id}` (docs/contract.md §5): the page of a `checkoutUrl`. Opening it changes nothing and makes no call. */
export function topUpRoutes(app: App, deps: Deps): void {
  const page = openSessionGate(deps);
  const pay = openSessionGate(deps, { purpose: payPurpose, returnTo: pathOf });
  const look = openSessionGate(deps, { purpose: lookPurpose, returnTo: pathOf });

  app.get(
    "/top-ups/:topUpId",
    { ...page.options, schema: { ...page.options.schema, params: Params, querystring: Query } },
    async (request, reply) => {
      const human = page.human(request);
      const { topUp, membership } = await findOwn(deps, request, human);
      const view = {
        topUp,
        accountName: membership.accountName,
        over: topUp.expiresAt <= topUp.now,
        frozen: await isFrozen(deps.db, topUp.accountId),
        paused: (await readPause(deps.db)).paused,
        payPage: deps.processor.cardForm === undefined ? "the sandbox's page" : "Stripe's page",
        payToken: membership.role === "viewer" ? undefined : formToken(deps.keys, human, payPurpose(request)),
        lookToken: formToken(deps.keys, human, lookPurpose(request)),
        returned: request.query.returned !== undefined,
      };
      return show(deps, reply, topUpPage(view), { human });
    },
  );

  app.post(
    "/top-ups/:topUpId/checkout",
    { ...pay.options, schema: { ...pay.options.schema, params: Params, body: Form } },
    async (request, reply) => {
      const human = pay.human(request);
      const { topUp } = await findOwn(deps, request, human);
      await openCheckout(deps, topUp, human);
      return reply.redirect(pathOf(request), 303);
    },
  );

  app.post(
    "/top-ups/:topUpId/look",
    { ...look.options, schema: { ...look.options.schema, params: Params, body: Form } },
    async (request, reply) => {
      const human = look.human(request);
      const { topUp } = await findOwn(deps, request, human);
      await assertActs(deps.db, human, { id: topUp.accountId, may: "read" });
      await advanceTopUp(deps, topUp).catch((error: unknown) =>
        request.log.warn({ reqId: request.id, err: error }, "the outcome of a top-up is not known yet"),
      );
      return reply.redirect(pathOf(request), 303);
    },
  );
}

/** @throws Problem not_found for a top-up that is of none of the person's accounts */
async function findOwn(deps: Deps, request: FastifyRequest, { memberships }: Human) {
  const id = topUpIdOf(request);
  const topUp = await findTopUpForHuman(
    deps.db,
    memberships.map(({ accountId }) => accountId),
    id,
  );
  const membership = memberships.find(({ accountId }) => accountId === topUp?.accountId);
  if (topUp === undefined || membership === undefined) throw notFound("topUps", "topUpId", id);
  return { topUp, membership };
}

const topUpIdOf = (request: FastifyRequest): string => (request.params as { topUpId: string }).topUpId;
const pathOf = (request: FastifyRequest): string => `/top-ups/${encodeURIComponent(topUpIdOf(request))}`;
const payPurpose = (request: FastifyRequest): string => `top-up:pay:${topUpIdOf(request)}`;
const lookPurpose = (request: FastifyRequest): string => `top-up:look:${topUpIdOf(request)}`;
