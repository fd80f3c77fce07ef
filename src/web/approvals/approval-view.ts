import { randomBytes } from "node:crypto";
import { Type } from "@sinclair/typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import { may } from "../../accounts/roles.ts";
import type { PaymentDeps } from "../../approvals/advance-service.ts";
import { statementOf } from "../../approvals/decision-service.ts";
import {
  findApprovalForHuman,
  type HumanApproval,
  isRecorded,
  listSignatures,
  type Signature,
} from "../../approvals/human-service.ts";
import { isAmountTyped, readSigning } from "../../approvals/second-signer-service.ts";
import { payingSource } from "../../approvals/source-rules.ts";
import { findLatestPayment, listReversals } from "../../billing/payment-service.ts";
import { html } from "../../lib/html.ts";
import { notFound, Problem, problemRow } from "../../lib/problems.ts";
import { type Decision, statementDigest } from "../../lib/statement.ts";
import { findPasskeys } from "../../passkeys/presence-service.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { formToken } from "../../sign-in/form-token.ts";
import type { Human } from "../../sign-in/gate.ts";
import { isFresh, type SessionConfig } from "../../sign-in/service.ts";
import type { Page } from "../kit/layout.ts";
import { show } from "../kit/site.ts";
import { sourceName } from "../kit/wording.ts";
import { type ApprovalView, approvalPage } from "./approval-page.ts";
import type { DecisionForm, PresenceAsked } from "./decision-forms.ts";

export type ApprovalPageDeps = SessionDeps &
  PaymentDeps & { config: SessionConfig & { confirmAmountFromCents: number } };

export const Params = Type.Object({ approvalId: Type.String() });

/** Who has confirmed first, by the approval's id: of the approvals that wait for a second person. */
export async function readFirstSigners(
  { db }: Pick<ApprovalPageDeps, "db">,
  approvals: readonly HumanApproval[],
): Promise<ReadonlyMap<string, string>> {
  const names = new Map<string, string>();
  for (const one of approvals) {
    if (one.state !== "waiting" || one.secondSignerFromCents === null) continue;
    const { first } = await readSigning(db, one, statementOf(one, "confirm", ""));
    if (first !== undefined) names.set(one.id, first.name);
  }
  return names;
}

/** What a decision's form sends: which statement its page showed. */
export const DECISION_FIELDS = {
  nonce: Type.String({ minLength: 1, maxLength: 64 }),
  digest: Type.String({ pattern: "^[0-9a-f]{64}$" }),
  form_token: Type.String({ maxLength: 100 }),
};
type Shown = { nonce: string; digest: string };

const NONCE_BYTES = 16;

/** What the page says beyond what it shows; with a field, of that field, whose value comes back if it may. */
export type Said = { status: number; message: string; field?: string; typedAmount?: string | undefined };

/** The page of an approval as it is now. */
export async function showApproval(
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
  const signatures = await listSignatures(deps.db, approval.accountId, approval.id);
  const signing =
    approval.state === "waiting"
      ? await readSigning(deps.db, approval, statementOf(approval, "confirm", ""))
      : undefined;
  const may = mayDecide(human, approval);
  const form = (decision: Decision): DecisionForm => drawForm(deps, human, approval, decision);
  const page = approvalPage({
    approval,
    payment,
    reversals,
    returned: payment?.intentId != null && returnedFrom(request) === payment.intentId,
    lookToken: formToken(deps.keys, human, lookPurpose(request)),
    signed: signedView(approval, signatures),
    signing,
    hasSigned: signing?.first?.userId === human.userId,
    forms:
      may && approval.state === "waiting"
        ? {
            confirm: form("confirm"),
            decline: form("decline"),
            presence: await presenceAsked(deps, human, approval),
            typedAmount: (await isLarge(deps, approval)) ? (said?.typedAmount ?? "") : undefined,
          }
        : undefined,
    cancelToken: may ? formToken(deps.keys, human, `cancel-payment:${approval.id}`) : undefined,
    problem: said?.field === undefined ? said?.message : undefined,
    fault: said?.field === undefined ? undefined : { field: said.field, message: said.message },
  });
  return show(deps, reply, page, { human, status: said?.status ?? 200 });
}

