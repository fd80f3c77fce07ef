import { byPerson, recordAudit } from "../audit/service.ts";
import { atBoundary } from "../billing/boundaries.ts";
import * as payments from "../billing/payment-service.ts";
import { readClock } from "../database/clock.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { Proof } from "../database/schema.ts";
import { inTransaction, together } from "../database/transaction.ts";
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
import { advanceAll, drive, type PaymentDeps } from "./advance-service.ts";
import { type Begun, beginAction } from "./attempt-service.ts";
import { approvalEvent } from "./booking.ts";
import { putChallenge, takeChallenge } from "./challenge-store.ts";
import * as store from "./human-store.ts";
import { takeRequested } from "./mail-service.ts";
import { findTypedFrom, mailOtherDeciders, readSigning } from "./second-signer-service.ts";
import { insertSignature } from "./signature-store.ts";
import { canPay, statementOf } from "./statement-rules.ts";

/**
 * The person who decides, their name, where they act from, and what proves their presence. `onRenewed` receives the
 * session's new token after a decision by passkey.
 */
export type Decider = {
  actor: Actor;
  name: string;
  origin: Origin;
  presence: Presence;
  onRenewed?: (token: NewToken) => void;
};

/**
 * A password typed for this decision, or a recent sign-in, and when; or a passkey's answer to the statement's digest.
 */
export type Presence =
  | { kind: "password" | "session"; provedAt: Date }
  | { kind: "passkey"; checking: Checking; assertion: Assertion | undefined };

type ApprovalKey = { accountId: string; approvalId: string };

/**
 * What the page showed: the decision, its nonce and the digest of its statement. `untypedBelowCents`: the operator's
 * amount from which the person types it, where they did not; absent: they did.
 */
export type Signed = { nonce: string; digest: Buffer; untypedBelowCents?: number | undefined };

/**
 * Creates the challenge for a person's passkey: the digest of the statement on their page, valid once, in this
 * session, for 5 minutes (docs/contract.md §7). Created when they press the button, so that an outdated page is
 * rejected before the passkey is used.
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
  await inTransaction(db, async (trx, begun) => {
    const account = { id: accountId, may: "decide", unfrozen: true } as const;
    const [, , subject] = await together(
      assertNotPaused(trx),
      holdActor(trx, actor, { account }, begun),
      store.findSubject(trx, accountId, approvalId),
    );
    const row = await lockOpen(trx, accountId, approvalId, subject);
    const { now } = row;
    if (!canPay(row)) throw new Problem("statement_stale");
    assertUnchanged(row, statementOf(row, "confirm", signed.nonce), signed);
    const challenge = { accountId, approvalId, userId, sessionId, digest: signed.digest };
    await putChallenge(trx, challenge, { now, expiresAt: addSeconds(now, CHALLENGE_SECONDS) });
  });
}

/**
 * Confirms: one transaction writes the signature, locks the milestones and writes the attempts; then the money moves
 * (docs/contract.md §1, docs/design.md Paying). Returns when the outcome is known, or after the time limit. If two people
 * must sign, the first signature is stored and nothing else happens; a repeat by the same person changes nothing.
 * @throws Problem not_found, not_permitted, presence_expired, passkey_required, passkey_refused, challenge_expired,
 * statement_stale, amount_untyped, already_decided, payment_in_progress, payment_disputed, payments_paused,
 * account_frozen
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
  else if (begun !== undefined && begun !== "done") await drive(deps, begun);
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
  // A passkey's answer is checked in this transaction; the other proofs were checked before the body was read.
  const proves = presence.kind === "passkey" ? ({ changes: "token" } as const) : { fresh: true };
  const begun = await readClock(trx);
  // Exclusive, so that one confirmation at a time sums up what the account pays and adds to it.
  const account = { id: accountId, may: "decide", unfrozen: true, alone: true } as const;
  const [, , subject] = await together(
    assertNotPaused(trx),
    holdActor(trx, actor, { ...proves, account }, begun),
    store.findSubject(trx, accountId, approvalId),
  );
  const row = await lockOpen(trx, accountId, approvalId, subject);
  const { now } = row;
  if (!canPay(row)) throw new Problem("statement_stale");
  const statement = statementOf(row, "confirm", signed.nonce);
  assertUnchanged(row, statement, signed);
  const { untypedBelowCents } = signed;
  if (untypedBelowCents !== undefined && (await findTypedFrom(trx, row, untypedBelowCents)) !== undefined)
    throw new Problem("amount_untyped");
  const { required, first } = await readSigning(trx, row, statement);
  if (first?.userId === userId) return {};
  const [, requested] = await together(
    sign(trx, row, statement, decider, signed, required),
    takeRequested(trx, deps.config, accountId, [approvalId], now),
  );
  noteTaken(row, "confirm");
  const signatures = [...(first === undefined ? [] : [first]), { userId, digest: signed.digest }];
  const written: Written = {};
  if (presence.kind === "passkey")
    written.token = await renewSession(trx, actor, { proved: true, trusted: true }, now);
  if (signatures.length === required)
    written.begun = await beginAction(trx, deps, row, signatures, requested, now);
  else {
    await mailOtherDeciders(trx, deps.config, row, userId, now);
    await appendEvents(trx, accountId, requested, now);
  }
  return written;
}

/**
 * Declines: ends the approval, appends its event and links its receipt.
 * @param note why, for the agent; at most 500 characters
 * @throws Problem not_found, not_permitted, statement_stale, already_decided, payment_in_progress
 */
