import { inviteMember } from "../accounts/invitation-service.ts";
import * as members from "../accounts/member-service.ts";
import { mayDecide, raisesRights } from "../accounts/roles.ts";
import * as accounts from "../accounts/service.ts";
import type { AuditAction } from "../audit/schemas.ts";
import type { Act } from "../audit/service.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { MemberRole } from "../database/schema.ts";
import { inTransaction } from "../database/transaction.ts";
import { idCursorOf, PAGE_LIMIT, type PageQuery, toPage } from "../lib/pages.ts";
import { notFound } from "../lib/problems.ts";
import { line, own, who } from "../mail/line.ts";
import { askForUpgrade, assertOwnerStays, listUpgrades, withdrawUpgrade } from "../team/upgrade-service.ts";
import type { AccountRef, OperatorDeps } from "./account-service.ts";
import { mailOwners, recordAct } from "./act-service.ts";
import type { Member, MemberBody, MemberChange } from "./schemas.ts";

/**
 * Invites a person; the page at `inviteUrl` lets them accept, once, for 24 h.
 * @throws Problem bad_request {field}, account_frozen, member_active
 */
export async function postMember(
  { db, config }: OperatorDeps,
  { accountId }: AccountRef,
  body: MemberBody,
  act: Act,
): Promise<{ member: Member; inviteUrl: string }> {
  const { member, secret } = await inviteMember(db, accountId, body, act);
  return { member: toMember(member, []), inviteUrl: `${config.publicUrl}/invite?token=${secret}` };
}

export async function listMembers(db: Db, { accountId }: AccountRef): Promise<Member[]> {
  const upgrades = await listUpgrades(db, accountId);
  return (await members.listMembers(db, accountId)).map((row) => toMember(row, upgrades));
}

/** A page of the members, newest first. @throws Problem bad_request {field: "cursor"} */
export async function pageMembers(
  db: Db,
  { accountId }: AccountRef,
  { cursor, limit = PAGE_LIMIT }: PageQuery,
): Promise<{ members: Member[]; nextCursor: string | null }> {
  const rows = await members.listMemberPage(db, accountId, idCursorOf(cursor), limit + 1);
  const { page, nextCursor } = toPage(rows, limit, ({ id }) => id);
  const upgrades = await listUpgrades(db, accountId);
  return { members: page.map((row) => toMember(row, upgrades)), nextCursor };
}

/** @throws Problem not_found {resource: "members", memberId} */
export async function getMember(db: Db, account: AccountRef, id: string): Promise<Member> {
  const found = (await listMembers(db, account)).find((member) => member.id === id);
  if (found === undefined) throw notFound("members", "memberId", id);
  return found;
}

type Step = { trx: Trx; deps: OperatorDeps; account: AccountRef; act: Act; now: Date };

/**
 * Gives a member another name or role (docs/contract.md §8). Fewer rights apply at once. More rights for an active member
 * wait for an owner, or, where no owner has signed in for 30 days, for 72 hours; they count at once where the account has no
 * owner. The present role withdraws what was asked for.
 * @param onLessRights called after the commit for a member who may no longer decide
 * @throws Problem not_found, bad_request {field}, account_frozen, last_owner
 */
export async function patchMember(
  deps: OperatorDeps,
  account: AccountRef,
  id: string,
  { name, role }: MemberChange,
  act: Act,
  onLessRights: (userId: string | null) => Promise<void>,
): Promise<Member> {
  const { accountId } = account;
  const member = await inTransaction(deps.db, async (trx, now) => {
    await accounts.holdAccount(trx, accountId);
    const found = await members.findMember(trx, accountId, id);
    if (found === undefined) throw notFound("members", "memberId", id);
    const step = { trx, deps, account, act, now };
    if (name !== undefined) {
      await members.renameMember(trx, accountId, id, name, now);
      const change = { before: { name: found.name }, after: { name } };
      await record(step, "member_changed", id, change);
    }
    if (role !== undefined) await changeRole(step, found, role);
    return found;
  });
  if (role !== undefined && mayDecide(member.role) && !mayDecide(role)) await onLessRights(member.userId);
  return getMember(deps.db, account, id);
}

