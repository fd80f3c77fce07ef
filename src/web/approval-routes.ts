import { randomBytes } from "node:crypto";
import { Type } from "@sinclair/typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import { confirmApproval, type Decider, declineApproval, statementOf } from "../approvals/decide.ts";
import {
  findApprovalForHuman,
  type HumanApproval,
  listApprovalsForHuman,
  listSignatures,
} from "../approvals/human-service.ts";
import { advanceWhileWatched, cancelPayment, type PaymentDeps } from "../approvals/payment.ts";
import { type Decision, statementDigest } from "../approvals/statement.ts";
import { findLatestPayment, listReversals } from "../billing/payment-service.ts";
import type { App } from "../http/app.ts";
import { notFound, Problem, problemRow } from "../lib/problems.ts";
import { formToken } from "../sessions/form-token.ts";
import { type Human, openSessionGate } from "../sessions/gate.ts";
import { isFresh, type SessionDeps } from "../sessions/service.ts";
import { approvalPage, type DecisionForm } from "./approval-page.ts";
import { inboxPage } from "./inbox-page.ts";
import { proveNow } from "./presence.ts";
import { show } from "./site.ts";
import { cardName } from "./wording.ts";

const Params = Type.Object({ approvalId: Type.String() });
const DecisionBody = Type.Object(
  {
    nonce: Type.String({ minLength: 1, maxLength: 64 }),
    digest: Type.String({ pattern: "^[0-9a-f]{64}$" }),
    form_token: Type.String({ maxLength: 100 }),
    password: Type.Optional(Type.String({ maxLength: 1024 })),
  },
  { additionalProperties: false },
);
const FormBody = Type.Object(
  { form_token: Type.String({ maxLength: 100 }) },
  { additionalProperties: false },
);

/** What Stripe adds to the address when it sends a person back. */
const Query = Type.Object({ payment_intent: Type.Optional(Type.Unsafe<unknown>({})) });

const NONCE_BYTES = 16;

export type ApprovalPageDeps = SessionDeps & PaymentDeps;

/**
 * The pages where a person reads what an agent asks for, and decides (CONTRACT.md §7). GET shows, POST
 * decides; only a session of a member gets here, and no token ever does.
 */
