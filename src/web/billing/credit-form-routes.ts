import { Type } from "@sinclair/typebox";
import type { FastifyReply } from "fastify";
import { byPerson } from "../../audit/service.ts";
import { makeTopUp, type TopUpDeps, topUpCents } from "../../billing/top-up-service.ts";
import type { App } from "../../http/app.ts";
import { originOf } from "../../http/origin.ts";
import { Problem } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { type Human, openSessionGate } from "../../sign-in/gate.ts";
import type { Fault } from "../kit/forms.ts";
import { amountField } from "./credits-section.ts";

const Uuid = Type.String({ pattern: "^[0-9a-f-]{36}$" });
const Token = Type.String({ maxLength: 100 });
const strict = { additionalProperties: false };
const TopUpForm = Type.Object(
  { accountId: Uuid, amountUsd: Type.String({ maxLength: 20 }), form_token: Token },
  strict,
);

type Show = (reply: FastifyReply, human: Human, fault: Fault) => Promise<FastifyReply>;
type Deps = SessionDeps & TopUpDeps;

export const topUpPurpose = (accountId: string) => `billing:top-up:${accountId}`;

/**
 * The form of the billing page for a top-up, by owners and approvers.
 * @param changer who may change the account: throws for strangers and viewers
 * @param show the billing page, with what is wrong
 */
export function creditFormRoutes(
  app: App,
  deps: Deps,
  { changer, show }: { changer: (human: Human, accountId: string) => Human; show: Show },
): void {
  const adding = openSessionGate(deps, {
    purpose: ({ body }) => topUpPurpose((body as { accountId: string }).accountId),
    returnTo: () => "/billing",
  });
  app.post(
    "/billing/top-ups",
    { ...adding.options, schema: { ...adding.options.schema, body: TopUpForm } },
    async (request, reply) => {
      const { accountId, amountUsd } = request.body;
      const human = changer(adding.human(request), accountId);
      const cents = centsIn(amountUsd);
      const field = amountField(accountId);
      if (cents === undefined)
        return show(reply, human, { field, message: "Enter an amount from 10 to 10,000 dollars." });
      const act = { actor: byPerson(human), origin: originOf(request) };
      return reply.redirect(`/top-ups/${await makeTopUp(deps, accountId, cents, human, act)}`, 303);
    },
  );
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