async function changeRole(step: Step, member: members.MemberRow, role: MemberRole): Promise<void> {
  const { trx, deps, account, now } = step;
  const { accountId } = account;
  const { id } = member;
  const raises = raisesRights(member.role, role);
  if (raises) await accounts.assertNotFrozen(trx, accountId);
  if (!raises && (await withdrawUpgrade(trx, accountId, id, now)))
    await record(step, "member_upgrade_ended", id, { after: { outcome: "withdrawn" } });
  if (role === member.role) return;
  const change = { before: { role: member.role }, after: { role } };
  if (member.status === "invited") {
    await members.setInvitedRole(trx, accountId, id, { role, raises }, now);
    await record(step, "member_role_changed", id, change);
    return;
  }
  const owners = await members.listOwners(trx, accountId);
  if (raises && mayDecide(role) && owners.length > 0) {
    const { name: accountName } = await accounts.getAccount(trx, accountId, account.organizationId);
    const effectiveAt = await askForUpgrade(trx, deps.config, { accountId, accountName }, member, role, now);
    const after = { role, effectiveAt: effectiveAt?.toISOString() ?? null };
    await record(step, "member_upgrade_asked", id, { before: { role: member.role }, after });
    return;
  }
  if (!raises) await assertOwnerStays(trx, accountId, member, now);
  await members.setRole(trx, accountId, member, role, now);
  await record(step, "member_role_changed", id, change);
  const what = mayDecide(role)
    ? line`${who(member)} is now an ${own(role)}.`
    : line`${who(member)} is now a viewer.`;
  await mailOwners(trx, deps.config, account, [what], now, member);
}

/**
 * Removes a member, or withdraws their invitation, and mails the owners. What they created stays: keys are revoked one by one.
 * @param onLessRights called after the commit for a member who may no longer decide
 * @throws Problem not_found, last_owner
 */
export async function deleteMember(
  deps: OperatorDeps,
  account: AccountRef,
  id: string,
  act: Act,
  onLessRights: (userId: string | null) => Promise<void>,
): Promise<void> {
  const { accountId } = account;
  const member = await inTransaction(deps.db, async (trx, now) => {
    await accounts.holdAccount(trx, accountId);
    const found = await members.findMember(trx, accountId, id);
    if (found !== undefined) await assertOwnerStays(trx, accountId, found, now);
    const removed = await members.removeMember(trx, accountId, id, now);
    await withdrawUpgrade(trx, accountId, id, now);
    const { role, status } = removed;
    const step = { trx, deps, account, act, now };
    const invited = status === "invited";
    const change = { before: { role, status }, after: { role: null, status: "removed" } };
    await record(step, invited ? "invitation_withdrawn" : "member_removed", id, change);
    const what = invited
      ? line`The invitation of ${who(removed)} is withdrawn.`
      : line`${who(removed)} is no longer a member.`;
    await mailOwners(trx, deps.config, account, [what], now, invited ? undefined : removed);
    return removed;
  });
  await onLessRights(member.userId);
}

type Change = { before?: Record<string, unknown>; after: Record<string, unknown> };

async function record(
  { trx, account, act, now }: Step,
  action: AuditAction,
  id: string,
  change: Change,
): Promise<void> {
  await recordAct(trx, account.accountId, act, { action, subject: { kind: "member", id }, ...change }, now);
}

type Upgrades = Awaited<ReturnType<typeof listUpgrades>>;

function toMember(row: members.MemberRow, upgrades: Upgrades): Member {
  const upgrade = upgrades.find(({ memberId }) => memberId === row.id);
  return {
    id: row.id,
    email: row.email,
    name: row.name,
    role: row.role,
    status: row.status === "active" ? "active" : "invited",
    pendingUpgrade:
      upgrade === undefined
        ? null
        : {
            role: upgrade.role,
            askedAt: upgrade.askedAt.toISOString(),
            effectiveAt: upgrade.effectiveAt?.toISOString() ?? null,
          },
    createdAt: row.createdAt.toISOString(),
  };
}
