import { byPerson, recordAudit } from "../audit/service.ts";
import * as payments from "../billing/payment-service.ts";
import { readClock, readClockNow } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { Proof } from "../database/schema.ts";
import { inTransaction } from "../database/transaction.ts";
import { appendEvents } from "../events/service.ts";
import { canonicalDigest } from "../lib/canonical.ts";
import type { Origin } from "../lib/origin.ts";
import { notFound, Problem, paymentsPaused } from "../lib/problems.ts";
import { type ApprovalType, type Decision, type Statement, statementDigest } from "../lib/statement.ts";
import { addSeconds, SECOND } from "../lib/time.ts";
import { observeDecision } from "../metrics/metrics.ts";
import {
  type Assertion,
  CHALLENGE_SECONDS,
  type Checking,
  logRefusal,
  provePasskey,
} from "../passkeys/presence-service.ts";
import { linkDecision } from "../receipts/service.ts";
import { type Actor, holdActor, type NewToken, renewSession } from "../sign-in/service.ts";
import { type Begun, beginAction } from "./attempt.ts";
import { approvalEvent } from "./booking.ts";
import { atBoundary } from "./boundaries.ts";
import { putChallenge, takeChallenge } from "./challenge-store.ts";
import * as store from "./human-store.ts";
import { advanceAll, driveNewPayment, type PaymentDeps } from "./payment.ts";
import { mailOtherDeciders, readSigning } from "./second-signer.ts";
import { payingSource } from "./source.ts";

/**
 * The human who decides, by what name and from where, what proves that they are there, and whom to tell of the session's
 * new token once the decision is recorded: a passkey's proof renews the session.
 */
export type Decider = {
  actor: Actor;
  name: string;
  origin: Origin;
  presence: Presence;
  onRenewed?: (token: NewToken) => void;
};

/** A password that was typed for it, or a sign-in lately, and when; or what a passkey says to the statement's digest. */
export type Presence =
  | { kind: "password" | "session"; provedAt: Date }
  | { kind: "passkey"; checking: Checking; assertion: Assertion | undefined };

type ApprovalKey = { accountId: string; approvalId: string };

/** What the page showed: which decision, the nonce that it drew, and the digest that it was bound to. */
export type Signed = { nonce: string; digest: Buffer };

/** The statement that a decision would sign now. */
export function statementOf(
  row: store.HumanApprovalRow,
  decision: Decision,
  nonce: string,
): Statement<ApprovalType> {
  const common = {
    v: 1 as const,
    accountId: row.organizationId,
    approvalId: row.id,
    decision,
    source: decision === "decline" ? null : payingSource(row),
    nonce,
  };
  switch (row.type) {
    case "milestone_fund":
      return { ...common, action: row.type, terms: row.terms };
    case "milestone_approve":
      return { ...common, action: row.type, terms: row.terms };
    default:
      return { ...common, action: row.type, terms: row.terms };
  }
}

/** Whether there is something to pay from, where something must pay. */
export function canPay({ type, card }: store.HumanApprovalRow): boolean {
  return type !== "milestone_fund" || card !== null;
}

/**
 * Asks a person's passkey to sign what their page shows: the challenge is the statement's digest, and counts for
 * this session, once, within 5 minutes (docs/contract.md §7). Issued when they press the button, so that nothing is asked
 * of them for a page that could not be signed any more.
 * @throws Problem not_found, not_permitted, statement_stale, already_decided, payment_in_progress, payments_paused,
 * account_frozen
 */
export async function issueChallenge(
  db: Db,
  { accountId, approvalId }: ApprovalKey,
  actor: Actor,
  signed: Signed,
): Promise<void> {
  const { userId, sessionId } = actor;
  await inTransaction(db, async (trx) => {
    if (await payments.holdPause(trx)) throw paymentsPaused();
    const account = { id: accountId, may: "decide", unfrozen: true } as const;
    await holdActor(trx, actor, { account }, await readClock(trx));
    const row = await lockOpen(trx, accountId, approvalId);
    const { now } = row;
    if (!canPay(row)) throw new Problem("statement_stale");
    assertUnchanged(row, statementOf(row, "confirm", signed.nonce), signed);
    const challenge = { accountId, approvalId, userId, sessionId, digest: signed.digest };
    await putChallenge(trx, challenge, { now, expiresAt: addSeconds(now, CHALLENGE_SECONDS) });
  });
}

