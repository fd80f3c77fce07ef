import { Type } from "@sinclair/typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import { byPerson } from "../../audit/service.ts";
import { changeBillingSetup, setupAct } from "../../billing/setup-service.ts";
import { makeTopUp, type TopUpDeps, topUpCents } from "../../billing/top-up-service.ts";
import type { Billing } from "../../database/schema.ts";
import type { App } from "../../http/app.ts";
import { originOf } from "../../http/origin.ts";
import { Problem } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { askToSign } from "../../passkeys/signed-act-service.ts";
import { type Human, openSessionGate } from "../../sign-in/gate.ts";
import { PASSWORD_AT_MOST } from "../../sign-in/service.ts";
import type { Fault } from "../kit/forms.ts";
import { accountOf } from "../kit/memberships.ts";
import { absentFault } from "../kit/presence.ts";
import { findActing, setCookie } from "../kit/signing.ts";
import { creditFields } from "./credits-section.ts";

const Uuid = Type.String({ pattern: "^[0-9a-f-]{36}$" });
const Token = Type.String({ maxLength: 100 });
const strict = { additionalProperties: false };
const TopUpForm = Type.Object(
  { accountId: Uuid, amountUsd: Type.String({ maxLength: 20 }), form_token: Token },
  strict,
);
const Setup = Type.Unsafe<Billing>(Type.String({ enum: ["card", "credits_first"] }));
const SetupForm = Type.Object(
  {
    account_id: Uuid,
    from: Setup,
    to: Setup,
    form_token: Token,
    credential: Type.Optional(Type.String({ maxLength: 20_000 })),
    password: Type.Optional(Type.String({ maxLength: PASSWORD_AT_MOST })),
  },
  strict,
);

type Show = (reply: FastifyReply, human: Human, fault: Fault) => Promise<FastifyReply>;
type Deps = SessionDeps & TopUpDeps;

export const topUpPurpose = (accountId: string) => `billing:top-up:${accountId}`;
export const setupPurpose = (accountId: string) => `billing:setup:${accountId}`;

/**
 * The forms of the billing page about credits: a top-up by owners and approvers, and an owner's change of what pays.
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
      const field = creditFields(accountId).amount;
      if (cents === undefined)
        return show(reply, human, { field, message: "Enter an amount from 10 to 10,000 dollars." });
      const act = { actor: byPerson(human), origin: originOf(request) };
      return reply.redirect(`/top-ups/${await makeTopUp(deps, accountId, cents, human, act)}`, 303);
    },
  );

  const changing = openSessionGate(deps, {
    purpose: ({ body }) => setupPurpose((body as { account_id: string }).account_id),
    returnTo: () => "/billing",
  });
  const options = { ...changing.options, schema: { ...changing.options.schema, body: SetupForm } };
  app.post("/billing/setup/sign", options, async (request, reply) => {
    const human = changing.human(request);
    const { account_id, from, to } = request.body;
    const { accountId } = ownedBy(human, account_id);
    return reply.send(await askToSign(deps, human, setupAct(accountId, { from, to })));
  });
  app.post("/billing/setup", options, async (request, reply) =>
    changeSetup(
      deps,
      request as FastifyRequest<{ Body: typeof request.body }>,
      reply,
      changing.human(request),
      show,
    ),
  );
}

async function changeSetup(
  deps: Deps,
  request: FastifyRequest,
  reply: FastifyReply,
  human: Human,
  show: Show,
): Promise<FastifyReply> {
  const { account_id, from, to, password } = request.body as {
    account_id: string;
    from: Billing;
    to: Billing;
    password?: string;
  };
  const account = ownedBy(human, account_id);
  const found = await findActing(deps, request, reply, human, account.accountId);
  if (found === undefined)
    return show(reply, human, absentFault(creditFields(account.accountId).password, password));
  if (from !== to)
    setCookie(reply, await changeBillingSetup(deps, found.acting, account, { from, to }, found.signature));
  return reply.redirect("/billing?said=setup", 303);
}

/** @throws Problem not_found for an account that is not theirs, not_permitted for all but owners */
function ownedBy(human: Human, accountId: string) {
  const account = accountOf(human, accountId);
  if (account.role !== "owner") throw new Problem("not_permitted");
  return account;
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
