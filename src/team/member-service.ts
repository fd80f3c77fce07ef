import { insertInvitation } from "../accounts/invitation-service.ts";
import {
  assertMayInvite,
  changeRole as changeRoleOf,
  listOwners,
  type MemberRow,
  removeMember as removeMemberOf,
} from "../accounts/member-service.ts";
import { mayDecide, raisesRights } from "../accounts/roles.ts";
import { listLiveTokensOfUser, revokeWithDescendants } from "../accounts/token-service.ts";
import type { AuditAction } from "../audit/schemas.ts";
import { byPerson, type NewEntry, recordAudit } from "../audit/service.ts";
import type { Trx } from "../database/connection.ts";
import type { MemberRole } from "../database/schema.ts";
import { Problem } from "../lib/problems.ts";
import { type Addressee, type Mail, queueMail } from "../mail/service.ts";
import type { SessionDeps } from "../passkeys/session-deps.ts";
import type { Act, Signature } from "../passkeys/signed-act-service.ts";
import { inviteMail, memberInvitedMail, memberRemovedMail, roleChangedMail } from "./mails.ts";
import {
  type Account,
  askSecond,
  asOwner,
  type Done,
  type Owner,
  PENDING,
  type Pending,
  type Step,
} from "./owner-service.ts";

/** A removal, and what is revoked with it. The caller passes how webhooks end, as they are a higher layer. */
export type Removal = {
  member: Shown;
  revokeKeys: boolean;
  endWebhooks?: ((trx: Trx, userId: string) => Promise<number>) | undefined;
};

export type Invited = { email: string; name: string; role: MemberRole };
/** A member as the page shows them. */
type Shown = Pick<MemberRow, "id" | "name" | "email" | "role">;
/** `shown`: the `updatedAt` of the member who was shown. */
export type RoleChange = { member: Shown; role: MemberRole; shown: string };
/**
 * Invites a person to the account. Needs no consent, as an owner does it. Mails the link to the person, and a mail
 * about it to the other owners.
 * @returns the invitation's secret, for a service that sends no mail; `PENDING` where a second person must agree
 * first
 * @throws Problem not_found, not_permitted, member_active, rate_limited after 20 in 24 hours
 */
export async function inviteByOwner(
  deps: SessionDeps,
  owner: Owner,
  account: Account,
  person: Invited,
  signature: Signature,
): Promise<Done<string | Pending>> {
  const act = inviteAct(account.accountId, person);
  return asOwner(deps, { owner, account, signature, act }, async (step) => {
    const request = { kind: "invite", ...person } as const;
    if (mayDecide(person.role) && (await askSecond(step, deps, { act, request }))) return PENDING;
    return inviteNow(step, deps, person, owner.userId);
  });
}

/**
 * Invites a person, in the transaction of the last person who must agree.
 * @param owner the user id of the owner who invites
 */
export async function inviteNow(
  step: Step,
  { config }: Pick<SessionDeps, "config">,
  person: Invited,
  owner: string,
): Promise<string> {
  const { trx, now, account, owner: by } = step;
  await assertMayInvite(trx, account.accountId, now);
  const { member, secret } = await insertInvitation(trx, account.accountId, person, owner, now);
  const { id: memberId, role } = member;
  await record(step, "member_invited", memberId, { after: { role } });
  const said = { by, accountName: account.accountName, role };
  await queueMail(trx, inviteMail(config, member, { ...said, secret }), now);
  await mailOwners(step, (to) => memberInvitedMail(config, to, { ...said, member }));
  return secret;
}

/**
 * Changes a member's role. Mails them and the other owners.
 * @returns the member before the change; `PENDING` where a second person must agree first
 * @throws Problem second_person_missing, not_found, not_permitted, statement_stale, last_owner
 */
export async function changeRole(
  deps: SessionDeps,
  owner: Owner,
  account: Account,
  change: RoleChange,
  signature: Signature,
): Promise<Done<MemberRow | Pending>> {
  const act = roleAct(account.accountId, change);
  const { member, role, shown } = change;
  return asOwner(deps, { owner, account, signature, act }, async (step) => {
    const request = { kind: "role", memberId: member.id, role, shown } as const;
    if (raisesRights(member.role, role) && (await askSecond(step, deps, { act, request }))) return PENDING;
    return changeRoleNow(step, deps, request);
  });
}

