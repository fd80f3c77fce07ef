import { Type } from "@sinclair/typebox";
import type { FastifyReply } from "fastify";
import { readPolicy } from "../../accounts/policy-service.ts";
import { may } from "../../accounts/roles.ts";
import { listMovements } from "../../approvals/contract-money-service.ts";
import { countPendingFundings } from "../../approvals/human-service.ts";
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
import { notFound } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { formToken } from "../../sign-in/form-token.ts";
import type { Human } from "../../sign-in/gate.ts";
import type { Fault } from "../kit/forms.ts";
import { managedBy } from "../kit/memberships.ts";
import { PASSWORD, personForm, personPage, UUID } from "../kit/person-routes.ts";
import { absentFault, proveNow, proverOf } from "../kit/presence.ts";
import { leadToFault, takeFault } from "../kit/said.ts";
import { show } from "../kit/site.ts";
import {
  type BillingSection,
  type BillingView,
  billingPage,
  cardProofField,
  numberField,
} from "./billing-page.ts";
import { cardRemovalPage, REMOVAL, REMOVAL_PASSWORD } from "./card-page.ts";
import { creditFormRoutes, topUpPurpose } from "./credit-form-routes.ts";
import type { CreditsView } from "./credits-section.ts";

const SHOWN = 50;

type Deps = SessionDeps & TopUpDeps;

/** `/billing` (docs/contract.md §7): what a `billingUrl` leads to. */
export function billingRoutes(app: App, deps: Deps): void {
  personPage(app, deps, "/billing", ({ human, query: { approval, said }, request }, reply) =>
    showBilling(deps, reply, human, {
      approval: approval !== undefined && isUuid(approval) ? approval : undefined,
      said,
      fault: takeFault(deps, request, reply, human).fault,
    }),
  );
  if (deps.processor.cardForm === undefined) testCardRoute(app, deps);
  creditFormRoutes(app, deps);

  const removing = personForm(app, deps, {
    fields: { accountId: UUID, cardId: Type.String({ maxLength: 255 }), ...PASSWORD },
    purpose: cardsPurpose,
    returnTo: () => "/billing",
  });
  removing(REMOVAL, async ({ human, body: { accountId, cardId, password }, request }, reply) => {
    managedBy(human, accountId);
    const acting = await proveNow(deps, request, reply, human, password);
    if (acting === undefined) {
      const address = `${REMOVAL}?${new URLSearchParams({ accountId, cardId })}`;
      return leadToFault(deps, reply, human, address, absentFault(REMOVAL_PASSWORD, password));
    }
    const act = { actor: byPerson(acting), origin: originOf(request) };
    await removePaymentMethod(deps, accountId, cardId, act, acting);
    return reply.redirect("/billing?said=removed", 303);
  });
  personPage(app, deps, REMOVAL, ({ human, query: { accountId = "", cardId = "" }, request }, reply) => {
    const { fault } = takeFault(deps, request, reply, human);
    return showRemoval(deps, reply, human, { accountId, cardId, fault });
  });
}

/** The page that asks before a card is removed. */
async function showRemoval(
  deps: Deps,
  reply: FastifyReply,
  human: Human,
  { accountId, cardId, fault }: { accountId: string; cardId: string; fault: Fault | undefined },
): Promise<FastifyReply> {
  const { accountName } = managedBy(human, accountId);
  const cards = await listPaymentMethods(deps.db, accountId);
  const card = cards.find(({ id }) => id === cardId);
  if (card === undefined) throw notFound("paymentMethods", "paymentMethodId", cardId);
  const page = cardRemovalPage(await proverOf(deps, human), {
    accountId,
    accountName,
    card,
    next: cards.find(({ id }) => id !== cardId),
    pending: await countPendingFundings(deps.db, accountId),
    formToken: formToken(deps.keys, human, cardsPurpose({ body: { accountId } })),
    fault,
  });
  return show(deps, reply, page, { human });
}

/** Adds a card by the number of a test card: with the sandbox alone, as no real number may ever reach us. */
function testCardRoute(app: App, deps: Deps): void {
  const form = personForm(app, deps, {
    fields: {
      accountId: UUID,
      number: Type.String({ maxLength: 40 }),
      ...PASSWORD,
      /** Where to go back to when the card is on file. */
      approval: Type.Optional(UUID),
    },
    purpose: cardsPurpose,
    returnTo: () => "/billing",
  });
  form("/billing/add-card", async ({ human, body, request }, reply) => {
    const { accountId, number, approval, password } = body;
    managedBy(human, accountId);
    const paymentMethod = TEST_CARD_NUMBERS.get(number.replaceAll(/[\s-]/g, ""));
    if (paymentMethod === undefined) {
      const message = "That is not the number of a test card. No card was added; never type a real one here.";
      const fault = { field: numberField(accountId), message };
      return leadToFault(deps, reply, human, billingPath(approval), fault);
    }
    const acting = await proveNow(deps, request, reply, human, password);
    if (acting === undefined) {
      const fault = absentFault(cardProofField(accountId), password);
      return leadToFault(deps, reply, human, billingPath(approval), fault);
    }
    const act = { actor: byPerson(acting), origin: originOf(request) };
    await addPaymentMethod(deps, accountId, paymentMethod, act, acting);
    return reply.redirect(approval === undefined ? "/billing?said=added" : `/approvals/${approval}`, 303);
  });
}

/** @param approval where its forms lead when a card is on file */
export function billingPath(approval: string | undefined): string {
  return approval === undefined ? "/billing" : `/billing?approval=${approval}`;
}

/** The forms of an account's cards share one token. */
export function cardsPurpose({ body }: { body: { accountId: string } }): string {
  return `billing:${body.accountId}`;
}

/** The billing page as it is now, with what is wrong with a form of it. */
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
        movements: await listMovements(deps.db, accountId, SHOWN),
        reversals: await listReversals(deps.db, accountId, ids),
        formToken: may(role, "decide")
          ? formToken(deps.keys, human, cardsPurpose({ body: { accountId } }))
          : undefined,
        credits: await viewCredits(deps, human, { accountId, role }, around.fault),
      };
    }),
  );
  const sandbox = deps.processor.cardForm === undefined;
  return show(
    deps,
    reply,
    billingPage({ ...around, human: await proverOf(deps, human), sandbox, sections }),
    { human },
  );
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
