import { Type } from "@sinclair/typebox";
import type { FastifyRequest } from "fastify";
import { may } from "../../accounts/roles.ts";
import { advanceAll, advanceAndWait, cancelPayment } from "../../approvals/advance-service.ts";
import { type Decider, declineApproval } from "../../approvals/decision-service.ts";
import type { HumanApproval } from "../../approvals/human-service.ts";
import { type InboxQuery, readInbox } from "../../approvals/inbox-service.ts";
import { findLatestPayment } from "../../billing/payment-service.ts";
import type { App } from "../../http/app.ts";
import { originOf } from "../../http/origin.ts";
import { Problem } from "../../lib/problems.ts";
import { openSessionGate } from "../../sign-in/gate.ts";
import { assertActs } from "../../sign-in/service.ts";
import { show } from "../kit/site.ts";
import {
  type ApprovalPageDeps,
  accountsOf,
  approvalPath,
  DECISION_FIELDS,
  findOwn,
  idOf,
  lookPurpose,
  mayDecide,
  Params,
  purposeOf,
  readFirstSigners,
  returnedFrom,
  showApproval,
  signedOf,
} from "./approval-view.ts";
import { confirmRoutes } from "./confirm-routes.ts";
import { decide } from "./decision-answers.ts";
import { inboxPage, readPendingPoint, readState, TEXT_AT_MOST } from "./inbox-page.ts";
import { mayGiveUp } from "./moving-section.ts";

/** Longer than any name that can be stored. */
const NAME_AT_MOST = 300;

const DeclineBody = Type.Object(
  {
    ...DECISION_FIELDS,
    /** Why, for the agent to read. */
    note: Type.Optional(Type.String({ maxLength: 500 })),
  },
  { additionalProperties: false },
);
const FormBody = Type.Object(
  { form_token: Type.String({ maxLength: 100 }) },
  { additionalProperties: false },
);

// Lenient: a query that cannot be read shows what there is without it.
const InboxQueryString = Type.Record(Type.String(), Type.Unsafe<unknown>({}));

function inboxQueryOf(query: Record<string, unknown>): InboxQuery {
  const text = (name: string): string | undefined => {
    const value = query[name];
    return typeof value === "string" && value !== "" && value.length <= NAME_AT_MOST ? value : undefined;
  };
  return {
    state: readState(text("state")),
    payee: text("payee"),
    agent: text("agent"),
    text: text("q")?.trim().slice(0, TEXT_AT_MOST) || undefined,
    after: readPendingPoint(text("after")),
    before: text("before"),
  };
}

/** What Stripe adds to the address when it sends a person back. */
const Query = Type.Object({ payment_intent: Type.Optional(Type.Unsafe<unknown>({})) });

/**
 * The pages where a person reads what an agent asks for, and decides (docs/contract.md §7). GET shows, POST
 * decides; requires a member's session; tokens are rejected.
 */
export function approvalPageRoutes(app: App, deps: ApprovalPageDeps): void {
  const pages = openSessionGate(deps);
  // The bank's return URL contains a secret. It is left out of the address that sign-in returns to.
  const page = openSessionGate(deps, { returnTo: (request) => approvalPath(request) + returnOf(request) });
  const decline = openSessionGate(deps, {
    purpose: (request) => purposeOf(request, "decline"),
    returnTo: approvalPath,
  });
  const cancel = openSessionGate(deps, {
    purpose: (request) => `cancel-payment:${idOf(request)}`,
    returnTo: approvalPath,
  });

  app.get(
    "/approvals",
    { ...pages.options, schema: { ...pages.options.schema, querystring: InboxQueryString } },
    async (request, reply) => {
      const human = pages.human(request);
      const query = inboxQueryOf(request.query);
      const inbox = await readInbox(deps.db, accountsOf(human), query);
      const firstSigners = await readFirstSigners(deps, inbox.pending);
      const decides = human.memberships.some(({ role }) => may(role, "decide"));
      const page = inboxPage({ inbox, query, accounts: human.memberships, decides, firstSigners });
      return show(deps, reply, page, { human });
    },
  );

  app.get(
    "/approvals/:approvalId",
    {
      ...page.options,
      schema: { ...page.options.schema, params: Params, querystring: Query },
      constraints: { audience: "page" },
    },
    async (request, reply) => showApproval(deps, request, reply, page.human(request)),
  );

  confirmRoutes(app, deps);

  app.post(
    "/approvals/:approvalId/decline",
    { ...decline.options, schema: { ...decline.options.schema, params: Params, body: DeclineBody } },
    async (request, reply) => {
      const human = decline.human(request);
      const approval = await findOwn(deps, request, human);
      const decider: Decider = {
        actor: human,
        name: human.name,
        origin: originOf(request),
        presence: { kind: "session", provedAt: human.provedAt },
      };
      return decide(deps, request, reply, human, approval, () =>
        declineApproval(
          deps,
          { accountId: approval.accountId, approvalId: approval.id },
          decider,
          signedOf(request.body),
          request.body.note?.trim() || undefined,
        ),
      );
    },
  );

  app.post(
    "/approvals/:approvalId/cancel-payment",
    { ...cancel.options, schema: { ...cancel.options.schema, params: Params, body: FormBody } },
    async (request, reply) => {
      const human = cancel.human(request);
      const approval = await findOwn(deps, request, human);
      if (!mayDecide(human, approval)) throw new Problem("not_permitted");
      const payment = await findLatestPayment(deps.db, approval.accountId, approval.id);
      return decide(deps, request, reply, human, approval, async () => {
        if (payment !== undefined && mayGiveUp(payment, approval))
          await cancelPayment({ ...deps, requestId: request.id }, payment, human);
      });
    },
  );

  lookRoute(app, deps);
}

/**
 * Reads the outcome of a payment now. Opening the page makes no call, as that may be a preview or a prefetch. A person
 * who returns from their bank sends this form, by script or by hand.
 */
function lookRoute(app: App, deps: ApprovalPageDeps): void {
  const gate = openSessionGate(deps, { purpose: lookPurpose, returnTo: approvalPath });
  app.post(
    "/approvals/:approvalId/look",
    { ...gate.options, schema: { ...gate.options.schema, params: Params, body: FormBody } },
    async (request, reply) => {
      const human = gate.human(request);
      const approval = await findOwn(deps, request, human);
      await assertActs(deps.db, human, { id: approval.accountId, may: "read" });
      await lookAt({ ...deps, requestId: request.id }, approval).catch((error: unknown) =>
        request.log.warn({ reqId: request.id, err: error }, "the outcome of a payment is not known yet"),
      );
      return reply.redirect(approvalPath(request), 303);
    },
  );
}

/** A contract's end has many attempts; the others have one at a time, which another process may be reading. */
async function lookAt(deps: ApprovalPageDeps, { accountId, id, type }: HumanApproval): Promise<void> {
  if (type === "contract_end") return advanceAll(deps, accountId, id);
  const payment = await findLatestPayment(deps.db, accountId, id);
  if (payment !== undefined) await advanceAndWait(deps, payment);
}

function returnOf(request: FastifyRequest): string {
  const intentId = returnedFrom(request);
  return intentId === undefined ? "" : `?payment_intent=${intentId}`;
}
