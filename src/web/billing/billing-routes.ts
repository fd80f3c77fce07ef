import { Type } from "@sinclair/typebox";
import type { FastifyReply } from "fastify";
import { readPolicy } from "../../accounts/policy-service.ts";
import { may } from "../../accounts/roles.ts";
import { byPerson } from "../../audit/service.ts";
import { getCredits } from "../../billing/credit-service.ts";
import { listPayments, listReversals } from "../../billing/payment-service.ts";
import { TEST_CARD_NUMBERS } from "../../billing/sandbox-client.ts";
import { addPaymentMethod, listPaymentMethods, removePaymentMethod } from "../../billing/service.ts";
import { listTopUps, type TopUpDeps } from "../../billing/top-up-service.ts";
import type { MemberRole } from "../../database/schema.ts";
import type { App } from "../../http/app.ts";
import { originOf } from "../../http/origin.ts";
import { isUuid } from "../../lib/ids.ts";
import { Problem } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { formToken } from "../../sign-in/form-token.ts";
import { type Human, openSessionGate, type SessionGate } from "../../sign-in/gate.ts";
import type { Fault } from "../kit/forms.ts";
import { show } from "../kit/site.ts";
import { type BillingSection, type BillingView, billingPage, numberField } from "./billing-page.ts";
import { creditFormRoutes, topUpPurpose } from "./credit-form-routes.ts";
import type { CreditsView } from "./credits-section.ts";

const Uuid = Type.String({ pattern: "^[0-9a-f-]{36}$" });
const Token = Type.String({ maxLength: 100 });
const strict = { additionalProperties: false };
const AddCard = Type.Object(
  {
    accountId: Uuid,
    number: Type.String({ maxLength: 40 }),
    form_token: Token,
    /** Where to go back to when the card is on file. */
    approval: Type.Optional(Uuid),
  },
  strict,
);
const Query = Type.Object({
  approval: Type.Optional(Type.Unsafe<unknown>({})),
  said: Type.Optional(Type.Unsafe<unknown>({})),
});
const RemoveCard = Type.Object(
  { accountId: Uuid, cardId: Type.String({ maxLength: 255 }), form_token: Token },
  strict,
);

const SHOWN = 50;

type Deps = SessionDeps & TopUpDeps;

/** `/billing` (docs/contract.md §7): what a `billingUrl` leads to. */
export function billingRoutes(app: App, deps: Deps): void {
  const gate = openSessionGate(deps, {
    purpose: (request) => `billing:${(request.body as { accountId: string }).accountId}`,
    returnTo: () => "/billing",
  });

  app.get(
    "/billing",
    { ...gate.options, schema: { ...gate.options.schema, querystring: Query } },
    async (request, reply) => {
      const { approval, said } = request.query;
      return showBilling(deps, reply, gate.human(request), {
        approval: typeof approval === "string" && isUuid(approval) ? approval : undefined,
        said: typeof said === "string" ? said : undefined,
      });
    },
  );

  if (deps.processor.cardForm === undefined) testCardRoute(app, deps, gate);
  creditFormRoutes(app, deps, {
    changer,
    show: (reply, human, fault) => showBilling(deps, reply, human, { fault }),
  });

  app.post(
    "/billing/remove-card",
    { ...gate.options, schema: { ...gate.options.schema, body: RemoveCard } },
    async (request, reply) => {
      const { accountId, cardId } = request.body;
      const human = changer(gate.human(request), accountId);
      const act = { actor: byPerson(human), origin: originOf(request) };
      await removePaymentMethod(deps, accountId, cardId, act, human);
      return reply.redirect("/billing?said=removed", 303);
    },
  );
}

/** Adds a card by the number of a test card: with the sandbox alone, as no real number may ever reach us. */
function testCardRoute(app: App, deps: Deps, gate: SessionGate): void {
  app.post(
    "/billing/add-card",
    { ...gate.options, schema: { ...gate.options.schema, body: AddCard } },
    async (request, reply) => {
      const { accountId, number, approval } = request.body;
      const human = changer(gate.human(request), accountId);
      const paymentMethod = TEST_CARD_NUMBERS.get(number.replaceAll(/[\s-]/g, ""));
      if (paymentMethod === undefined) {
        const message =
          "That is not the number of a test card. No card was added; never type a real one here.";
        return showBilling(deps, reply, human, {
          approval,
          fault: { field: numberField(accountId), message },
        });
      }
      const act = { actor: byPerson(human), origin: originOf(request) };
      await addPaymentMethod(deps, accountId, paymentMethod, act, human);
      return reply.redirect(approval === undefined ? "/billing?said=added" : `/approvals/${approval}`, 303);
    },
  );
}

async function showBilling(
  deps: Deps,
  reply: FastifyReply,
  human: Human,
  around: Pick<BillingView, "approval" | "said" | "fault">,
): Promise<FastifyReply> {
  const sections = await Promise.all(
    human.memberships.map(async ({ accountId, accountName, role }): Promise<BillingSection> => {
      const payments = await listPayments(deps.db, accountId, SHOWN);
      const ids = payments.map(({ id }) => id);
      return {
        accountId,
        accountName,
        cards: await listPaymentMethods(deps.db, accountId),
        payments,
        reversals: await listReversals(deps.db, accountId, ids),
        formToken: may(role, "decide") ? formToken(deps.keys, human, `billing:${accountId}`) : undefined,
        credits: await viewCredits(deps, human, { accountId, role }, around.fault),
      };
    }),
  );
  const sandbox = deps.processor.cardForm === undefined;
  return show(deps, reply, billingPage({ ...around, sandbox, sections }), {
    human,
    status: around.fault === undefined ? 200 : 422,
  });
}

async function viewCredits(
  { db, keys }: Deps,
  human: Human,
  { accountId, role }: { accountId: string; role: MemberRole },
  fault: Fault | undefined,
): Promise<CreditsView> {
  return {
    accountId,
    credits: await getCredits(db, accountId),
    topUps: await listTopUps(db, accountId, SHOWN),
    billing: (await readPolicy(db, accountId)).billing,
    topUpToken: role === "viewer" ? undefined : formToken(keys, human, topUpPurpose(accountId)),
    fault,
  };
}

/** @throws Problem not_found for an account that is not theirs, not_permitted for a viewer */
export function changer(human: Human, accountId: string): Human {
  const role = human.memberships.find((membership) => membership.accountId === accountId)?.role;
  if (role === undefined) throw new Problem("not_found", { resource: "accounts" });
  if (!may(role, "decide")) throw new Problem("not_permitted");
  return human;
}