/**
 * Confirms: writes the signature, takes the milestones and writes the attempts, all in one transaction; then
 * moves the money (docs/contract.md §1, docs/design.md Paying). Returns when the outcome is known, or known to be open. Where two
 * people must sign, the first signature is kept and nothing else happens; the same person's next one changes nothing.
 * @throws Problem not_found, not_permitted, presence_lapsed, passkey_required, passkey_refused, challenge_lapsed,
 * statement_stale, already_decided, payment_in_progress, payment_disputed, payments_paused, account_frozen
 */
export async function confirmApproval(
  given: PaymentDeps,
  key: ApprovalKey,
  decider: Decider,
  signed: Signed,
): Promise<void> {
  const deps = { ...given, requestId: decider.origin.requestId ?? undefined };
  const { token, begun } = await atBoundary(deps, "write-signed-attempt", () =>
    inTransaction(deps.db, (trx) => writeConfirmation(trx, deps, key, decider, signed)),
  );
  if (token !== undefined) decider.onRenewed?.(token);
  const { accountId, approvalId } = key;
  if (begun === "many") await advanceAll(deps, accountId, approvalId);
  else if (begun !== undefined && begun !== "done")
    await driveNewPayment(deps, { accountId, id: begun.paymentId }, begun.leaseId);
}

type Written = { token?: NewToken | undefined; begun?: Begun };

async function writeConfirmation(
  trx: Trx,
  deps: PaymentDeps,
  { accountId, approvalId }: ApprovalKey,
  decider: Decider,
  signed: Signed,
): Promise<Written> {
  const { actor, presence } = decider;
  const { userId } = actor;
  // A passkey is asked now; what else proves them was found before the body of the request had come.
  const proves = presence.kind === "passkey" ? ({ changes: "token" } as const) : { fresh: true };
  if (await payments.holdPause(trx)) throw paymentsPaused();
  // Alone: what the account pays is summed up and added to by one confirmation at a time.
  const account = { id: accountId, may: "decide", unfrozen: true, alone: true } as const;
  await holdActor(trx, actor, { ...proves, account }, await readClock(trx));
  const row = await lockOpen(trx, accountId, approvalId);
  const { now } = row;
  if (!canPay(row)) throw new Problem("statement_stale");
  const statement = statementOf(row, "confirm", signed.nonce);
  assertUnchanged(row, statement, signed);
  const { required, first } = await readSigning(trx, row, statement);
  if (first?.userId === userId) return {};
  await sign(trx, row, statement, decider, signed, required);
  noteTaken(row, "confirm");
  const signatures = [...(first === undefined ? [] : [first]), { userId, digest: signed.digest }];
  const written: Written = {};
  if (presence.kind === "passkey")
    written.token = await renewSession(trx, actor, { proved: true, trusted: true }, now);
  if (signatures.length === required)
    written.begun = await beginAction(trx, deps.processor, row, signatures, now);
  else await mailOtherDeciders(trx, deps.config, row, userId, now);
  return written;
}

/**
 * Declines: the approval ends, its event tells of it, and its receipt proves it.
 * @param note why, for the agent to read; at most 500 characters
 * @throws Problem not_found, not_permitted, statement_stale, already_decided, payment_in_progress
 */
export async function declineApproval(
  db: Db,
  { accountId, approvalId }: ApprovalKey,
  decider: Decider,
  signed: Signed,
  note?: string,
): Promise<void> {
  await inTransaction(db, async (trx) => {
    const account = { id: accountId, may: "decide" } as const;
    await holdActor(trx, decider.actor, { account }, await readClock(trx));
    const row = await lockOpen(trx, accountId, approvalId);
    const { now } = row;
    const statement = statementOf(row, "decline", signed.nonce);
    assertUnchanged(row, statement, signed);
    await sign(trx, row, statement, decider, signed, 1);
    noteTaken(row, "decline");
    if (!(await store.declinePending(trx, accountId, approvalId, note, now)))
      throw new Problem("already_decided");
    await appendEvents(trx, accountId, [approvalEvent(row, "declined")], now);
    await linkDecision(trx, accountId, approvalId, now);
  });
}