/** Who decided: the last to sign, or, of what was paid, everybody whose signature it was paid for. */
function signedView({ state }: HumanApproval, signatures: readonly Signature[]): ApprovalView["signed"] {
  const [last] = signatures;
  if (last === undefined) return undefined;
  const counted =
    state === "confirmed" ? signatures.filter((one) => one.payment_id === last.payment_id) : [last];
  return { signers: counted.map(({ signer }) => signer).reverse(), source: last.source };
}

/** How this person shows that they are there, if they confirm: as the account demands it, with what they have. */
export async function presenceAsked(
  { db, relyingParty }: ApprovalPageDeps,
  human: Human,
  { coSign }: HumanApproval,
): Promise<PresenceAsked> {
  const demanded = coSign === "passkey";
  if (relyingParty === undefined && demanded) return { by: "nothing-here" };
  const passkeys = relyingParty === undefined ? "none" : await findPasskeys(db, human.userId);
  if (passkeys === "some") return { by: "passkey", elsePassword: demanded ? undefined : human.email };
  if (demanded) return { by: passkeys === "waiting" ? "passkey-that-waits" : "passkey-to-add" };
  return isFresh(human, human.now) ? { by: "session" } : { by: "password", email: human.email };
}

/** Whether the account pays so much that the amount is typed before it is confirmed. */
export function isLarge({ db, config }: ApprovalPageDeps, approval: HumanApproval): Promise<boolean> {
  return isAmountTyped(db, approval, config.confirmAmountFromCents);
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

/** What a decision's form is bound to, as `drawForm` said it. */
export function purposeOf(request: FastifyRequest, decision: Decision): string {
  const { digest } = request.body as { digest: string };
  return `approval:${idOf(request)}:${decision}:${digest}`;
}

export function signedOf({ nonce, digest }: Shown) {
  return { nonce, digest: Buffer.from(digest, "hex") };
}

/** Whether a confirmation of what the page showed would be one of what is there now. */
export function isCurrent(approval: HumanApproval, { nonce, digest }: Shown): boolean {
  return statementDigest(statementOf(approval, "confirm", nonce)).toString("hex") === digest;
}

/**
 * Runs a decision. Refused: the page as it is now, saying why. If its answer was lost, as when the database fails over
 * just then, the page says whether it was recorded.
 */
export async function decide(
  deps: ApprovalPageDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  human: Human,
  approval: HumanApproval,
  work: () => Promise<void>,
): Promise<FastifyReply> {
  try {
    await work();
  } catch (error) {
    // What the page shows is for those who are signed in.
    if (error instanceof Problem && error.problem === "session_ended") throw error;
    if (error instanceof Problem) return refuse(deps, request, reply, human, error);
    request.log.warn({ reqId: request.id, err: error }, "the outcome of a decision is not known yet");
    const recorded = await wasRecorded(deps, request, approval);
    if (recorded !== true) return sayUnrecorded(deps, request, reply, human, recorded);
  }
  return reply.redirect(approvalPath(request), 303);
}

/** `undefined`: nobody can say yet. */
function wasRecorded(
  { db }: ApprovalPageDeps,
  { body }: FastifyRequest,
  approval: HumanApproval,
): Promise<boolean | undefined> {
  const { digest } = body as Partial<Shown>;
  if (digest === undefined) return Promise.resolve(undefined);
  return isRecorded(db, approval, Buffer.from(digest, "hex")).catch(() => undefined);
}

/** The page as it is now, or, while it cannot be read, one that says where to look. */
async function sayUnrecorded(
  deps: ApprovalPageDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  human: Human,
  recorded: false | undefined,
): Promise<FastifyReply> {
  const message = recorded === undefined ? UNKNOWN : UNRECORDED;
  return showApproval(deps, request, reply, human, { status: 503, message }).catch(() =>
    show(deps, reply, unknownPage(approvalPath(request)), { human, status: 503 }),
  );
}

const UNRECORDED =
  "Nothing was recorded, and nothing was charged: the service was interrupted. Decide again.";
const UNKNOWN =
  "The service was interrupted, and we don't know yet whether your answer was recorded. Reload this page in a minute.";

const unknownPage = (path: string): Page => ({
  title: "We don't know yet",
  body: html`
      <p>The service was interrupted. We don't know yet whether your answer was recorded.</p>
      <p><a href="${path}">Open the approval again</a> in a minute: it shows what was recorded. Nothing is charged
        twice.</p>`,
});

/** The page as it is now, saying why a decision was refused. */
export async function refuse(
  deps: ApprovalPageDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  human: Human,
  problem: Problem,
): Promise<FastifyReply> {
  const { status } = problemRow(problem.problem);
  const message = await explain(deps, request, human, problem);
  return showApproval(deps, request, reply, human, { status, message });
}

/** What pays now, after the page has shown something else. */
function sourceNow(approval: HumanApproval): string {
  const source = payingSource(approval);
  if (source === null) return "no card is on file any more";
  if (source.kind === "credits") return "the account’s credits pay now";
  const short = approval.billing === "credits_first" ? "the available credits don’t cover it, so " : "";
  return `${short}the ${sourceName(source)} pays now`;
}

/**
 * Why a decision was refused. While an approval waits its terms stand, so what makes a page stale is another
 * card, credits that do or do not cover it any more, or that the page was sent twice.
 */
async function explain(
  deps: ApprovalPageDeps,
  request: FastifyRequest,
  human: Human,
  { problem, message }: Problem,
): Promise<string> {
  if (PRESENCE_PROBLEMS.has(problem)) return `Nothing was confirmed. ${message}`;
  if (problem !== "statement_stale") return message;
  const approval = await findOwn(deps, request, human);
  if (approval.state !== "waiting") return message;
  if (isCurrent(approval, request.body as Shown))
    return "This page was sent twice, and counted once. Read it again before you decide.";
  if (approval.type !== "milestone_fund") return message;
  return `Something changed since you opened this page: ${sourceNow(approval)}. Nothing was confirmed. Read it again before you decide.`;
}

const PRESENCE_PROBLEMS: ReadonlySet<string> = new Set([
  "presence_expired",
  "passkey_required",
  "passkey_refused",
  "challenge_expired",
]);

/**
 * The approval of the address, if it is of an account of this person's.
 * @throws Problem not_found
 */
export async function findOwn(
  deps: ApprovalPageDeps,
  request: FastifyRequest,
  human: Human,
): Promise<HumanApproval> {
  const id = idOf(request);
  const approval = await findApprovalForHuman(deps.db, accountsOf(human), id);
  if (approval === undefined) throw notFound("approvals", "approvalId", id);
  return approval;
}

export function accountsOf({ memberships }: Human): string[] {
  return memberships.map((membership) => membership.accountId);
}

export function mayDecide({ memberships }: Human, { accountId }: HumanApproval): boolean {
  const role = memberships.find((membership) => membership.accountId === accountId)?.role;
  return role !== undefined && may(role, "decide");
}

export function idOf(request: FastifyRequest): string {
  return (request.params as { approvalId: string }).approvalId;
}

export function lookPurpose(request: FastifyRequest): string {
  return `look:${idOf(request)}`;
}

export function approvalPath(request: FastifyRequest): string {
  return `/approvals/${encodeURIComponent(idOf(request))}`;
}

/** The intent that the person's bank was asked about, if it is from there that they come. */
export function returnedFrom({ query }: FastifyRequest): string | undefined {
  const { payment_intent: intentId } = query as { payment_intent?: unknown };
  return typeof intentId === "string" && /^\w{1,100}$/.test(intentId) ? intentId : undefined;
}
