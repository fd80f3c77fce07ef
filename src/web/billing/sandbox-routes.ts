import { Type } from "@sinclair/typebox";
import { advancePayment, type PaymentDeps } from "../../approvals/advance-service.ts";
import { findLatestPayment } from "../../billing/payment-service.ts";
import { answerAuthentication, findAuthenticating } from "../../billing/sandbox-client.ts";
import type { App } from "../../http/app.ts";
import { html } from "../../lib/html.ts";
import { notFound } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { assertActs } from "../../sign-in/service.ts";
import { hiddenField } from "../kit/forms.ts";
import type { Page } from "../kit/layout.ts";
import { managedBy } from "../kit/memberships.ts";
import { type Answer, personForm, personPage } from "../kit/person-routes.ts";
import { show, tokenField } from "../kit/site.ts";

const PARAMS = { intentId: Type.String({ pattern: "^pi_[0-9a-f]{24}$" }) };
const purpose = (intentId: string): string => `sandbox:${intentId}`;

/** The page that stands in for a bank's authentication, for the sandbox's test card that asks for one. */
export function sandboxRoutes(app: App, deps: SessionDeps & PaymentDeps): void {
  const path = "/sandbox/authenticate/:intentId";
  const page: Answer<typeof PARAMS> = async ({ human, params: { intentId } }, reply) =>
    show(deps, reply, bankPage(intentId, tokenField(deps, human, purpose(intentId))), { human });
  personPage(app, deps, path, page, PARAMS, () => "/approvals");

  const form = personForm(app, deps, {
    params: PARAMS,
    fields: { answer: Type.Union([Type.Literal("pass"), Type.Literal("fail")]) },
    purpose: ({ params }) => purpose(params.intentId),
    returnTo: () => "/approvals",
  });
  form(path, async ({ human, params: { intentId }, body: { answer } }, reply) => {
    const subject = await findAuthenticating(deps.db, intentId);
    const member = human.memberships.find(({ accountId }) => accountId === subject?.accountId);
    if (subject === undefined || member === undefined) throw notFound("intents", "intentId", intentId);
    managedBy(human, subject.accountId);
    await assertActs(deps.db, human, { id: subject.accountId, may: "decide" });
    await answerAuthentication(deps.db, intentId, answer === "pass");
    // A real processor would send its webhook now.
    const payment = await findLatestPayment(deps.db, subject.accountId, subject.approvalId);
    if (payment !== undefined) await advancePayment({ ...deps, requestId: reply.request.id }, payment);
    return reply.redirect(`/approvals/${subject.approvalId}`, 303);
  });
}

function bankPage(intentId: string, token: ReturnType<typeof tokenField>): Page {
  const button = (answer: string, label: string, kind?: "second") => html`
        <form method="post" action="/sandbox/authenticate/${intentId}">
          ${token}
          ${hiddenField("answer", answer)}
          <button${kind && html` class="${kind}"`} type="submit">${label}</button>
        </form>`;
  return {
    title: "The sandbox's bank",
    body: html`
      <p>A real bank would now make sure that it is you. This one takes your word for it, and no real money moves.</p>
      <div class="choices">
        ${button("pass", "It is me")}
        ${button("fail", "Refuse the payment", "second")}
      </div>`,
  };
}