/** The approval, held, if it can still be decided. Whoever calls holds who decides. */
async function lockOpen(trx: Trx, accountId: string, approvalId: string): Promise<store.HumanApprovalRow> {
  const row = await store.lockForDecision(trx, accountId, approvalId);
  if (row === undefined) throw notFound("approvals", "approvalId", approvalId);
  if (row.executing) throw new Problem("payment_in_progress", { approvalId });
  // By the clock as it is with the approval held: whoever has seen it lapsed held it before.
  const held = await readClockNow(trx);
  if (row.status !== "pending" || row.expiresAt <= held) throw new Problem("already_decided");
  return row;
}

/**
 * Signs what the page showed, which the caller has compared with what would be done.
 * @param signersRequired how many people must sign for the decision to count
 */
async function sign(
  trx: Trx,
  row: store.HumanApprovalRow,
  statement: Statement<ApprovalType>,
  decider: Decider,
  signed: Signed,
  signersRequired: 1 | 2,
): Promise<void> {
  const { accountId, id: approvalId, now } = row;
  const { decision } = statement;
  const { actor, name, origin } = decider;
  const { userId } = actor;
  const proof = await provePresence(trx, row, decision, decider, signed, now);
  const inserted = await store.insertSignature(
    trx,
    { accountId, approvalId, digest: signed.digest, userId, decision, statement, proof, signersRequired },
    now,
  );
  if (!inserted) throw new Problem("statement_stale");
  const entry = {
    accountId,
    actor: byPerson({ userId, name }),
    action: decision === "confirm" ? ("approval_confirmed" as const) : ("approval_declined" as const),
    subject: { kind: "approval", id: approvalId },
    detail: {
      by: proof.kind,
      statement: signed.digest.toString("hex"),
      ...(signersRequired === 2 && { signersRequired }),
    },
    origin,
  };
  await recordAudit(trx, entry, now);
}

/** Measures how long the person took. A transaction that is tried again measures twice, which no graph shows. */
function noteTaken({ createdAt, now }: store.HumanApprovalRow, decision: Decision): void {
  observeDecision(decision, (now.getTime() - createdAt.getTime()) / SECOND);
}

function assertUnchanged(row: store.HumanApprovalRow, statement: Statement, { digest }: Signed): void {
  const unchanged =
    digest.equals(statementDigest(statement)) &&
    row.termsDigest.equals(canonicalDigest(row.terms)) &&
    row.termsDigest.equals(canonicalDigest(row.presentTerms));
  if (!unchanged) throw new Problem("statement_stale");
}

/** What shows that the person is there, as the account demands it: for a confirmation, a passkey perhaps. */
async function provePresence(
  trx: Trx,
  { accountId, id: approvalId, coSign }: store.HumanApprovalRow,
  decision: Decision,
  { actor: { userId, sessionId }, presence }: Decider,
  { digest }: Signed,
  now: Date,
): Promise<Proof> {
  if (presence.kind !== "passkey") {
    if (coSign === "passkey" && decision === "confirm") throw new Problem("passkey_required");
    return { kind: presence.kind, provedAt: presence.provedAt.toISOString() };
  }
  const { checking, assertion } = presence;
  if (assertion === undefined) {
    logRefusal(checking, "unreadable");
    throw new Problem("passkey_refused");
  }
  const challenge = { accountId, approvalId, userId, sessionId, digest };
  if (!(await takeChallenge(trx, challenge, now))) {
    logRefusal(checking, "challenge_unknown_or_expired");
    throw new Problem("challenge_lapsed");
  }
  const answer = { assertion, challenge: digest };
  const proof = await provePasskey(trx, checking, userId, answer, now);
  if (proof === undefined) throw new Problem("passkey_refused");
  return proof;
}
