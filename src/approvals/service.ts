import { readFundingTerms } from "../contracts/service.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction, isRollback } from "../database/transaction.ts";
import { appendEvents } from "../events/service.ts";
import { canonicalDigest } from "../lib/canonical.ts";
import { newId } from "../lib/ids.ts";
import { notFound, Problem } from "../lib/problems.ts";
import type { Credential } from "../lib/secrets.ts";
import { addSeconds } from "../lib/time.ts";
import { takeTurnsByKey } from "../lib/turns.ts";
import { type ApprovalEvent, toExpiredEvent } from "./booking.ts";
import { decideFunding } from "./funding-rules.ts";
import type { FundingRow } from "./funding-store.ts";
import * as fundingStore from "./funding-store.ts";
import { assertPendingLimit, PENDING_AT_MOST, PENDING_OF_ROOT_AT_MOST } from "./limits.ts";
import type { Approval } from "./schemas.ts";
import * as store from "./store.ts";
import { hasExpired, toApproval } from "./wire.ts";

export type { ApprovalEvent } from "./booking.ts";
export { readFunding } from "./funding-store.ts";
export type { ApprovalRow } from "./store.ts";
export { toApproval } from "./wire.ts";

export type ApprovalDeps = {
  db: Db;
  config: { publicUrl: string; approvalTtlSeconds: number };
  /** Records who asked, in the transaction of what they asked for. */
  onRequested?: RequestObserver;
};
/** Told of a request for an approval, new or repeated, or of its withdrawal. */
export type RequestObserver = (trx: Trx, approval: Pick<Approval, "id" | "type">, now: Date) => Promise<void>;

const TURNS = 3;
/**
 * From these counts on, the account's requests are serialised in the database, so that none pass the limit together.
 */
const CROWDED_FROM = { waitingBelow: PENDING_AT_MOST - 50, ofRootBelow: PENDING_OF_ROOT_AT_MOST - 10 };
/** Below them, each process runs so many of one root token at a time: five processes cannot pass the limit from there. */
const inTurn = takeTurnsByKey(2);

/**
 * Records an agent's request to fund a milestone, or finds the pending request (docs/contract.md §1). Never moves
 * money.
 * @param first the row that the route's gates have read; `again` reads and checks it again after a lost race
 * @throws Problem the 404 and 409 of §1, too_many_pending, unavailable after three lost races
 */
export async function requestMilestoneFunding(
  deps: ApprovalDeps,
  asked: string,
  first: FundingRow,
  again: () => Promise<FundingRow>,
): Promise<Approval> {
  const { db, config } = deps;
  let row = first;
  for (let turn = 1; turn <= TURNS; turn++) {
    if (turn > 1) row = await again();
    const step = decideFunding(row, asked, config.publicUrl);
    if (step.kind === "pending") {
      const approval = pendingFunding(row, step.approvalId, config.publicUrl);
      const { onRequested } = deps;
      if (onRequested !== undefined) await inTransaction(db, (trx, now) => onRequested(trx, approval, now));
      return approval;
    }
    if (step.kind === "expired") {
      await expireApprovals(db, row.accountId, [step.approvalId]);
      continue;
    }
    const approval = await createFunding(deps, row, turn > 1);
    if (approval !== undefined) return approval;
  }
  throw new Problem("unavailable", { retryAfterSeconds: 1 });
}

/**
 * @param queued whether to wait for the account's other requests, and then to check the limits. The first try does
 * not: few accounts have that many pending approvals, and those lose one try.
 */
