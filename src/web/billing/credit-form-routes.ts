import { Type } from "@sinclair/typebox";
import type { FastifyReply } from "fastify";
import { byPerson } from "../../audit/service.ts";
import { changeBillingSetup, setupAct } from "../../billing/setup-service.ts";
import { makeTopUp, type TopUpDeps, topUpCents } from "../../billing/top-up-service.ts";
import type { Billing } from "../../database/schema.ts";
import type { App } from "../../http/app.ts";
import { originOf } from "../../http/origin.ts";
import { Problem } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import type { Human } from "../../sign-in/gate.ts";
import type { Fault } from "../kit/forms.ts";
import { managedBy, ownedBy } from "../kit/memberships.ts";
import { PROOF, personForm, UUID } from "../kit/person-routes.ts";
import { absentFault } from "../kit/presence.ts";
import { answerSigning, findActing, setCookie } from "../kit/signing.ts";
import { creditFields } from "./credits-section.ts";

const Setup = Type.Unsafe<Billing>(Type.String({ enum: ["card", "credits_first"] }));

type Show = (reply: FastifyReply, human: Human, fault: Fault) => Promise<FastifyReply>;
type Deps = SessionDeps & TopUpDeps;

export const topUpPurpose = (accountId: string) => `billing:top-up:${accountId}`;
export const setupPurpose = (accountId: string) => `billing:setup:${accountId}`;

/**
 * The forms of the billing page about credits: a top-up by owners and approvers, and an owner's change of what pays.
 * @param show the billing page, with what is wrong
 */
export function creditFormRoutes(app: App, deps: Deps, show: Show): void {
  const returnTo = () => "/billing";
  const adding = personForm(app, deps, {
    fields: { accountId: UUID, amountUsd: Type.String({ maxLength: 20 }) },
    purpose: ({ body }) => topUpPurpose(body.accountId),
    returnTo,
  });
  adding("/billing/top-ups", async ({ human, body: { accountId, amountUsd }, request }, reply) => {
    managedBy(human, accountId);
    const cents = centsIn(amountUsd);
    const field = creditFields(accountId).amount;
    if (cents === undefined)
      return show(reply, human, { field, message: "Enter an amount from 10 to 10,000 dollars." });
    const act = { actor: byPerson(human), origin: originOf(request) };
    return reply.redirect(`/top-ups/${await makeTopUp(deps, accountId, cents, human, act)}`, 303);
  });

  const changing = personForm(app, deps, {
    fields: { ...PROOF, account_id: UUID, from: Setup, to: Setup },
    purpose: ({ body }) => setupPurpose(body.account_id),
    returnTo,
  });
  changing("/billing/setup/sign", async ({ human, body: { account_id, from, to } }, reply) => {
    const { accountId } = ownedBy(human, account_id);
    return answerSigning(deps, reply, human, setupAct(accountId, { from, to }));
  });
  changing("/billing/setup", async ({ human, body, request }, reply) => {
    const { account_id, from, to, password } = body;
    const account = ownedBy(human, account_id);
    const found = await findActing(deps, request, reply, human, account.accountId);
    if (found === undefined)
      return show(reply, human, absentFault(creditFields(account.accountId).password, password));
    if (from !== to)
      setCookie(reply, await changeBillingSetup(deps, found.acting, account, { from, to }, found.signature));
    return reply.redirect("/billing?said=setup", 303);
  });
}

function centsIn(typed: string): number | undefined {
  try {
    const dollars = typed.trim().replace(/^\$/, "");
    return /^\d{1,5}(\.\d{1,2})?$/.test(dollars) ? topUpCents({ amountUsd: Number(dollars) }) : undefined;
  } catch (error) {
    if (error instanceof Problem) return undefined;
    throw error;
  }
}
