import { type Grant, readGrant } from "../accounts/service.ts";
import { memberCredential } from "../accounts/token-service.ts";
import { byPerson } from "../audit/service.ts";
import type { Trx } from "../database/connection.ts";
import { isExternalId } from "../lib/ids.ts";
import type { Origin } from "../lib/origin.ts";
import type { Credential } from "../lib/secrets.ts";
import { type Actor, holdActor, inSession } from "../sign-in/service.ts";
import {
  type EndAnswer,
  granted,
  type RequestDeps,
  recordRequests,
  requestEnd,
  requestRelease,
} from "./request-service.ts";
import type { Approval } from "./schemas.ts";
import { readFunding, requestMilestoneFunding } from "./service.ts";

/** A member who requests an approval on a page (docs/contract.md §8), and from where. */
export type Requester = { accountId: string; actor: Actor; name: string; origin: Origin };

/**
 * Requests a milestone's funding for an owner or approver, or finds the pending request. Never moves money.
 * @throws Problem as `holdActor` and `requestMilestoneFunding`, account_frozen
 */
export async function requestFundingInPerson(
  deps: RequestDeps,
  requester: Requester,
  milestoneId: string,
): Promise<Approval> {
  const credential = await openCredential(deps, requester);
  const id = isExternalId(milestoneId) ? milestoneId : null;
  const read = async () => granted(await readFunding(deps.db, credential, id));
  return requestMilestoneFunding(recording(deps, requester), milestoneId, await read(), read);
}

/**
 * Requests the release of a milestone's money for an owner or approver, or finds the pending request.
 * @throws Problem as `holdActor` and `requestRelease`, account_frozen
 */
export async function requestReleaseInPerson(
  deps: RequestDeps,
  requester: Requester,
  milestoneId: string,
): Promise<Approval> {
  const grant = await openGrant(deps, requester);
  return granted(await requestRelease(holding(deps, requester), grant, milestoneId));
}

/**
 * Requests a contract's end for an owner or approver, or finds the pending request. Without held money it ends at once.
 * @throws Problem as `holdActor` and `requestEnd`, account_frozen
 */
export async function requestEndInPerson(
  deps: RequestDeps,
  requester: Requester,
  contractId: string,
): Promise<EndAnswer> {
  const grant = await openGrant(deps, requester);
  const { actor, name, origin } = requester;
  const person = byPerson({ userId: actor.userId, name });
  return granted(await requestEnd(holding(deps, requester), grant, contractId, person, origin));
}

/**
 * Owners and approvers may request while the account is not frozen. The account is locked exclusively here because
 * the request does so later: two requests that had locked it `for share` would deadlock.
 */
function needOf({ accountId }: Requester) {
  return { account: { id: accountId, may: "decide", alone: true, unfrozen: true } } as const;
}

function openCredential({ db }: RequestDeps, requester: Requester): Promise<Credential> {
  const { accountId, actor, name } = requester;
  return inSession(db, actor, needOf(requester), (trx, now) =>
    memberCredential(trx, accountId, { userId: actor.userId, name }, now),
  );
}

async function openGrant(deps: RequestDeps, requester: Requester): Promise<Grant> {
  return granted(await readGrant(deps.db, await openCredential(deps, requester)));
}

function holding(deps: RequestDeps, requester: Requester): RequestDeps {
  const holdPerson = (trx: Trx, now: Date) => holdActor(trx, requester.actor, needOf(requester), now);
  return { ...recording(deps, requester), holdPerson };
}

function recording(deps: RequestDeps, { accountId, actor, name, origin }: Requester): RequestDeps {
  return recordRequests(deps, accountId, { actor: byPerson({ userId: actor.userId, name }), origin });
}
