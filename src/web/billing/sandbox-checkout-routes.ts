import { Type } from "@sinclair/typebox";
import type { FastifyRequest } from "fastify";
import { advanceTopUp } from "../../billing/checkout-service.ts";
import { findCheckout, payCheckout, TEST_CARD_NUMBERS } from "../../billing/sandbox-client.ts";
import type { TopUpDeps } from "../../billing/top-up-service.ts";
import type { App } from "../../http/app.ts";
import { notFound, Problem } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { type Human, openSessionGate } from "../../sign-in/gate.ts";
import { assertActs } from "../../sign-in/service.ts";
import { show, tokenField } from "../kit/site.ts";
import { sandboxCheckoutPage } from "./top-up-page.ts";

const Params = Type.Object({ sessionId: Type.String({ pattern: "^cs_[0-9a-f]{24}$" }) });
const Form = Type.Object(
  { number: Type.String({ maxLength: 40 }), form_token: Type.String({ maxLength: 100 }) },
  { additionalProperties: false },
);

/** The page that stands in for Stripe's Checkout, and takes test cards. */
export function sandboxCheckoutRoutes(app: App, deps: SessionDeps & TopUpDeps): void {
  const sessionIdOf = (request: FastifyRequest) => (request.params as { sessionId: string }).sessionId;
  const purpose = (request: FastifyRequest) => `sandbox-checkout:${sessionIdOf(request)}`;
  const gate = openSessionGate(deps, { purpose, returnTo: () => "/billing" });

  async function findOwn(request: FastifyRequest, human: Human) {
    const id = sessionIdOf(request);
    const session = await findCheckout(deps.db, id);
    const member = human.memberships.find(({ accountId }) => accountId === session?.account_id);
    if (session?.status !== "open" || member === undefined) throw notFound("sessions", "sessionId", id);
    if (member.role === "viewer") throw new Problem("not_permitted");
    const topUpId = session.metadata.topUpId ?? "";
    const shown = {
      id,
      amountCents: session.amount_cents,
      currency: session.currency,
      returnPath: `/top-ups/${topUpId}`,
    };
    return { session, shown, topUp: { accountId: session.account_id, id: topUpId } };
  }

  app.get(
    "/sandbox/checkout/:sessionId",
    { ...gate.options, schema: { ...gate.options.schema, params: Params } },
    async (request, reply) => {
      const human = gate.human(request);
      const { shown } = await findOwn(request, human);
      const token = tokenField(deps, human, purpose(request));
      return show(deps, reply, sandboxCheckoutPage(shown, token, undefined), { human });
    },
  );

  app.post(
    "/sandbox/checkout/:sessionId",
    { ...gate.options, schema: { ...gate.options.schema, params: Params, body: Form } },
    async (request, reply) => {
      const human = gate.human(request);
      const { session, shown, topUp } = await findOwn(request, human);
      await assertActs(deps.db, human, { id: session.account_id, may: "decide" });
      const paymentMethod = TEST_CARD_NUMBERS.get(request.body.number.replaceAll(/[\s-]/g, ""));
      const message =
        paymentMethod === undefined
          ? "That is not the number of a test card. Nothing was paid; never type a real one here."
          : await payCheckout(deps.db, session, paymentMethod);
      if (message !== undefined) {
        const fault = { field: "number", message };
        const token = tokenField(deps, human, purpose(request));
        return show(deps, reply, sandboxCheckoutPage(shown, token, fault), { human, status: 422 });
      }
      // A real processor would send its event now.
      await advanceTopUp(deps, topUp);
      return reply.redirect(shown.returnPath, 303);
    },
  );
}
