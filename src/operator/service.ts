import * as accounts from "../accounts/service.ts";
import { type ApprovalEvent, endPendingApprovals } from "../approvals/service.ts";
import type { Contract, Milestone } from "../contracts/schemas.ts";
import * as contracts from "../contracts/service.ts";
import { readClock } from "../database/clock.ts";
import type { Db } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import type { Event, EventType } from "../events/schemas.ts";
import { appendEvents, type NewEvent } from "../events/service.ts";
import { accountKey, isExternalId } from "../lib/ids.ts";
import { notFound } from "../lib/problems.ts";
import { mergeAccount, mergeContract, mergeMilestone } from "./merge.ts";
import type {
  Account,
  AccountBody,
  ContractBody,
  EventBody,
  Member,
  MemberBody,
  MilestoneBody,
} from "./schemas.ts";

export type OperatorDeps = { db: Db; config: { publicUrl: string } };

/** An account in the operator's words: the id that they use, and the key that ours begin with. */
export type AccountRef = { accountId: string; organizationId: string };

/**
 * The account that stands in the address.
 * @throws Problem not_found {resource: "accounts", accountId}
 */
export async function findAccount(db: Db, id: string): Promise<AccountRef & { account: Account }> {
  if (!isExternalId(id)) throw notFound("accounts", "accountId", id);
  const accountId = accountKey(id);
  return { accountId, organizationId: id, account: toAccount(await accounts.getAccount(db, accountId, id)) };
}

/**
 * Creates an account, or sets the named keys of one.
 * @throws Problem not_found for an id that cannot be one, bad_request {field}, co_sign_loosening
 */
export async function putAccount(
  db: Db,
  id: string,
  body: AccountBody,
): Promise<{ created: boolean; account: Account }> {
  if (!isExternalId(id)) throw notFound("accounts", "accountId", id);
  const accountId = accountKey(id);
  const created = await accounts.saveAccount(db, accountId, id, (present, now) =>
    mergeAccount(body, present, now),
  );
  return { created, account: toAccount(await accounts.getAccount(db, accountId, id)) };
}

/**
 * Creates a contract, or sets the named keys of one. A change of its terms, and its end, end the approvals
 * that are pending under it.
 * @throws Problem not_found, bad_request {field}, contract_ended, payment_in_progress
 */
export async function putContract(
  db: Db,
  { accountId }: AccountRef,
  id: string,
  body: ContractBody,
): Promise<{ created: boolean; contract: Contract }> {
  if (!isExternalId(id)) throw notFound("contracts", "contractId", id);
  const created = await inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    const change = await contracts.saveContract(
      trx,
      accountId,
      id,
      (present) => mergeContract(body, present),
      now,
    );
    const events: (NewEvent & { type: EventType })[] = [];
    if (change.created) events.push(contractCreated(id, change.jobId, body.proposalId ?? null));
    if (change.ended || change.termsChanged) {
      const reason = change.ended ? "contract_ended" : "terms_changed";
      events.push(...(await endPendingApprovals(trx, accountId, { contractId: id }, reason, now)));
    }
    await appendEvents(trx, accountId, events, now);
    return change.created;
  });
  return { created, contract: await contracts.getContract(db, accountId, id) };
}

/**
 * Creates a milestone, or sets the named keys of one. A change of its terms ends its pending approval.
 * @throws Problem not_found, bad_request {field}, contract_ended, milestone_cancelled,
 * milestone_not_fundable, payment_in_progress, milestone_limit_reached
 */
export async function putMilestone(
  db: Db,
  { accountId }: AccountRef,
  id: string,
  body: MilestoneBody,
): Promise<{ created: boolean; milestone: Milestone & { contractId: string } }> {
  if (!isExternalId(id)) throw notFound("milestones", "milestoneId", id);
  const created = await inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    const change = await contracts.saveMilestone(
      trx,
      accountId,
      id,
      (present) => mergeMilestone(body, present),
      now,
    );
    const events: (NewEvent & { type: EventType })[] = [];
    if (change.created) events.push(milestoneChanged(id, change, "NOT_FUNDED"));
    if (change.termsChanged) {
      events.push(...(await endPendingApprovals(trx, accountId, { milestoneId: id }, "terms_changed", now)));
    }
    await appendEvents(trx, accountId, events, now);
    return change.created;
  });
  return { created, milestone: await contracts.getMilestone(db, accountId, id) };
}

/**
 * Cancels a milestone that is not funded, and ends its pending approval.
 * @throws Problem not_found, milestone_not_fundable, payment_in_progress
 */
export async function cancelMilestone(
  db: Db,
  { accountId }: AccountRef,
  id: string,
): Promise<Milestone & { contractId: string }> {
  await inTransaction(db, async (trx) => {
    const now = await readClock(trx);
    const change = await contracts.cancelMilestone(trx, accountId, id, now);
    if (!change.cancelled) return;
    const ended: ApprovalEvent[] = await endPendingApprovals(
      trx,
      accountId,
      { milestoneId: id },
      "milestone_cancelled",
      now,
    );
    await appendEvents(trx, accountId, [milestoneChanged(id, change, "CANCELLED"), ...ended], now);
  });
  return contracts.getMilestone(db, accountId, id);
}

/** Passes an event on that only the operator knows of. */
export async function postEvent(db: Db, { accountId }: AccountRef, body: EventBody): Promise<Event> {
  return inTransaction(db, async (trx) => {
    const event = {
      type: body.type as EventType,
      resourceId: body.resourceId,
      jobId: body.jobId ?? null,
      data: body.data ?? {},
    };
    const [appended] = await appendEvents(trx, accountId, [event], await readClock(trx));
    if (appended === undefined) throw new TypeError("one event in, one event out");
    return appended;
  });
}

/**
 * Invites a person; the page at `inviteUrl` lets them accept, once, for 24 h.
 * @throws Problem bad_request {field}, member_active
 */
export async function postMember(
  { db, config }: OperatorDeps,
  { accountId }: AccountRef,
  body: MemberBody,
): Promise<{ member: Member; inviteUrl: string }> {
  const { member, secret } = await accounts.inviteMember(db, accountId, body);
  return { member: toMember(member), inviteUrl: `${config.publicUrl}/invite?token=${secret}` };
}

export async function listMembers(db: Db, { accountId }: AccountRef): Promise<Member[]> {
  return (await accounts.listMembers(db, accountId)).map(toMember);
}

function contractCreated(contractId: string, jobId: string, proposalId: string | null) {
  const data = { contractId, jobId, proposalId };
  return { type: "contract.created" as const, resourceId: contractId, jobId, data };
}

function milestoneChanged(
  milestoneId: string,
  { contractId, jobId }: { contractId: string; jobId: string },
  status: string,
) {
  const data = { milestoneId, contractId, status };
  return { type: "milestone.status_changed" as const, resourceId: milestoneId, jobId, data };
}

function toAccount(row: accounts.AccountRow): Account {
  return {
    id: row.id,
    name: row.name,
    claimed: row.claimed_at !== null,
    features: row.features,
    billing: row.billing,
    coSign: row.co_sign,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}

function toMember(row: accounts.MemberRow): Member {
  return {
    id: row.id,
    email: row.email,
    name: row.name,
    role: row.role,
    status: row.status === "active" ? "active" : "invited",
    createdAt: row.created_at.toISOString(),
  };
}
