import { Type } from "@sinclair/typebox";
import { advanceTopUp } from "../../billing/checkout-service.ts";
import { findSession, payCheckout, TEST_CARD_NUMBERS } from "../../billing/sandbox-client.ts";
import type { TopUpDeps } from "../../billing/top-up-service.ts";
import type { App } from "../../http/app.ts";
import { notFound } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import type { Human } from "../../sign-in/gate.ts";
import { assertActs } from "../../sign-in/service.ts";
import { managedBy } from "../kit/memberships.ts";
import { type Answer, personForm, personPage } from "../kit/person-routes.ts";
import { leadToFault, takeFault } from "../kit/said.ts";
import { show, tokenField } from "../kit/site.ts";
import { sandboxCheckoutPage } from "./top-up-page.ts";

const PARAMS = { sessionId: Type.String({ pattern: "^cs_[0-9a-f]{24}$" }) };
const purpose = (sessionId: string) => `sandbox-checkout:${sessionId}`;

/** The page that stands in for Stripe's Checkout, and takes test cards. */
export function sandboxCheckoutRoutes(app: App, deps: SessionDeps & TopUpDeps): void {
  const path = "/sandbox/checkout/:sessionId";
  const returnTo = () => "/billing";

  async function findOwn(id: string, human: Human) {
    const session = await findSession(deps.db, id);
    const member = human.memberships.find(({ accountId }) => accountId === session?.account_id);
    if (session?.status !== "open" || member === undefined) throw notFound("sessions", "sessionId", id);
    managedBy(human, session.account_id);
    const topUpId = session.metadata.topUpId ?? "";
    const shown = {
      id,
      amountCents: session.amount_cents,
      currency: session.currency,
      returnPath: `/top-ups/${topUpId}`,
    };
    return { session, shown, topUp: { accountId: session.account_id, id: topUpId } };
  }

  const page: Answer<typeof PARAMS> = async ({ human, params: { sessionId }, request }, reply) => {
    const { shown } = await findOwn(sessionId, human);
    const token = tokenField(deps, human, purpose(sessionId));
    const { fault } = takeFault(deps, request, reply, human);
    return show(deps, reply, sandboxCheckoutPage(shown, token, fault), { human });
  };
  personPage(app, deps, path, page, PARAMS, returnTo);

  const form = personForm(app, deps, {
    params: PARAMS,
    fields: { number: Type.String({ maxLength: 40 }) },
    purpose: ({ params }) => purpose(params.sessionId),
    returnTo,
  });
  form(path, async ({ human, params: { sessionId }, body, request }, reply) => {
    const { session, shown, topUp } = await findOwn(sessionId, human);
    await assertActs(deps.db, human, { id: session.account_id, may: "decide" });
    const paymentMethod = TEST_CARD_NUMBERS.get(body.number.replaceAll(/[\s-]/g, ""));
    const message =
      paymentMethod === undefined
        ? "That is not the number of a test card. Nothing was paid; never type a real one here."
        : await payCheckout(deps.db, session, paymentMethod);
    if (message !== undefined)
      return leadToFault(deps, reply, human, request.url, { field: "number", message });
    // A real processor would send its event now.
    await advanceTopUp(deps, topUp);
    return reply.redirect(shown.returnPath, 303);
  });
}
