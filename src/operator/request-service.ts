import { assertAccess } from "../accounts/access-rules.ts";
import { type Grant, readGrant } from "../accounts/service.ts";
import { operatorCredential } from "../accounts/token-service.ts";
import {
  type EndAnswer,
  granted,
  recordRequests,
  requestEnd,
  requestRelease,
  withdrawRequest,
} from "../approvals/request-service.ts";
import type { Approval } from "../approvals/schemas.ts";
import { type ApprovalDeps, readFunding, requestMilestoneFunding } from "../approvals/service.ts";
import type { Act } from "../audit/service.ts";
import { getContract, getMilestone } from "../contracts/service.ts";
import { isUuid } from "../lib/ids.ts";
import { notFound } from "../lib/problems.ts";
import type { AccountRef } from "./account-service.ts";

/**
 * Asks for a milestone's funding as an agent would, under the operator's own token (docs/contract.md §8): a human decides.
 * @throws Problem account_frozen, and as `requestMilestoneFunding`
 */
export async function askFunding(
  deps: ApprovalDeps,
  { accountId }: AccountRef,
  milestoneId: string,
  act: Act,
): Promise<Approval> {
  await getMilestone(deps.db, accountId, milestoneId);
  const credential = await operatorCredential(deps.db, accountId);
  const read = async () => admit(deps, await readFunding(deps.db, credential, milestoneId));
  return requestMilestoneFunding(recordRequests(deps, accountId, act), milestoneId, await read(), read);
}

/**
 * The same for a release.
 * @throws Problem account_frozen, and as `requestRelease`
 */
export async function askRelease(
  deps: ApprovalDeps,
  { accountId }: AccountRef,
  milestoneId: string,
  act: Act,
): Promise<Approval> {
  await getMilestone(deps.db, accountId, milestoneId);
  const grant = await operatorGrant(deps, accountId);
  return granted(await requestRelease(recordRequests(deps, accountId, act), grant, milestoneId));
}

/**
 * The same for a contract's end, which needs no approval if no money is held.
 * @throws Problem account_frozen, and as `requestEnd`
 */
export async function askEnd(
  deps: ApprovalDeps,
  { accountId }: AccountRef,
  contractId: string,
  act: Act,
): Promise<EndAnswer> {
  await getContract(deps.db, accountId, contractId);
  const grant = await operatorGrant(deps, accountId);
  const recorded = recordRequests(deps, accountId, act);
  return granted(await requestEnd(recorded, grant, contractId, act.actor, act.origin));
}

/**
 * Withdraws what the operator has asked for.
 * @throws Problem as `withdrawRequest`
 */
export async function withdraw(
  deps: ApprovalDeps,
  { accountId }: AccountRef,
  approvalId: string,
  act: Act,
): Promise<Approval> {
  if (!isUuid(approvalId)) throw notFound("approvals", "approvalId", approvalId);
  const grant = granted(await readGrant(deps.db, await operatorCredential(deps.db, accountId)));
  const recorded = recordRequests(deps, accountId, act, "approval_withdrawn");
  return granted(await withdrawRequest(recorded, grant, approvalId));
}

async function operatorGrant(deps: ApprovalDeps, accountId: string): Promise<Grant> {
  return admit(deps, await readGrant(deps.db, await operatorCredential(deps.db, accountId)));
}

/** The operator needs no scope, feature or claim; a frozen account asks for nothing. */
function admit<T extends Grant>({ config }: ApprovalDeps, found: T | undefined): T {
  const grant = granted(found);
  assertAccess({ by: "token", asks: true }, grant, config.publicUrl);
  return grant;
}
