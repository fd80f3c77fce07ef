import { type ApprovalEvent, endPendingApprovals } from "../approvals/service.ts";
import type { Act } from "../audit/service.ts";
import * as changes from "../contracts/change-service.ts";
import type { Milestone, OperatorContract, OperatorContractWithBudget } from "../contracts/schemas.ts";
import * as contracts from "../contracts/service.ts";
import type { Db, Trx } from "../database/connection.ts";
import { inTransaction } from "../database/transaction.ts";
import type { Event, EventType } from "../events/schemas.ts";
import { appendEvents, type NewEvent } from "../events/service.ts";
import { isExternalId } from "../lib/ids.ts";
import { notFound } from "../lib/problems.ts";
import { line, named, own } from "../mail/line.ts";
import type { AccountRef, OperatorDeps } from "./account-service.ts";
import { mailOwners, recordAct } from "./act-service.ts";
import { mergeContract, mergeMilestone } from "./merge-rules.ts";
import type { ContractBody, EventBody, MilestoneBody } from "./schemas.ts";

/**
 * Creates a contract, or sets the named keys of one. A change of its terms, and its end, end the approvals
 * that are pending under it; a change of the payout account is mailed to the owners.
 * @throws Problem not_found, bad_request {field}, contract_ended, payment_in_progress, milestone_funded
 */
export async function putContract(
  deps: OperatorDeps,
  account: AccountRef,
  id: string,
  body: ContractBody,
  act: Act,
): Promise<{ created: boolean; contract: OperatorContract }> {
  const { db } = deps;
  const { accountId } = account;
  if (!isExternalId(id)) throw notFound("contracts", "contractId", id);
  const created = await inTransaction(db, async (trx, now) => {
    const change = await changes.saveContract(
      trx,
      accountId,
      id,
      (present) => mergeContract(body, present),
      now,
    );
    const events: (NewEvent & { type: EventType })[] = [];
    if (change.created) events.push(contractCreated(id, change.after));
    if (change.ended || change.termsChanged) {
      const reason = change.ended ? "contract_ended" : "terms_changed";
      events.push(...(await endPendingApprovals(trx, accountId, { contractId: id }, reason, now)));
    }
    await recordContract(trx, deps, account, id, change, act, now);
    await appendEvents(trx, accountId, events, now);
    return change.created;
  });
  return { created, contract: await getContract(db, account, id) };
}

/**
 * One contract with its budget, and where its payee is paid.
 * @throws Problem not_found {resource: "contracts", contractId}
 */
export async function getContract(
  db: Db,
  { accountId }: AccountRef,
  id: string,
): Promise<OperatorContractWithBudget> {
  const contract = await contracts.getContract(db, accountId, id);
  const [shown] = await contracts.withPayoutAccounts(db, accountId, [contract]);
  if (shown === undefined) throw new TypeError("one contract in, one contract out");
  return shown;
}

/** Records a contract's change; where a payee is paid has an entry of its own, and goes to the owners. */
async function recordContract(
  trx: Trx,
  { config }: OperatorDeps,
  account: AccountRef,
  id: string,
  { before, after }: changes.ContractChange,
  act: Act,
  now: Date,
): Promise<void> {
  const { accountId } = account;
  const subject = { kind: "contract", id };
  if (before === undefined) {
    await recordAct(trx, accountId, act, { action: "contract_created", subject, after }, now);
    return;
  }
  const from = before.freelancer.payoutAccount;
  const to = after.freelancer.payoutAccount;
  const payout = { before: { payoutAccount: from }, after: { payoutAccount: to } };
  if (await recordAct(trx, accountId, act, { action: "payout_account_changed", subject, ...payout }, now)) {
    const what = line`Payments for ${named(after.freelancer.displayName)} under the contract ${named(after.title)} go to the payout account ${own(to ?? "(none)")}, no longer to ${own(from ?? "(none)")}.`;
    await mailOwners(trx, config, account, [what], now);
  }
  const others = { ...after, freelancer: { ...after.freelancer, payoutAccount: from } };
  await recordAct(trx, accountId, act, { action: "contract_changed", subject, before, after: others }, now);
}

/**
 * Creates a milestone, or sets the named keys of one. A change of its terms ends its pending approval.
 * @throws Problem not_found, bad_request {field}, contract_ended, milestone_cancelled,
 * milestone_not_fundable, payment_in_progress, milestone_limit_reached
 */
export async function putMilestone(
  { db }: OperatorDeps,
  { accountId }: AccountRef,
  id: string,
  body: MilestoneBody,
  act: Act,
): Promise<{ created: boolean; milestone: Milestone & { contractId: string } }> {
  if (!isExternalId(id)) throw notFound("milestones", "milestoneId", id);
  const created = await inTransaction(db, async (trx, now) => {
    const change = await changes.saveMilestone(
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
    const { before, after } = change;
    const action = change.created ? "milestone_created" : "milestone_changed";
    const entry = { action, subject: { kind: "milestone", id }, before, after } as const;
    await recordAct(trx, accountId, act, entry, now);
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
  { db }: OperatorDeps,
  { accountId }: AccountRef,
  id: string,
  act: Act,
): Promise<Milestone & { contractId: string }> {
  await inTransaction(db, async (trx, now) => {
    const change = await changes.cancelMilestone(trx, accountId, id, now);
    if (!change.cancelled) return;
    const ended: ApprovalEvent[] = await endPendingApprovals(
      trx,
      accountId,
      { milestoneId: id },
      "milestone_cancelled",
      now,
    );
    const values = { before: { status: "NOT_FUNDED" }, after: { status: "CANCELLED" } };
    const entry = { action: "milestone_cancelled", subject: { kind: "milestone", id }, ...values } as const;
    await recordAct(trx, accountId, act, entry, now);
    await appendEvents(trx, accountId, [milestoneChanged(id, change, "CANCELLED"), ...ended], now);
  });
  return contracts.getMilestone(db, accountId, id);
}

/** Passes an event on that only the operator knows of. */
export async function postEvent(
  { db }: OperatorDeps,
  { accountId }: AccountRef,
  body: EventBody,
  act: Act,
): Promise<Event> {
  return inTransaction(db, async (trx, now) => {
    const event = {
      type: body.type as EventType,
      resourceId: body.resourceId,
      jobId: body.jobId ?? null,
      data: body.data ?? {},
    };
    const { type, resourceId, jobId } = event;
    const entry = { action: "event_posted", subject: { kind: "resource", id: resourceId } } as const;
    await recordAct(trx, accountId, act, { ...entry, after: { type, jobId } }, now);
    const [appended] = await appendEvents(trx, accountId, [event], now);
    if (appended === undefined) throw new TypeError("one event in, one event out");
    return appended;
  });
}

function contractCreated(contractId: string, { jobId, proposalId }: contracts.ContractValues) {
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