async function createFunding(
  { db, config, onRequested }: ApprovalDeps,
  row: FundingRow,
  queued: boolean,
): Promise<Approval | undefined> {
  const { accountId, now } = row;
  const terms = readFundingTerms(row);
  const approval = {
    id: newId(),
    terms,
    termsDigest: canonicalDigest(terms),
    coSign: row.coSign,
    secondSignerFromCents: row.secondSignerFromCents,
    token: { id: row.tokenId, name: row.tokenName, preview: row.tokenPreview, rootId: row.rootTokenId },
    asker: { kind: row.askerKind, name: row.askerName, namedItself: row.askerNamedItself },
    createdAt: now,
    expiresAt: addSeconds(now, config.approvalTtlSeconds),
    milestoneRevision: row.milestoneRevision,
    contractRevision: row.contractRevision,
  };
  const record = async (trx: Trx) => {
    await fundingStore.queueRequests(trx, accountId);
    await assertPendingLimit(trx, accountId, row.rootTokenId);
    const limits = { waitingBelow: PENDING_AT_MOST, ofRootBelow: PENDING_OF_ROOT_AT_MOST };
    if (!(await fundingStore.insertFundingApproval(trx, accountId, { ...approval, ...limits }))) return false;
    await onRequested?.(trx, { id: approval.id, type: "milestone_fund" }, now);
    return true;
  };
  const created =
    queued || onRequested !== undefined
      ? await inTransaction(db, record)
      : await inTurn(row.rootTokenId, () =>
          fundingStore.insertFundingApproval(db, accountId, { ...approval, ...CROWDED_FROM }),
        ).catch(falseOnRollback);
  if (!created) return undefined;
  const { id, createdAt, expiresAt } = approval;
  return pendingFunding(
    { ...row, approvalCreatedAt: createdAt, approvalExpiresAt: expiresAt },
    id,
    config.publicUrl,
  );
}

/** A deadlock is treated as a lost race. */
function falseOnRollback(error: unknown): false {
  if (isRollback(error)) return false;
  throw error;
}

function pendingFunding(row: FundingRow, id: string, publicUrl: string): Approval {
  const { milestoneId, contractId, jobId } = row;
  return toApproval(
    {
      id,
      type: "milestone_fund",
      status: "pending",
      contractId,
      milestoneId,
      jobId,
      result: null,
      executing: row.approvalExecuting,
      createdAt: row.approvalCreatedAt,
      expiresAt: row.approvalExpiresAt,
      resolvedAt: null,
    },
    row.now,
    publicUrl,
  );
}

/**
 * The approval that was read with the token (docs/contract.md §1).
 * @throws Problem not_found {resource: "approvals", approvalId}
 */
export function showApproval(row: store.GrantWithApproval, asked: string, publicUrl: string): Approval {
  const { id } = row;
  if (id === null) throw notFound("approvals", "approvalId", asked);
  return toApproval({ ...row, id }, row.now, publicUrl);
}

/**
 * Reads an approval and the token that asks for it. Before it reports one as expired, waits for a decision that began
 * in time and is being committed.
 * @returns `undefined`: no such token
 */
export async function readApproval(
  db: Db,
  credential: Credential,
  id: string | null,
): Promise<store.GrantWithApproval | undefined> {
  const row = await store.readApproval(db, credential, id);
  if (row === undefined || row.id === null || !hasExpired(row, row.now)) return row;
  await store.awaitDecision(db, row.accountId, row.id);
  return store.readApproval(db, credential, id);
}

/** Expires the approvals of `ids` whose time has passed, each with its event, in one transaction. */
export async function expireApprovals(db: Db, accountId: string, ids: readonly string[]): Promise<number> {
  return inTransaction(db, async (trx, now) => {
    const ended = await store.markExpired(trx, accountId, ids, now);
    await appendEvents(trx, accountId, ended.map(toExpiredEvent), now);
    return ended.length;
  });
}

/**
 * Ends the pending approvals of a milestone, or of a contract and all its milestones, because they can no longer
 * execute as requested. The caller has updated the milestone or contract in `trx`.
 * @param reason a 409 reason of the fund request, or `terms_changed`
 * @returns the events, which the caller appends last
 */
export async function endPendingApprovals(
  trx: Trx,
  accountId: string,
  subject: { milestoneId: string } | { contractId: string },
  reason: "milestone_cancelled" | "contract_ended" | "terms_changed",
  now: Date,
): Promise<ApprovalEvent[]> {
  return (await store.endPending(trx, accountId, subject, { reason, now })).map(toExpiredEvent);
}
