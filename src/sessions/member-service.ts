import {
  assertMayInvite,
  changeRole as changeRoleOf,
  listOwners,
  type MemberOfAccount,
  removeMember as removeMemberOf,
} from "../accounts/member-service.ts";
import { insertInvitation } from "../accounts/service.ts";
import { listTokensOfUser, revokeWithOffspring } from "../accounts/token-service.ts";
import type { AuditAction } from "../audit/schemas.ts";
import { byPerson, type NewEntry, recordAudit } from "../audit/service.ts";
import type { Db, Trx } from "../database/connection.ts";
import type { MemberRole } from "../database/schema.ts";
import type { Origin } from "../lib/origin.ts";
import { type Mail, queueMail } from "../mail/service.ts";
import { type Actor, inSession } from "../sign-in/service.ts";
import { inviteMail, memberInvitedMail, memberRemovedMail, roleChangedMail } from "./team-mails.ts";
import { assertTrusted } from "./trust.ts";

type Deps = { db: Db; config: { appName: string; publicUrl: string } };
type Owner = Actor & { email: string; name: string };
type Account = { accountId: string; accountName: string };

/** Who is removed, and what goes with them. Webhooks are above this feature: whoever calls knows how they end. */
export type Removal = {
  memberId: string;
  revokeKeys: boolean;
  endWebhooks?: ((trx: Trx, userId: string) => Promise<number>) | undefined;
};

/**
 * All of these are an owner's, whose proof must be younger than 5 minutes. Each records an audit entry. Each may throw
 * presence_lapsed, passkey_proof_required, and what `holdActor` does.
 */
type Step = { trx: Trx; now: Date; owner: Owner; account: Account; origin: Origin };

/**
 * Invites a person into the account; as an owner does it, it waits for no consent. They are mailed the link, and the
 * other owners that they were invited.
 * @returns the invitation's secret, for a service that sends no mail
 * @throws Problem not_found, not_permitted, member_active, rate_limited after 20 in 24 hours
 */
export async function inviteByOwner(
  { db, config }: Deps,
  owner: Owner,
  account: Account,
  person: { email: string; name: string; role: MemberRole },
  origin: Origin,
): Promise<string> {
  return asOwner(db, owner, account, origin, async (step) => {
    const { trx, now } = step;
    await assertMayInvite(trx, account.accountId, now);
    const { member, secret } = await insertInvitation(trx, account.accountId, person, owner.userId, now);
    const { id: memberId, role } = member;
    await record(step, "member_invited", memberId, { after: { role } });
    const said = { by: owner, accountName: account.accountName, role };
    await queueMail(trx, inviteMail(config, member, { ...said, secret }), now);
    await mailOwners(step, (to) => memberInvitedMail(config, to, { ...said, member }));
    return secret;
  });
}

/**
 * Gives a member another role; they and the other owners are mailed.
 * @param change.shown the `updatedAt` of the member who was shown
 * @returns the member as they were
 * @throws Problem not_found, not_permitted, statement_stale, last_owner
 */
export async function changeRole(
  { db, config }: Deps,
  owner: Owner,
  account: Account,
  change: { memberId: string; role: MemberRole; shown: string },
  origin: Origin,
): Promise<MemberOfAccount> {
  return asOwner(db, owner, account, origin, async (step) => {
    const { trx, now } = step;
    const { memberId, role, shown } = change;
    const member = await changeRoleOf(trx, account.accountId, { id: memberId, role, shown }, now);
    if (member.role === role) return member;
    await record(step, "member_role_changed", memberId, { before: { role: member.role }, after: { role } });
    const said = { by: owner, accountName: account.accountName, member, role };
    await mailOwners(step, (to) => roleChangedMail(config, to, said), member);
    return member;
  });
}

/**
 * Removes a member, or withdraws an invitation. A member stays signed in, as they may be in other accounts: whoever
 * acts is looked at when they act. They and the other owners are mailed.
 * @param revokeKeys whether the API keys die that they have made, and so have seen
 * @param endWebhooks what ends their webhooks in this transaction, and says how many; absent: they go on
 * @returns the member as they were
 * @throws Problem not_found, not_permitted, last_owner
 */
export async function removeMember(
  { db, config }: Deps,
  owner: Owner,
  account: Account,
  { memberId, revokeKeys, endWebhooks }: Removal,
  origin: Origin,
): Promise<MemberOfAccount> {
  const { accountId, accountName } = account;
  return asOwner(db, owner, account, origin, async (step) => {
    const { trx, now } = step;
    const member = await removeMemberOf(trx, accountId, memberId, now);
    const { userId } = member;
    if (member.status !== "active" || userId === null) {
      await record(step, "invitation_withdrawn", memberId, { before: { role: member.role } });
      return member;
    }
    const keys = revokeKeys ? await listTokensOfUser(trx, accountId, userId) : [];
    const keysEnded = await revokeWithOffspring(trx, accountId, keys, now);
    const webhooksEnded = (await endWebhooks?.(trx, userId)) ?? 0;
    const detail = { keysEnded, webhooksEnded };
    await record(step, "member_removed", memberId, { before: { role: member.role }, detail });
    const said = { by: owner, accountName, member };
    await mailOwners(step, (to) => memberRemovedMail(config, to, said), member);
    return member;
  });
}

function asOwner<T>(
  db: Db,
  owner: Owner,
  account: Account,
  origin: Origin,
  work: (step: Step) => Promise<T>,
): Promise<T> {
  const { accountId } = account;
  const need = { fresh: true, account: { id: accountId, may: "own", alone: true } } as const;
  return inSession(db, owner, need, async (trx, now, held) => {
    await assertTrusted(trx, held, owner.userId, accountId);
    return work({ trx, now, owner, account, origin });
  });
}

async function record(
  { trx, now, owner, account, origin }: Step,
  action: AuditAction,
  memberId: string,
  what: Pick<NewEntry, "before" | "after" | "detail">,
): Promise<void> {
  const subject = { kind: "member", id: memberId };
  const { accountId } = account;
  await recordAudit(trx, { accountId, actor: byPerson(owner), action, subject, ...what, origin }, now);
}

/** Tells the owners of a change, but for the one who made it; and first whom it concerns. */
async function mailOwners(
  { trx, now, owner, account }: Step,
  mail: (to: { email: string; name: string }) => Mail,
  concerned?: MemberOfAccount,
): Promise<void> {
  const owners = await listOwners(trx, account.accountId);
  const others = owners.filter(({ userId, id }) => userId !== owner.userId && id !== concerned?.id);
  for (const to of concerned === undefined ? others : [concerned, ...others])
    await queueMail(trx, mail(to), now);
}
