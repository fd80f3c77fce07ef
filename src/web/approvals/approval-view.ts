import { randomBytes } from "node:crypto";
import { Type } from "@sinclair/typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import { may } from "../../accounts/roles.ts";
import type { PaymentDeps } from "../../approvals/advance-service.ts";
import {
  findApprovalForHuman,
  type HumanApproval,
  listSignatures,
  readPageContext,
  type Signature,
} from "../../approvals/human-service.ts";
import type { InboxItem } from "../../approvals/inbox-service.ts";
import {
  findTypedFrom,
  readSigning,
  type Signing,
  type TypedFrom,
} from "../../approvals/second-signer-service.ts";
import { payingSource } from "../../approvals/source-rules.ts";
import { statementOf } from "../../approvals/statement-rules.ts";
import { findLatestPayment, listReversals } from "../../billing/payment-service.ts";
import { notFound } from "../../lib/problems.ts";
import { type Decision, type Source, statementDigest } from "../../lib/statement.ts";
import { findPasskeys } from "../../passkeys/presence-service.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { formToken } from "../../sign-in/form-token.ts";
import type { Human } from "../../sign-in/gate.ts";
import { isFresh, type SessionConfig } from "../../sign-in/service.ts";
import { passkeyOffer } from "../kit/presence.ts";
import { takeFault } from "../kit/said.ts";
import { show } from "../kit/site.ts";
import { type ApprovalView, approvalPage } from "./approval-page.ts";
import type { DecisionForm, PresenceAsked } from "./decision-forms.ts";

export type ApprovalPageDeps = SessionDeps &
  PaymentDeps & { config: SessionConfig & { confirmAmountFromCents: number } };

export const Params = Type.Object({ approvalId: Type.String() });

/** Who has confirmed first, by the approval's id: of the approvals in the inbox that one person has signed. */
export async function readFirstSigners(
  { db }: Pick<ApprovalPageDeps, "db">,
  items: readonly InboxItem[],
): Promise<ReadonlyMap<string, string>> {
  const names = new Map<string, string>();
  for (const { accountId, id } of items.filter(({ state, signed }) => state === "waiting" && signed)) {
    const approval = await findApprovalForHuman(db, [accountId], id);
    if (approval?.state !== "waiting") continue;
    const { first } = await readSigning(db, approval, statementOf(approval, "confirm", ""));
    if (first !== undefined) names.set(id, first.name);
  }
  return names;
}

/** What a decision's form sends: which statement its page showed. */
export const DECISION_FIELDS = {
  nonce: Type.String({ minLength: 1, maxLength: 64 }),
  digest: Type.String({ pattern: "^[0-9a-f]{64}$" }),
  form_token: Type.String({ maxLength: 100 }),
};
/** @property source what the page showed that would pay, as `writeSource` wrote it */
export type Shown = { nonce: string; digest: string; source?: string };

const NONCE_BYTES = 16;

/** The page of an approval as it is now, with what its last form came to. */
export async function showApproval(
  deps: ApprovalPageDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  human: Human,
): Promise<FastifyReply> {
  const approval = await findOwn(deps, request, human);
  const { fault, draft: typedAmount } = takeFault<string>(deps, request, reply, human);
  const [payment, signatures, context] = await Promise.all([
    findLatestPayment(deps.db, approval.accountId, approval.id),
    listSignatures(deps.db, approval.accountId, approval.id),
    readPageContext(deps.db, approval),
  ]);
  const reversals =
    payment?.status === "succeeded" ? await listReversals(deps.db, approval.accountId, [payment.id]) : [];
  const signing =
    approval.state === "waiting"
      ? await readSigning(deps.db, approval, statementOf(approval, "confirm", ""))
      : undefined;
  const may = mayDecide(human, approval);
  const form = (decision: Decision): DecisionForm => drawForm(deps, human, approval, decision);
  const page = approvalPage({
    approval,
    context,
    payment,
    reversals,
    returned: payment?.intentId != null && returnedFrom(request) === payment.intentId,
    lookToken: formToken(deps.keys, human, lookPurpose(request)),
    signed: signedView(approval, signatures),
    signing,
    hasSigned: signing?.first?.userId === human.userId,
    outdated: signing?.required === 2 ? outdatedOf(approval, signatures, signing.first) : undefined,
    forms:
      may && approval.state === "waiting"
        ? {
            confirm: form("confirm"),
            decline: form("decline"),
            presence: await presenceAsked(deps, human, approval),
            typedFrom: await typedFromOf(deps, approval),
            typedAmount,
          }
        : undefined,
    cancelToken: may ? formToken(deps.keys, human, `cancel-payment:${approval.id}`) : undefined,
    fault,
    passkeyOffer: hasConfirmed(human, approval, signatures)
      ? await passkeyOffer(deps, human, approvalPath(request))
      : undefined,
    pending: human.memberships.reduce((sum, membership) => sum + membership.pending, 0),
  });
  return show(deps, reply, page, { human });
}

