import { type Static, Type } from "@sinclair/typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import { confirmApproval, issueChallenge, type Presence } from "../../approvals/decision-service.ts";
import type { HumanApproval } from "../../approvals/human-service.ts";
import type { App } from "../../http/app.ts";
import { originOf } from "../../http/origin.ts";
import { badField, Problem, type ProblemName } from "../../lib/problems.ts";
import { sumOf } from "../../lib/statement.ts";
import { askForPasskey, readAssertion } from "../../passkeys/presence-service.ts";
import { type Human, openSessionGate } from "../../sign-in/gate.ts";
import { cookieFor, type NewToken } from "../../sign-in/service.ts";
import { readLocale } from "../kit/locale.ts";
import { byPasskey, proveNow } from "../kit/presence.ts";
import {
  type ApprovalPageDeps,
  approvalPath,
  DECISION_FIELDS,
  findOwn,
  isCurrent,
  Params,
  presenceAsked,
  purposeOf,
  signedOf,
  typedFromOf,
} from "./approval-view.ts";
import { decide, leadBack, reject } from "./decision-answers.ts";
import { typedAmountFault } from "./typed-amount-rules.ts";

const ConfirmBody = Type.Object(
  {
    ...DECISION_FIELDS,
    password: Type.Optional(Type.String({ maxLength: 1024 })),
    /** What the person typed, where the amount is large. */
    amount: Type.Optional(Type.String({ maxLength: 100 })),
    /** What the page showed that would pay, so that a stale page can say what has changed. */
    source: Type.Optional(Type.String({ maxLength: 60 })),
    /** The passkey's assertion as JSON; empty if the person cancelled or the device failed. */
    assertion: Type.Optional(Type.String({ maxLength: 20_000 })),
  },
  { additionalProperties: false },
);
type ConfirmBody = Static<typeof ConfirmBody>;

/** The routes of a confirmation: the passkey challenge, and the form with its assertion or a password. */
export function confirmRoutes(app: App, deps: ApprovalPageDeps): void {
  const gate = openSessionGate(deps, {
    purpose: (request) => purposeOf(request, "confirm"),
    returnTo: approvalPath,
  });
  const options = { ...gate.options, schema: { ...gate.options.schema, params: Params, body: ConfirmBody } };

  // Called by script. On an error the script submits the form to `/confirm`, whose page explains the problem.
  app.post("/approvals/:approvalId/challenge", options, async (request, reply) => {
    const human = gate.human(request);
    const approval = await findOwn(deps, request, human);
    const fault = await amountFault(deps, request, approval);
    if (fault !== undefined) throw badField("amount", fault);
    const signed = signedOf(request.body);
    const asked =
      deps.relyingParty && (await askForPasskey(deps.db, deps.relyingParty, human.userId, signed.digest));
    if (asked === undefined) throw new Problem("passkey_refused");
    await issueChallenge(deps.db, keyOf(approval), human, signed);
    return reply.send(asked);
  });

  app.post("/approvals/:approvalId/confirm", options, async (request, reply) => {
    const { body } = request;
    const human = gate.human(request);
    const approval = await findOwn(deps, request, human);
    // Checks the current state before the form's fields, because the next page shows that state.
    const problem = refusalBeforeLock(approval, body);
    if (problem !== undefined) return reject(deps, request, reply, human, new Problem(problem));
    const fault = (field: string, message: string) =>
      leadBack(deps, request, reply, human, { field, message, draft: body.amount });
    const proof = await findPresence(deps, request, reply, approval, human);
    if (proof === undefined) {
      return fault(
        "password",
        body.password ? "That password is wrong. Nothing was confirmed." : "Type your password to confirm.",
      );
    }
    const wrong = await amountFault(deps, request, approval);
    if (wrong !== undefined) return fault("amount", wrong);
    const { acting, presence } = proof;
    const onRenewed = (token: NewToken) => void reply.header("set-cookie", cookieFor(deps, token));
    const decider = { actor: acting, name: human.name, origin: originOf(request), presence, onRenewed };
    const typed = typedAmountFault(body.amount, sumOf(approval.terms)) === undefined;
    const untypedBelowCents = typed ? undefined : deps.config.confirmAmountFromCents;
    const signed = { ...signedOf(body), untypedBelowCents };
    const confirm = () => confirmApproval(deps, keyOf(approval), decider, signed);
    return decide(deps, request, reply, human, approval, () =>
      presence.kind === "passkey" ? byPasskey(deps, request, acting, confirm) : confirm(),
    );
  });
}

/** The problem that a read without a lock already shows; `undefined`: none. */
function refusalBeforeLock(approval: HumanApproval, body: ConfirmBody): ProblemName | undefined {
  if (approval.state === "executing") return "payment_in_progress";
  if (approval.state !== "waiting") return "already_decided";
  if (approval.frozen) return "account_frozen";
  if (approval.paymentsPaused) return "payments_paused";
  return isCurrent(approval, body) ? undefined : "statement_stale";
}

/** The form's proof of presence, and the person with the session token that follows it. `undefined`: a password is wanted. */
async function findPresence(
  deps: ApprovalPageDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  approval: HumanApproval,
  human: Human,
): Promise<{ acting: Human; presence: Presence } | undefined> {
  const { assertion, password } = request.body as ConfirmBody;
  const { relyingParty, logger } = deps;
  if (assertion !== undefined && relyingParty !== undefined) {
    const checking = { relyingParty, logger, origin: originOf(request) };
    const presence = { kind: "passkey" as const, checking, assertion: readAssertion(assertion) };
    return { acting: human, presence };
  }
  // The account requires a passkey and the form has none. Confirming throws `passkey_required`.
  if (approval.coSign === "passkey")
    return { acting: human, presence: { kind: "session", provedAt: human.provedAt } };
  // A person with a passkey uses it now, or types the password: even a recent session may be in other hands.
  if (!password && (await presenceAsked(deps, human, approval)).by === "passkey") return undefined;
  const acting = await proveNow(deps, request, reply, human, password);
  return (
    acting && { acting, presence: { kind: password ? "password" : "session", provedAt: acting.provedAt } }
  );
}

async function amountFault(
  deps: ApprovalPageDeps,
  { body, headers }: FastifyRequest,
  approval: HumanApproval,
): Promise<string | undefined> {
  if ((await typedFromOf(deps, approval)) === undefined) return undefined;
  const { amount } = body as ConfirmBody;
  return typedAmountFault(amount, sumOf(approval.terms), readLocale(headers["accept-language"]));
}

function keyOf({ accountId, id }: HumanApproval): { accountId: string; approvalId: string } {
  return { accountId, approvalId: id };
}
