import type { Db, Trx } from "../database/connection.ts";
import type { MemberRole } from "../database/schema.ts";
import { nameOf } from "../lib/fields.ts";
import { isUuid } from "../lib/ids.ts";
import { notFound, Problem } from "../lib/problems.ts";
import { addSeconds, DAY_SECONDS, SECOND } from "../lib/time.ts";
import * as store from "./member-store.ts";
import { may, raisesRights } from "./roles.ts";
import { holdFrozen } from "./store.ts";

export type { MemberOfAccount } from "./member-store.ts";
export { listOwners } from "./member-store.ts";

/** So many an owner may send in 24 hours: it is our mail that strangers get. */
const INVITATIONS_A_DAY = 20;

/** A member of the account, invited ones too. */
export async function findMember(
  db: Db,
  accountId: string,
  id: string,
): Promise<store.MemberOfAccount | undefined> {
  return isUuid(id) ? store.findMember(db, accountId, id) : undefined;
}

/**
 * Gives a member who has accepted another role. Whoever calls holds the account.
 * @param shown the `updatedAt` of the member who was shown: a page from before another change changes nothing
 * @returns the member as they were
 * @throws Problem not_found, statement_stale, last_owner, account_frozen for more rights
 */
export async function changeRole(
  trx: Trx,
  accountId: string,
  { id, role, shown }: { id: string; role: MemberRole; shown: string },
  now: Date,
): Promise<store.MemberOfAccount> {
  const member = await findMember(trx, accountId, id);
  if (member?.status !== "active") throw notFound("members", "memberId", id);
  if (member.updatedAt.toISOString() !== shown) throw new Problem("statement_stale");
  if (raisesRights(member.role, role) && (await holdFrozen(trx, accountId)))
    throw new Problem("account_frozen");
  await setRole(trx, accountId, member, role, now);
  return member;
}

/**
 * Gives a member another role. Whoever calls holds the account, and has found out that the member may have it.
 * @throws Problem last_owner
 */
export async function setRole(
  trx: Trx,
  accountId: string,
  { id, userId }: Pick<store.MemberOfAccount, "id" | "userId">,
  role: MemberRole,
  now: Date,
): Promise<void> {
  if (!may(role, "own")) await assertAnotherOwner(trx, accountId, id);
  await store.updateRole(trx, accountId, id, role, now);
  if (!may(role, "own") && userId !== null) await store.endInvitationsBy(trx, accountId, userId, now);
}

/** Gives a member, invited or not, another name. Whoever calls holds the account. */
export async function renameMember(
  trx: Trx,
  accountId: string,
  id: string,
  name: string,
  now: Date,
): Promise<void> {
  await store.updateName(trx, accountId, id, nameOf("name", name), now);
}

/**
 * Gives somebody who is invited another role. With more rights the invitation needs an owner's consent again. Whoever calls
 * holds the account.
 */
export async function setInvitedRole(
  trx: Trx,
  accountId: string,
  id: string,
  change: { role: MemberRole; raises: boolean },
  now: Date,
): Promise<void> {
  await store.updateInvitedRole(trx, accountId, id, change.role, now);
  if (change.raises) await store.clearConsent(trx, accountId, id);
}

/**
 * Removes a member, or withdraws their invitation. Whoever calls holds the account.
 * @returns the member as they were
 * @throws Problem not_found, last_owner
 */
export async function removeMember(
  trx: Trx,
  accountId: string,
  id: string,
  now: Date,
): Promise<store.MemberOfAccount> {
  const member = await findMember(trx, accountId, id);
  if (member === undefined) throw notFound("members", "memberId", id);
  await assertAnotherOwner(trx, accountId, id);
  await store.removeMember(trx, accountId, id, now);
  if (member.userId !== null) await store.endInvitationsBy(trx, accountId, member.userId, now);
  return member;
}

/**
 * Keeps an account from sending mail to too many strangers. Whoever calls holds the account.
 * @throws Problem rate_limited {retryAfterSeconds}
 */
export async function assertMayInvite(trx: Trx, accountId: string, now: Date): Promise<void> {
  const { count, first } = await store.countInvitations(trx, accountId, addSeconds(now, -DAY_SECONDS));
  if (count < INVITATIONS_A_DAY) return;
  const free = addSeconds(first ?? now, DAY_SECONDS);
  throw new Problem("rate_limited", {
    retryAfterSeconds: Math.ceil((free.getTime() - now.getTime()) / SECOND),
  });
}

/** @throws Problem last_owner when there is no other owner; held by a trigger, too */
async function assertAnotherOwner(trx: Trx, accountId: string, id: string): Promise<void> {
  const owners = await store.listOwners(trx, accountId);
  if (owners.length === 1 && owners[0]?.id === id) throw new Problem("last_owner");
}