export async function declineApproval(
  { db, config }: { db: Db; config: { publicUrl: string } },
  { accountId, approvalId }: ApprovalKey,
  decider: Decider,
  signed: Signed,
  note?: string,
): Promise<void> {
  await inTransaction(db, async (trx, begun) => {
    const account = { id: accountId, may: "decide" } as const;
    const [, subject] = await together(
      holdActor(trx, decider.actor, { account }, begun),
      store.findSubject(trx, accountId, approvalId),
    );
    const row = await lockOpen(trx, accountId, approvalId, subject);
    const { now } = row;
    const statement = statementOf(row, "decline", signed.nonce);
    assertUnchanged(row, statement, signed);
    const [, requested] = await together(
      sign(trx, row, statement, decider, signed, 1),
      takeRequested(trx, config, accountId, [approvalId], now),
    );
    noteTaken(row, "decline");
    if (!(await store.declinePending(trx, accountId, approvalId, note, now)))
      throw new Problem("already_decided");
    await appendEvents(trx, accountId, [...requested, approvalEvent(row, "declined")], now);
    await linkDecision(trx, accountId, approvalId, now);
  });
}

/** Locks an approval that can still be decided. The caller holds the actor. */
async function lockOpen(
  trx: Trx,
  accountId: string,
  approvalId: string,
  subject: store.ApprovalSubject | undefined,
): Promise<store.HumanApprovalRow> {
  const held = subject && (await store.lockForDecision(trx, accountId, approvalId, subject));
  if (held === undefined) throw notFound("approvals", "approvalId", approvalId);
  const { row, heldAt } = held;
  if (row.executing) throw new Problem("payment_in_progress", { approvalId });
  // Read after the lock: a request that reported the approval as expired held the lock before.
  if (row.status !== "pending" || row.expiresAt <= heldAt) throw new Problem("already_decided");
  return row;
}

async function assertNotPaused(trx: Trx): Promise<void> {
  if (await payments.holdPause(trx)) throw paymentsPaused();
}

/**
 * Writes the signature. The caller has compared the statement with the one on the page.
 * @param signersRequired how many people must sign
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
  const [inserted] = await together(
    insertSignature(
      trx,
      { accountId, approvalId, digest: signed.digest, userId, decision, statement, proof, signersRequired },
      now,
    ),
    recordAudit(trx, entry, now),
  );
  if (!inserted) throw new Problem("statement_stale");
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

/** Checks the proof of presence that the account requires for this decision. */
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
    throw new Problem("challenge_expired");
  }
  const answer = { assertion, challenge: digest };
  const proof = await provePasskey(trx, checking, userId, answer, now);
  if (proof === undefined) throw new Problem("passkey_refused");
  return proof;
}
