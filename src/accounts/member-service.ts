import type { Db, Trx } from "../database/connection.ts";
import type { MemberRole } from "../database/schema.ts";
import { isUuid } from "../lib/ids.ts";
import { notFound, Problem } from "../lib/problems.ts";
import { addSeconds, SECOND } from "../lib/time.ts";
import * as store from "./member-store.ts";

export type { MemberOfAccount } from "./member-store.ts";
export { listOwners } from "./member-store.ts";

/** So many an owner may send in 24 hours: it is our mail that strangers get. */
const INVITATIONS_A_DAY = 20;
const DAY_SECONDS = 24 * 60 * 60;

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
 * @throws Problem not_found, statement_stale, last_owner
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
  if (role !== "owner") await assertAnotherOwner(trx, accountId, id);
  await store.updateRole(trx, accountId, id, role, now);
  if (role !== "owner" && member.userId !== null)
    await store.endInvitationsBy(trx, accountId, member.userId, now);
  return member;
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