function hasConfirmed(
  { userId }: Human,
  { state }: HumanApproval,
  signatures: readonly Signature[],
): boolean {
  return (
    state === "confirmed" && signatures.some((one) => one.user_id === userId && one.decision === "confirm")
  );
}

/** A confirmation that does not count any more, as something else would pay now than its statement says. */
function outdatedOf(
  approval: HumanApproval,
  signatures: readonly Signature[],
  first: Signing["first"],
): ApprovalView["outdated"] {
  if (first !== undefined) return undefined;
  const now = payingSource(approval);
  return signatures.find(
    ({ decision, payment_id, source }) =>
      decision === "confirm" &&
      payment_id === null &&
      source !== null &&
      now !== null &&
      !isSame(source, now),
  );
}

function isSame(one: Source, other: Source): boolean {
  return one.kind === other.kind && one.brand === other.brand && one.last4 === other.last4;
}

/** The people who decided: the last to sign, or all whose signatures a payment used. */
function signedView({ state }: HumanApproval, signatures: readonly Signature[]): ApprovalView["signed"] {
  const [last] = signatures;
  if (last === undefined) return undefined;
  const counted =
    state === "confirmed" ? signatures.filter((one) => one.payment_id === last.payment_id) : [last];
  return { signers: counted.map(({ signer }) => signer).reverse(), source: last.source };
}

/** The proof of presence to request, from the account's policy and the person's passkeys. */
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

/** Whether the person must type the amount, and why; `undefined`: they need not. */
export function typedFromOf(
  { db, config }: ApprovalPageDeps,
  approval: HumanApproval,
): Promise<TypedFrom | undefined> {
  return findTypedFrom(db, approval, config.confirmAmountFromCents);
}

/** Creates a form whose token is valid only for the statement on this page. */
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
    source: decision === "confirm" ? writeSource(payingSource(approval)) : "",
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

/** Whether the statement that the page showed is still the current one. */
export function isCurrent(approval: HumanApproval, { nonce, digest }: Shown): boolean {
  return statementDigest(statementOf(approval, "confirm", nonce)).toString("hex") === digest;
}

/** What would pay, as a form carries it: `credits`, or `card visa 4242`; empty: nothing has to. */
function writeSource(source: Source | null): string {
  if (source === null) return "";
  return source.kind === "credits" ? "credits" : `card ${source.brand} ${source.last4}`;
}

/** The funding source that the page showed. `undefined`: it does not say, or the digest says something else. */
export function sourceShown(approval: HumanApproval, { nonce, digest, source }: Shown): Source | undefined {
  const [kind, brand = "", last4 = ""] = source?.split(" ") ?? [];
  const shown: Source | undefined =
    kind === "card"
      ? { kind, brand, last4 }
      : kind === "credits"
        ? { kind, brand: null, last4: null }
        : undefined;
  if (shown === undefined) return undefined;
  const statement = { ...statementOf(approval, "confirm", nonce), source: shown };
  return statementDigest(statement).toString("hex") === digest ? shown : undefined;
}

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

/** The intent id in the bank's return URL, if there is one. */
export function returnedFrom({ query }: FastifyRequest): string | undefined {
  const { payment_intent: intentId } = query as { payment_intent?: unknown };
  return typeof intentId === "string" && /^\w{1,100}$/.test(intentId) ? intentId : undefined;
}
