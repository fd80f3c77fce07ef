import { findAsker } from "../accounts/key-service.ts";
import type { Grant } from "../accounts/service.ts";
import { holdToken } from "../accounts/token-service.ts";
import { type Act, type Actor, recordAudit } from "../audit/service.ts";
import { endContract, holdContract, holdMilestone } from "../contracts/service.ts";
import { readClockNow } from "../database/clock.ts";
import type { Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import { appendEvents } from "../events/service.ts";
import { canonicalDigest } from "../lib/canonical.ts";
import { isExternalId, isUuid, newId } from "../lib/ids.ts";
import type { Origin } from "../lib/origin.ts";
import { notFound, Problem, paymentsPaused } from "../lib/problems.ts";
import type { ApprovalTerms } from "../lib/statement.ts";
import { addSeconds } from "../lib/time.ts";
import { type AnyEvent, toExpiredEvent } from "./booking.ts";
import { queueRequests } from "./funding-store.ts";
import { assertPendingLimit } from "./limits.ts";
import { takeRequested } from "./mail-service.ts";
import * as requests from "./request-store.ts";
import type { Approval } from "./schemas.ts";
import type { ApprovalDeps } from "./service.ts";
import * as store from "./store.ts";
import { hasExpired, toApproval } from "./wire.ts";

export type RequestDeps = ApprovalDeps & {
  /** Locks the person who requests, before anything else. */
  holdPerson?: (trx: Trx, now: Date) => Promise<unknown>;
};

/** A pending approval, or a contract that ended at once. */
export type EndAnswer = { approval: Approval } | { ended: true; contractId: string };

/**
 * Records an agent's request to release a milestone's money, or finds the pending request (docs/contract.md §1).
 * Moves nothing.
 * @returns `undefined` if the token has ended meanwhile
 * @throws Problem not_found, contract_ended, milestone_cancelled, milestone_not_funded {status}, payment_disputed
 * {status}, payout_account_required {contractId}, payments_paused, too_many_pending
 */
export function requestRelease(
  deps: RequestDeps,
  grant: Grant,
  milestoneId: string,
): Promise<Approval | undefined> {
  return asToken(deps, grant, async (request) => {
    const { trx } = request;
    if (!isExternalId(milestoneId)) throw notFound("milestones", "milestoneId", milestoneId);
    await queueRequests(trx, grant.accountId);
    await holdMilestone(trx, grant.accountId, milestoneId);
    const subject = await requests.readRelease(trx, grant.accountId, milestoneId);
    const { contractId, milestoneStatus: status } = subject;
    if (subject.contractStatus === "ended") throw new Problem("contract_ended", { contractId });
    if (status === "CANCELLED") throw new Problem("milestone_cancelled");
    if (status !== "ACTIVE_FUNDED") throw new Problem("milestone_not_funded", { status });
    assertUndisputed(subject);
    if (subject.payoutAccount === null) throw new Problem("payout_account_required", { contractId });
    return pendOrCreate(request, subject, { type: "milestone_approve", milestoneId });
  });
}

/**
 * Ends a contract that holds no money at once; otherwise records an agent's request to end it, or finds the pending
 * request (docs/contract.md §1).
 * @returns `undefined` if the token has ended meanwhile
 * @throws Problem not_found, contract_ended, payment_in_progress, payment_disputed {status}, payments_paused,
 * too_many_pending
 */
export function requestEnd(
  deps: RequestDeps,
  grant: Grant,
  contractId: string,
  actor: Actor,
  origin: Origin,
): Promise<EndAnswer | undefined> {
  return asToken(deps, grant, async (request) => {
    const { trx, now } = request;
    const { accountId } = grant;
    await queueRequests(trx, accountId);
    const held = isExternalId(contractId) ? await holdContract(trx, accountId, contractId) : undefined;
    if (held === undefined) throw notFound("contracts", "contractId", contractId);
    if (held.status === "ended") throw new Problem("contract_ended", { contractId });
    const subject = await requests.readEnd(trx, accountId, contractId);
    // If this end itself is executing, it is answered as it is.
    if (subject.executing && subject.pending?.executing !== true)
      throw new Problem("payment_in_progress", { contractId });
    if (held.funded.length > 0) {
      assertUndisputed(subject);
      return { approval: await pendOrCreate(request, subject, { type: "contract_end", milestoneId: null }) };
    }
    await endContract(trx, accountId, contractId, now);
    const ended = await store.endPending(trx, accountId, { contractId }, { reason: "contract_ended", now });
    const entry = {
      ...{ accountId, actor, origin, action: "contract_ended" as const },
      subject: { kind: "contract", id: contractId },
    };
    await recordAudit(trx, entry, now);
    await appendEvents(trx, accountId, ended.map(toExpiredEvent), now);
    return { ended: true, contractId };
  });
}

/**
 * Withdraws a request that the token's own root made (docs/contract.md §1). Repeating it changes nothing.
 * @returns `undefined` if the token has ended meanwhile
 * @throws Problem not_found, made_by_another_key, payment_in_progress, already_decided {status}
 */
export async function withdrawRequest(
  deps: RequestDeps,
  grant: Grant,
  approvalId: string,
): Promise<Approval | undefined> {
  return asToken(deps, grant, async ({ trx, now }) => {
    const { accountId } = grant;
    const { onRequested } = deps;
    const row = isUuid(approvalId) ? await requests.holdRequest(trx, accountId, approvalId) : undefined;
    if (row === undefined) throw notFound("approvals", "approvalId", approvalId);
    if (row.rootTokenId !== grant.rootTokenId) throw new Problem("made_by_another_key");
    if (row.executing) throw new Problem("payment_in_progress", { approvalId });
    // Read after the lock: a request that reported the approval as expired held the lock before.
    const { status } = toApproval(row, await readClockNow(trx), deps.config.publicUrl);
    if (status === "pending") {
      const requested = await takeRequested(trx, deps.config, accountId, [approvalId], now);
      await requests.withdrawPending(trx, accountId, approvalId, now);
      await onRequested?.(trx, row, now);
      await appendEvents(trx, accountId, [...requested, toExpiredEvent(row)], now);
    } else if (row.result?.reason !== "withdrawn") throw new Problem("already_decided", { status });
    const withdrawn = await requests.holdRequest(trx, accountId, approvalId);
    if (withdrawn === undefined) throw new TypeError("what is held is there");
    return toApproval(withdrawn, now, deps.config.publicUrl);
  });
}

/**
 * What was requested under a token that members or the operator use without its secret.
 * @throws Problem unavailable if the token was revoked meanwhile; the next request creates another
 */
export function granted<T>(found: T | undefined): T {
  if (found === undefined) throw new Problem("unavailable", { retryAfterSeconds: 1 });
  return found;
}

/** Has the request, or its withdrawal, recorded as an act of this actor. */
export function recordRequests<D extends ApprovalDeps>(
  deps: D,
  accountId: string,
  act: Act,
  action: "approval_requested" | "approval_withdrawn" = "approval_requested",
): D {
  const onRequested: ApprovalDeps["onRequested"] = (trx, { id, type }, now) => {
    const subject = { kind: "approval", id };
    return recordAudit(trx, { accountId, ...act, action, subject, detail: { type } }, now);
  };
  return { ...deps, onRequested };
}

type Request = { deps: RequestDeps; trx: Trx; grant: Grant; now: Date };

function asToken<T>(
  deps: RequestDeps,
  grant: Grant,
  work: (request: Request) => Promise<T>,
): Promise<T | undefined> {
  return inTransaction(deps.db, async (trx, now) => {
    await deps.holdPerson?.(trx, now);
    if ((await holdToken(trx, grant, now)) === undefined) return undefined;
    return work({ deps, trx, grant, now });
  });
}

function assertUndisputed({ disputeStatus: status }: { disputeStatus: string | null }): void {
  if (status !== null) throw new Problem("payment_disputed", { status });
}

/** The pending approval, or a new one. The caller has serialised the account's requests and locked the subject. */
async function pendOrCreate(
  { deps: { config, onRequested }, trx, grant, now }: Request,
  subject: requests.RequestedSubject<ApprovalTerms>,
  { type, milestoneId }: { type: "milestone_approve" | "contract_end"; milestoneId: string | null },
): Promise<Approval> {
  const { accountId } = grant;
  if (subject.paymentsPaused) throw paymentsPaused();
  const { contractId, jobId, terms, pending } = subject;
  const about = { type, contractId, milestoneId, jobId };
  const row = { ...about, status: "pending" as const, result: null, resolvedAt: null };
  if (pending !== null && !hasExpired({ ...row, ...pending }, await readClockNow(trx))) {
    await onRequested?.(trx, { id: pending.id, type }, now);
    return toApproval({ ...row, ...pending }, now, config.publicUrl);
  }
  const events: AnyEvent[] = [];
  if (pending !== null) {
    const held = await readClockNow(trx);
    events.push(...(await store.markExpired(trx, accountId, [pending.id], held)).map(toExpiredEvent));
  }
  await assertPendingLimit(trx, accountId, grant.rootTokenId);
  const { tokenId: id, tokenName: name, tokenPreview: preview, rootTokenId: rootId } = grant;
  const request = {
    ...about,
    id: newId(),
    terms,
    termsDigest: canonicalDigest(terms),
    coSign: grant.coSign,
    secondSignerFromCents: grant.secondSignerFromCents,
    token: { id, name, preview, rootId },
    asker: await findAsker(trx, accountId, id),
    createdAt: now,
    expiresAt: addSeconds(now, config.approvalTtlSeconds),
  };
  await requests.insertRequest(trx, accountId, request);
  await onRequested?.(trx, request, now);
  await appendEvents(trx, accountId, events, now);
  return toApproval({ ...row, ...request, executing: false }, now, config.publicUrl);
}
