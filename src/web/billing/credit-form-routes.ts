import { Type } from "@sinclair/typebox";
import { byPerson } from "../../audit/service.ts";
import { makeTopUp, type TopUpDeps, topUpCents } from "../../billing/top-up-service.ts";
import type { App } from "../../http/app.ts";
import { originOf } from "../../http/origin.ts";
import { Problem } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { managedBy } from "../kit/memberships.ts";
import { personForm, UUID } from "../kit/person-routes.ts";
import { leadToFault } from "../kit/said.ts";
import { amountField } from "./credits-section.ts";

type Deps = SessionDeps & TopUpDeps;

export const topUpPurpose = (accountId: string) => `billing:top-up:${accountId}`;

/** The form of the billing page for a top-up, by owners and approvers. */
export function creditFormRoutes(app: App, deps: Deps): void {
  const adding = personForm(app, deps, {
    fields: { accountId: UUID, amountUsd: Type.String({ maxLength: 20 }) },
    purpose: ({ body }) => topUpPurpose(body.accountId),
    returnTo: () => "/billing",
  });
  adding("/billing/top-ups", async ({ human, body: { accountId, amountUsd }, request }, reply) => {
    managedBy(human, accountId);
    const cents = centsIn(amountUsd);
    const field = amountField(accountId);
    if (cents === undefined) {
      const message = "Enter an amount from 10 to 10,000 dollars.";
      return leadToFault(deps, reply, human, "/billing", { field, message });
    }
    const act = { actor: byPerson(human), origin: originOf(request) };
    return reply.redirect(`/top-ups/${await makeTopUp(deps, accountId, cents, human, act)}`, 303);
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