/** Changes a member's role, in the transaction of the last person who must agree. */
export async function changeRoleNow(
  step: Step,
  { config }: Pick<SessionDeps, "config">,
  { memberId, role, shown }: { memberId: string; role: MemberRole; shown: string },
): Promise<MemberRow> {
  const { trx, now, account, owner: by } = step;
  const member = await changeRoleOf(trx, account.accountId, { id: memberId, role, shown }, now);
  if (member.role === role) return member;
  await record(step, "member_role_changed", memberId, { before: { role: member.role }, after: { role } });
  const said = { by, accountName: account.accountName, member, role };
  await mailOwners(step, (to) => roleChangedMail(config, to, said), member);
  return member;
}

/**
 * Removes a member or withdraws an invitation. Mails the member and the other owners. The member stays signed in, as
 * they may belong to other accounts; each of their acts checks the membership.
 * @param revokeKeys whether to revoke the API keys that they created, whose secrets they have seen
 * @param endWebhooks deletes their webhooks in this transaction and returns how many; absent: they stay
 * @returns the member before the removal
 * @throws Problem not_found, not_permitted, last_owner, statement_stale
 */
export async function removeMember(
  deps: SessionDeps,
  owner: Owner,
  account: Account,
  removal: Removal,
  signature: Signature,
): Promise<Done<MemberRow>> {
  const { revokeKeys, endWebhooks } = removal;
  const memberId = removal.member.id;
  const { accountId, accountName } = account;
  const act = removalAct(accountId, removal);
  return asOwner(deps, { owner, account, signature, act }, async (step) => {
    const { trx, now } = step;
    const member = await removeMemberOf(trx, accountId, memberId, now);
    if (member.role !== removal.member.role || member.name !== removal.member.name)
      throw new Problem("statement_stale");
    const { userId } = member;
    if (member.status !== "active" || userId === null) {
      await record(step, "invitation_withdrawn", memberId, { before: { role: member.role } });
      return member;
    }
    const keys = revokeKeys ? await listLiveTokensOfUser(trx, accountId, userId) : [];
    const keysEnded = await revokeWithDescendants(trx, accountId, keys, now);
    const webhooksEnded = (await endWebhooks?.(trx, userId)) ?? 0;
    const detail = { keysEnded, webhooksEnded };
    await record(step, "member_removed", memberId, { before: { role: member.role }, detail });
    const said = { by: owner, accountName, member };
    await mailOwners(step, (to) => memberRemovedMail(deps.config, to, said), member);
    return member;
  });
}

/** What an owner signs to invite a person. */
export function inviteAct(accountId: string, { email, name, role }: Invited): Act {
  const person = { name, email: email.toLowerCase() };
  const subject = { kind: "member", id: person.email };
  return { action: "member", accountId, terms: { subject, from: null, to: { ...person, role } } };
}

/** What an owner signs to change a member's role. Names the role and time that the page showed. */
export function roleAct(accountId: string, { member, role, shown }: RoleChange): Act {
  const { id, name, email } = member;
  const from = { name, email, role: member.role, asOf: shown };
  return {
    action: "member",
    accountId,
    terms: { subject: { kind: "member", id }, from, to: { name, email, role } },
  };
}

/** What an owner signs to remove a member or withdraw an invitation. */
export function removalAct(accountId: string, { member, revokeKeys, endWebhooks }: Removal): Act {
  const { id, name, email, role } = member;
  const to = { role: null, keysRevoked: revokeKeys, webhooksDeleted: endWebhooks !== undefined };
  return {
    action: "member",
    accountId,
    terms: { subject: { kind: "member", id }, from: { name, email, role }, to },
  };
}

async function record(
  { trx, now, owner, account, origin, proof }: Step,
  action: AuditAction,
  memberId: string,
  what: Pick<NewEntry, "before" | "after" | "detail">,
): Promise<void> {
  const subject = { kind: "member", id: memberId };
  const { accountId } = account;
  const detail = { ...what.detail, ...proof };
  const entry = { accountId, actor: byPerson(owner), action, subject, ...what, detail, origin };
  await recordAudit(trx, entry, now);
}

/** Mails the member concerned, then the other owners; not the owner who made the change. */
async function mailOwners(
  { trx, now, owner, account }: Step,
  mail: (to: Addressee) => Mail,
  concerned?: MemberRow,
): Promise<void> {
  const owners = await listOwners(trx, account.accountId);
  const others = owners.filter(({ userId, id }) => userId !== owner.userId && id !== concerned?.id);
  for (const to of concerned === undefined ? others : [concerned, ...others])
    await queueMail(trx, mail(to), now);
}
