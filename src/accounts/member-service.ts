import type { Db, Trx } from "../database/connection.ts";
import type { MemberRole } from "../database/schema.ts";
import { assertDailyLimit } from "../lib/daily-limit.ts";
import { nameOf } from "../lib/fields.ts";
import { isUuid } from "../lib/ids.ts";
import { notFound, Problem } from "../lib/problems.ts";
import { addSeconds, DAY_SECONDS } from "../lib/time.ts";
import { type Addressee, type Mail, queueMail } from "../mail/service.ts";
import * as invitations from "./invitation-store.ts";
import * as store from "./member-store.ts";
import { may, mayDecide, type Permission, raisesRights } from "./roles.ts";
import { holdFrozen } from "./store.ts";

export type { MemberRow, Membership } from "./member-store.ts";
export { listMemberPage, listMembers, listMemberships, listOwners } from "./member-store.ts";

/** In 24 hours, as strangers receive this mail from us. */
const INVITATIONS_A_DAY = 20;

/** A member of the account, invited ones too. */
export async function findMember(
  db: Db,
  accountId: string,
  id: string,
): Promise<store.MemberRow | undefined> {
  return isUuid(id) ? store.findMember(db, accountId, id) : undefined;
}

/**
 * Changes the role of an active member. The caller has locked the account.
 * @param shown the member's `updatedAt` on the page: an outdated page changes nothing
 * @returns the member as they were
 * @throws Problem not_found, statement_stale, last_owner, account_frozen for more rights
 */
export async function changeRole(
  trx: Trx,
  accountId: string,
  { id, role, shown }: { id: string; role: MemberRole; shown: string },
  now: Date,
): Promise<store.MemberRow> {
  const member = await findMember(trx, accountId, id);
  if (member?.status !== "active") throw notFound("members", "memberId", id);
  if (member.updatedAt.toISOString() !== shown) throw new Problem("statement_stale");
  if (raisesRights(member.role, role) && (await holdFrozen(trx, accountId)))
    throw new Problem("account_frozen");
  await setRole(trx, accountId, member, role, now);
  return member;
}

/**
 * Changes a member's role. The caller has locked the account, and checked that the member may have it.
 * @throws Problem last_owner
 */
export async function setRole(
  trx: Trx,
  accountId: string,
  { id, userId }: Pick<store.MemberRow, "id" | "userId">,
  role: MemberRole,
  now: Date,
): Promise<void> {
  if (!may(role, "own")) await assertAnotherOwner(trx, accountId, id);
  await store.updateMember(trx, accountId, id, ["active"], { role }, now);
  if (!may(role, "own") && userId !== null) await invitations.endInvitationsBy(trx, accountId, userId, now);
}

/** Renames a member, invited or active. The caller has locked the account. */
export async function renameMember(
  trx: Trx,
  accountId: string,
  id: string,
  name: string,
  now: Date,
): Promise<void> {
  await store.updateMember(trx, accountId, id, ["invited", "active"], { name: nameOf("name", name) }, now);
}

/**
 * Changes the role of an invited member. With more rights the invitation needs an owner's consent again. The caller has
 * locked the account.
 */
export async function setInvitedRole(
  trx: Trx,
  accountId: string,
  id: string,
  change: { role: MemberRole; raises: boolean },
  now: Date,
): Promise<void> {
  await store.updateMember(trx, accountId, id, ["invited"], { role: change.role }, now);
  if (change.raises) await invitations.clearConsent(trx, accountId, id);
}

/**
 * Removes a member, or withdraws their invitation. The caller has locked the account.
 * @returns the member as they were
 * @throws Problem not_found, last_owner
 */
export async function removeMember(
  trx: Trx,
  accountId: string,
  id: string,
  now: Date,
): Promise<store.MemberRow> {
  const member = await findMember(trx, accountId, id);
  if (member === undefined) throw notFound("members", "memberId", id);
  await assertAnotherOwner(trx, accountId, id);
  await store.updateMember(trx, accountId, id, ["invited", "active"], { status: "removed" }, now);
  await invitations.endInvitationOf(trx, accountId, id, now);
  if (member.userId !== null) await invitations.endInvitationsBy(trx, accountId, member.userId, now);
  return member;
}

/**
 * Limits the invitations of an account, as they are mail to strangers. The caller has locked the account.
 * @throws Problem rate_limited {retryAfterSeconds}
 */
export async function assertMayInvite(trx: Trx, accountId: string, now: Date): Promise<void> {
  const recent = await invitations.countInvitations(trx, accountId, addSeconds(now, -DAY_SECONDS));
  assertDailyLimit(recent, INVITATIONS_A_DAY, now);
}

/** @throws Problem last_owner when there is no other owner; held by a trigger, too */
async function assertAnotherOwner(trx: Trx, accountId: string, id: string): Promise<void> {
  const owners = await store.listOwners(trx, accountId);
  if (owners.length === 1 && owners[0]?.id === id) throw new Problem("last_owner");
}

/**
 * Asserts that the person is an active member whose role has the permission, and locks their row.
 * @throws Problem not_found (no member), not_permitted
 */
export async function assertMember(
  trx: Trx,
  accountId: string,
  userId: string,
  permission: Permission,
): Promise<void> {
  const member = await store.lockMemberOfUser(trx, accountId, userId);
  if (member === undefined) throw new Problem("not_found", { resource: "accounts" });
  if (!may(member.role, permission)) throw new Problem("not_permitted");
}

/** Whether the person may decide for the account. Locks their row until the transaction ends. */
export async function isDecider(trx: Trx, accountId: string, userId: string): Promise<boolean> {
  const member = await store.lockMemberOfUser(trx, accountId, userId);
  return member !== undefined && mayDecide(member.role);
}

/** Mails the person who acts, then the account's other owners. */
export async function mailWithOwners(
  trx: Trx,
  accountId: string,
  person: Addressee & { userId: string },
  mail: (to: Addressee) => Mail,
  now: Date,
): Promise<void> {
  const others = (await store.listOwners(trx, accountId)).filter(({ userId }) => userId !== person.userId);
  for (const to of [person, ...others]) await queueMail(trx, mail(to), now);
}
