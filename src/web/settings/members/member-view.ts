import type { FastifyReply } from "fastify";
import { listKeys } from "../../../accounts/key-service.ts";
import { findMember, listMembers, type MemberRow } from "../../../accounts/member-service.ts";
import { may } from "../../../accounts/roles.ts";
import type { PaymentDeps } from "../../../approvals/advance-service.ts";
import type { MemberRole } from "../../../database/schema.ts";
import { notFound } from "../../../lib/problems.ts";
import type { SessionDeps } from "../../../passkeys/session-deps.ts";
import { mustSign } from "../../../passkeys/signed-act-service.ts";
import { formToken } from "../../../sign-in/form-token.ts";
import type { Human } from "../../../sign-in/gate.ts";
import { listMadeBy } from "../../../webhooks/by-hand-service.ts";
import type { Fault } from "../../kit/forms.ts";
import { type Membership, ownedBy } from "../../kit/memberships.ts";
import { proverOf } from "../../kit/presence.ts";
import { show } from "../../kit/site.ts";
import { viewPending } from "../changes/pending-routes.ts";
import {
  type InviteDraft,
  type MemberSection,
  type MemberView,
  memberPage,
  membersPage,
  removePage,
} from "./member-pages.ts";

import { viewUpgrades } from "./upgrade-routes.ts";

/** What each form is bound to. */
export const PURPOSES = {
  invite: (accountId: string) => `members:invite:${accountId}`,
  role: (memberId: string, shown: string) => `members:role:${memberId}:${shown}`,
  remove: (memberId: string) => `members:remove:${memberId}`,
};

export type MemberPageDeps = SessionDeps &
  PaymentDeps & { config: { smtpUrl: string | undefined; demo: boolean } };

/** A member, and the account in which the person owns them. */
type Own = { member: MemberRow; account: Membership };

/** `/settings/members`, as it is now. */
export async function showMembers(
  deps: MemberPageDeps,
  reply: FastifyReply,
  human: Human,
  around: { said: string | undefined; fault?: Fault; draft?: Record<string, InviteDraft> },
): Promise<FastifyReply> {
  const section = async (account: Membership): Promise<MemberSection> => {
    const { accountId, accountName, role } = account;
    const inviting = {
      signs: await mustSign(deps.db, human.userId, accountId),
      formToken: formToken(deps.keys, human, PURPOSES.invite(accountId)),
      draft: around.draft?.[accountId],
    };
    const members = await listMembers(deps.db, accountId);
    const upgrades = await viewUpgrades(deps, human, account);
    const pending = await viewPending(deps, human, account, "member");
    return {
      accountId,
      accountName,
      members,
      upgrades,
      pending,
      inviting: may(role, "own") ? inviting : undefined,
    };
  };
  const sections = await Promise.all(human.memberships.map(section));
  const page = membersPage(await proverOf(deps, human), sections, around);
  return show(deps, reply, page, { human });
}

/** The page of one member, on which an owner changes their role. */
export async function showMember(
  deps: MemberPageDeps,
  reply: FastifyReply,
  human: Human,
  own: Own,
  around: { role: MemberRole | undefined; fault: Fault | undefined },
): Promise<FastifyReply> {
  const shown = own.member.updatedAt.toISOString();
  const view = { ...(await viewOf(deps, human, own, (id) => PURPOSES.role(id, shown))), ...around, shown };
  const page = memberPage(await proverOf(deps, human), view);
  return show(deps, reply, page, { human });
}

/** The page on which an owner removes a member. */
export async function showRemoval(
  deps: MemberPageDeps,
  reply: FastifyReply,
  human: Human,
  own: Own,
  around: { revokeKeys: boolean; deleteWebhooks: boolean; fault: Fault | undefined },
): Promise<FastifyReply> {
  const { userId } = own.member;
  const keys = (await listKeys(deps.db, own.account)).filter(
    ({ status, minterUserId }) => status === "active" && userId !== null && minterUserId === userId,
  );
  const webhooks = userId === null ? [] : await listMadeBy(deps.db, own.account.accountId, { userId });
  const view = { ...(await viewOf(deps, human, own, PURPOSES.remove)), ...around, keys, webhooks };
  const page = removePage(await proverOf(deps, human), view);
  return show(deps, reply, page, { human });
}

async function viewOf(
  deps: MemberPageDeps,
  human: Human,
  { member, account }: Own,
  purpose: (memberId: string) => string,
): Promise<MemberView> {
  return {
    member,
    accountName: account.accountName,
    you: member.userId === human.userId,
    signs: await mustSign(deps.db, human.userId, account.accountId),
    formToken: formToken(deps.keys, human, purpose(member.id)),
  };
}

/**
 * A member of one of the accounts that the person owns.
 * @throws Problem not_found, not_permitted for a member of an account that they do not own
 */
export async function findOwn({ db }: MemberPageDeps, human: Human, id: string): Promise<Own> {
  for (const account of human.memberships) {
    const member = await findMember(db, account.accountId, id);
    if (member !== undefined) return { member, account: ownedBy(human, account.accountId) };
  }
  throw notFound("members", "memberId", id);
}
