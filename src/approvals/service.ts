import { readFundingTerms } from "../contracts/service.ts";
import { readClock } from "../database/clock.ts";
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
import { decideFunding } from "./funding.ts";
import type { FundingRow } from "./funding-store.ts";
import * as fundingStore from "./funding-store.ts";
import { assertRoom, PENDING_AT_MOST, PENDING_OF_ROOT_AT_MOST } from "./limits.ts";
import type { Approval } from "./schemas.ts";
import * as store from "./store.ts";
import { hasLapsed, toApproval } from "./wire.ts";

export type { ApprovalEvent } from "./booking.ts";
export { readFunding } from "./funding-store.ts";

export type ApprovalDeps = {
  db: Db;
  config: { publicUrl: string; approvalTtlSeconds: number };
  /** Records who asked, in the transaction of what they asked for. */
  onRequested?: RequestObserver;
};
/** Told of a request for an approval, new or repeated, or of its withdrawal. */
export type RequestObserver = (trx: Trx, approval: Pick<Approval, "id" | "type">, now: Date) => Promise<void>;

const TURNS = 3;
/** From so many on an account's requests queue in the database, so that many at once cannot pass a limit together. */
const CROWDED_FROM = { waitingBelow: 50, ofRootBelow: 40 };
/** Before that, so many of one root token are under way in each process: five processes cannot pass 50 from below 40. */
const inTurn = takeTurnsByKey(2);

/**
 * Records that an agent asks for a milestone to be funded, or finds the request that is pending already
 * (docs/contract.md §1). Never moves money.
 * @param first the row that the route's gates have read; `again` reads and checks it anew after a lost race
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
      if (onRequested !== undefined)
        await inTransaction(db, async (trx) => onRequested(trx, approval, await readClock(trx)));
      return approval;
    }
    if (step.kind === "lapsed") {
      await expireApprovals(db, row.accountId, [step.approvalId]);
      continue;
    }
    const approval = await createFunding(deps, row, turn > 1);
    if (approval !== undefined) return approval;
  }
  throw new Problem("unavailable", { retryAfterSeconds: 1 });
}

/**
 * @param queued whether to wait for the account's other requests, and then to say if too many are pending. The first
 * turn does not: hardly any account has that many, and then it has lost that turn.
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
    await assertRoom(trx, accountId, row.rootTokenId);
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

/** A deadlock is a lost race like any other. */
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
 * The approval that was read along with the token (docs/contract.md §1).
 * @throws Problem not_found {resource: "approvals", approvalId}
 */
export function showApproval(row: store.GrantWithApproval, asked: string, publicUrl: string): Approval {
  const { id } = row;
  if (id === null) throw notFound("approvals", "approvalId", asked);
  return toApproval({ ...row, id }, row.now, publicUrl);
}

/**
 * Reads an approval along with the token that asks for it. Nobody is told that one has lapsed while a decision
 * that began in time is being written: it is waited for.
 * @returns `undefined` when there is no such token
 */
export async function readApproval(
  db: Db,
  credential: Credential,
  id: string | null,
): Promise<store.GrantWithApproval | undefined> {
  const row = await store.readApproval(db, credential, id);
  if (row === undefined || row.id === null || !hasLapsed(row, row.now)) return row;
  await store.awaitDecision(db, row.accountId, row.id);
  return store.readApproval(db, credential, id);
}

/** Flips the account's lapsed approvals among `ids`, each with its event, in one transaction. */
export async function expireApprovals(db: Db, accountId: string, ids: readonly string[]): Promise<number> {
  return inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    const ended = await store.expireLapsed(trx, accountId, ids, now);
    await appendEvents(trx, accountId, ended.map(toExpiredEvent), now);
    return ended.length;
  });
}

/**
 * Ends the pending approvals of a milestone, or of a contract and all its milestones, because they can no
 * longer execute as they were asked. Whoever calls has updated the milestone or contract before, in `trx`.
 * @param reason a 409 reason of the fund request, or `terms_changed`
 * @returns the events that tell of it, for the caller to append last
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
