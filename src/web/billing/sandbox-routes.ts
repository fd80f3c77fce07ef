import { Type } from "@sinclair/typebox";
import { may } from "../../accounts/roles.ts";
import { advancePayment, type PaymentDeps } from "../../approvals/advance-service.ts";
import { findLatestPayment } from "../../billing/payment-service.ts";
import { answerAuthentication, findAuthentication } from "../../billing/sandbox-client.ts";
import type { App } from "../../http/app.ts";
import { html } from "../../lib/html.ts";
import { notFound, Problem } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { openSessionGate } from "../../sign-in/gate.ts";
import { assertActs } from "../../sign-in/service.ts";
import { hiddenField } from "../kit/forms.ts";
import type { Page } from "../kit/layout.ts";
import { show, tokenField } from "../kit/site.ts";

const Params = Type.Object({ intentId: Type.String({ pattern: "^pi_[0-9a-f]{24}$" }) });
const Answer = Type.Object(
  {
    answer: Type.Union([Type.Literal("pass"), Type.Literal("fail")]),
    form_token: Type.String({ maxLength: 100 }),
  },
  { additionalProperties: false },
);

/** The page that stands in for a bank's authentication, for the sandbox's test card that asks for one. */
export function sandboxRoutes(app: App, deps: SessionDeps & PaymentDeps): void {
  const purpose = (intentId: string): string => `sandbox:${intentId}`;
  const gate = openSessionGate(deps, {
    purpose: (request) => purpose((request.params as { intentId: string }).intentId),
    returnTo: () => "/approvals",
  });

  app.get(
    "/sandbox/authenticate/:intentId",
    { ...gate.options, schema: { ...gate.options.schema, params: Params } },
    async (request, reply) => {
      const { intentId } = request.params;
      const human = gate.human(request);
      const token = tokenField(deps, human, purpose(intentId));
      return show(deps, reply, bankPage(intentId, token), { human });
    },
  );

  app.post(
    "/sandbox/authenticate/:intentId",
    { ...gate.options, schema: { ...gate.options.schema, params: Params, body: Answer } },
    async (request, reply) => {
      const { intentId } = request.params;
      const subject = await findAuthentication(deps.db, intentId);
      const human = gate.human(request);
      const member = human.memberships.find(({ accountId }) => accountId === subject?.accountId);
      if (subject === undefined || member === undefined) throw notFound("intents", "intentId", intentId);
      if (!may(member.role, "decide")) throw new Problem("not_permitted");
      await assertActs(deps.db, human, { id: subject.accountId, may: "decide" });
      await answerAuthentication(deps.db, intentId, request.body.answer === "pass");
      // A real processor would send its webhook now.
      const payment = await findLatestPayment(deps.db, subject.accountId, subject.approvalId);
      if (payment !== undefined) await advancePayment({ ...deps, requestId: request.id }, payment);
      return reply.redirect(`/approvals/${subject.approvalId}`, 303);
    },
  );
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