export function approvalPageRoutes(app: App, deps: ApprovalPageDeps): void {
  const pages = openSessionGate(deps);
  // The address that a bank leads back to holds a secret, which sign-in need not see.
  const page = openSessionGate(deps, { returnTo: (request) => approvalPath(request) + returnOf(request) });
  const decisionGate = (decision: Decision) =>
    openSessionGate(deps, { purpose: (request) => purposeOf(request, decision), returnTo: approvalPath });
  const confirm = decisionGate("confirm");
  const decline = decisionGate("decline");
  const cancel = openSessionGate(deps, {
    purpose: (request) => `cancel-payment:${idOf(request)}`,
    returnTo: approvalPath,
  });

  app.get("/approvals", pages.options, async (request, reply) => {
    const human = pages.human(request);
    const approvals = await listApprovalsForHuman(deps.db, accountsOf(human));
    return show(
      deps,
      reply,
      inboxPage(approvals, { decides: approvals.some((one) => mayDecide(human, one)) }),
      {
        human,
      },
    );
  });

  app.get(
    "/approvals/:approvalId",
    {
      ...page.options,
      schema: { ...page.options.schema, params: Params, querystring: Query },
      constraints: { audience: "page" },
    },
    async (request, reply) => showApproval(deps, request, reply, page.human(request)),
  );

  app.post(
    "/approvals/:approvalId/confirm",
    { ...confirm.options, schema: { ...confirm.options.schema, params: Params, body: DecisionBody } },
    async (request, reply) => {
      const human = confirm.human(request);
      const approval = await findOwn(deps, request, human);
      const provedAt = await proveNow(deps, human, request.body.password, request.ip);
      if (provedAt === undefined) {
        const message = request.body.password
          ? "That password is wrong. Nothing was confirmed."
          : "Type your password to confirm.";
        return showApproval(deps, request, reply, human, { status: 422, message, field: "password" });
      }
      const decider: Decider = { userId: human.userId, proof: { kind: "password", provedAt } };
      return decide(deps, request, reply, human, () =>
        confirmApproval(
          deps,
          { accountId: approval.accountId, approvalId: approval.id },
          decider,
          signedOf(request.body),
        ),
      );
    },
  );

  app.post(
    "/approvals/:approvalId/decline",
    { ...decline.options, schema: { ...decline.options.schema, params: Params, body: DecisionBody } },
    async (request, reply) => {
      const human = decline.human(request);
      const approval = await findOwn(deps, request, human);
      const decider: Decider = { userId: human.userId, proof: { kind: "session", provedAt: human.provedAt } };
      return decide(deps, request, reply, human, () =>
        declineApproval(
          deps.db,
          { accountId: approval.accountId, approvalId: approval.id },
          decider,
          signedOf(request.body),
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
      return decide(deps, request, reply, human, async () => {
        if (payment?.status === "action_required") await cancelPayment(deps, payment);
      });
    },
  );

  lookRoute(app, deps);
}

/**
 * Asks for the outcome of a payment now: to open the page asks nobody, as that may be a preview or a prefetch.
 * Whoever comes back from their bank sends this form, by script or by hand.
 */
function lookRoute(app: App, deps: ApprovalPageDeps): void {
  const gate = openSessionGate(deps, { purpose: lookPurpose, returnTo: approvalPath });
  app.post(
    "/approvals/:approvalId/look",
    { ...gate.options, schema: { ...gate.options.schema, params: Params, body: FormBody } },
    async (request, reply) => {
      const approval = await findOwn(deps, request, gate.human(request));
      const payment = await findLatestPayment(deps.db, approval.accountId, approval.id);
      if (payment !== undefined) {
        await advanceWhileWatched(deps, payment).catch((error: unknown) =>
          request.log.warn({ err: error }, "the outcome of a payment is not known yet"),
        );
      }
      return reply.redirect(approvalPath(request), 303);
    },
  );
}

/** Runs a decision. Refused: the page as it is now, saying why. Open: the page, which says that it is. */
async function decide(
  deps: ApprovalPageDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  human: Human,
  work: () => Promise<void>,
): Promise<FastifyReply> {
  try {
    await work();
  } catch (error) {
    if (error instanceof Problem) {
      const { status } = problemRow(error.problem);
      return showApproval(deps, request, reply, human, {
        status,
        message: await explain(deps, request, human, error),
      });
    }
    request.log.warn({ reqId: request.id, err: error }, "the outcome of a payment is not known yet");
  }
  return reply.redirect(approvalPath(request), 303);
}

/**
 * Why a decision was refused. While an approval waits its terms stand, so what makes a page stale is another
 * card, or that the page was sent twice.
 */
async function explain(
  deps: ApprovalPageDeps,
  request: FastifyRequest,
  human: Human,
  { problem, message }: Problem,
): Promise<string> {
  if (problem !== "statement_stale") return message;
  const approval = await findOwn(deps, request, human);
  if (approval.state !== "waiting") return message;
  const { nonce, digest } = request.body as { nonce: string; digest: string };
  const sentTwice = statementDigest(statementOf(approval, "confirm", nonce)).toString("hex") === digest;
  if (sentTwice) return "This page was sent twice, and counted once. Read it again before you decide.";
  const card =
    approval.card === null ? "no card is on file any more" : `the ${cardName(approval.card)} pays now`;
  return `Something changed since you opened this page: ${card}. Nothing was confirmed. Read it again before you decide.`;
}

type Said = { status: number; message: string; field?: string };

async function showApproval(
  deps: ApprovalPageDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  human: Human,
  said?: Said,
): Promise<FastifyReply> {
  const approval = await findOwn(deps, request, human);
  const payment = await findLatestPayment(deps.db, approval.accountId, approval.id);
  const reversals =
    payment?.status === "succeeded" ? await listReversals(deps.db, approval.accountId, [payment.id]) : [];
  const [signed] = await listSignatures(deps.db, approval.accountId, approval.id);
  const may = mayDecide(human, approval);
  const form = (decision: Decision): DecisionForm => drawForm(deps, human, approval, decision);
  const page = approvalPage({
    approval,
    payment,
    reversals,
    returned: payment?.intentId != null && returnedFrom(request) === payment.intentId,
    lookToken: formToken(deps.keys, human, lookPurpose(request)),
    signed,
    forms:
      may && approval.state === "waiting"
        ? {
            confirm: form("confirm"),
            decline: form("decline"),
            passwordOf: isFresh(human, human.now) ? undefined : human.email,
          }
        : undefined,
    cancelToken: may ? formToken(deps.keys, human, `cancel-payment:${approval.id}`) : undefined,
    problem: said?.field === undefined ? said?.message : undefined,
    fault: said?.field === undefined ? undefined : { field: said.field, message: said.message },
  });
  return show(deps, reply, page, { human, status: said?.status ?? 200 });
}

/** A form that can send one statement alone: the one that the page shows. */
function drawForm(
  deps: ApprovalPageDeps,
  human: Human,
  approval: HumanApproval,
  decision: Decision,
): DecisionForm {
  const nonce = randomBytes(NONCE_BYTES).toString("base64url");
  const digest = statementDigest(statementOf(approval, decision, nonce)).toString("hex");
  return {
    nonce,
    digest,
    token: formToken(deps.keys, human, `approval:${approval.id}:${decision}:${digest}`),
  };
}

function purposeOf(request: FastifyRequest, decision: Decision): string {
  const { digest } = request.body as { digest: string };
  return `approval:${idOf(request)}:${decision}:${digest}`;
}

function signedOf({ nonce, digest }: { nonce: string; digest: string }) {
  return { nonce, digest: Buffer.from(digest, "hex") };
}

async function findOwn(
  deps: ApprovalPageDeps,
  request: FastifyRequest,
  human: Human,
): Promise<HumanApproval> {
  const id = idOf(request);
  const approval = await findApprovalForHuman(deps.db, accountsOf(human), id);
  if (approval === undefined) throw notFound("approvals", "approvalId", id);
  return approval;
}

function accountsOf({ memberships }: Human): string[] {
  return memberships.map((membership) => membership.accountId);
}

function mayDecide({ memberships }: Human, { accountId }: HumanApproval): boolean {
  const role = memberships.find((membership) => membership.accountId === accountId)?.role;
  return role === "owner" || role === "approver";
}

function idOf(request: FastifyRequest): string {
  return (request.params as { approvalId: string }).approvalId;
}

function lookPurpose(request: FastifyRequest): string {
  return `look:${idOf(request)}`;
}

/** The intent that the person's bank was asked about, if it is from there that they come. */
function returnedFrom({ query }: FastifyRequest): string | undefined {
  const { payment_intent: intentId } = query as { payment_intent?: unknown };
  return typeof intentId === "string" && /^\w{1,100}$/.test(intentId) ? intentId : undefined;
}

function returnOf(request: FastifyRequest): string {
  const intentId = returnedFrom(request);
  return intentId === undefined ? "" : `?payment_intent=${intentId}`;
}

function approvalPath(request: FastifyRequest): string {
  return `/approvals/${encodeURIComponent(idOf(request))}`;
}
