import { type Static, Type } from "@sinclair/typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import { findMember, listMembers, type MemberRow } from "../../../accounts/member-service.ts";
import { may } from "../../../accounts/roles.ts";
import { listKeys } from "../../../accounts/token-service.ts";
import { type PaymentDeps, voidSignatures } from "../../../approvals/advance-service.ts";
import type { MemberRole } from "../../../database/schema.ts";
import type { App } from "../../../http/app.ts";
import { notFound, Problem } from "../../../lib/problems.ts";
import type { SessionDeps } from "../../../passkeys/session-deps.ts";
import { askToSign, mustSign } from "../../../passkeys/signed-act-service.ts";
import { formToken } from "../../../sign-in/form-token.ts";
import { type Human, openSessionGate } from "../../../sign-in/gate.ts";
import {
  changeRole,
  inviteAct,
  inviteByOwner,
  removalAct,
  removeMember,
  roleAct,
} from "../../../team/member-service.ts";
import { PENDING } from "../../../team/owner-service.ts";
import { listMadeBy } from "../../../webhooks/by-hand-service.ts";
import type { Fault } from "../../kit/forms.ts";
import { accountOf } from "../../kit/memberships.ts";
import { absentFault, proverOf } from "../../kit/presence.ts";
import { findActing, setCookie } from "../../kit/signing.ts";
import { show } from "../../kit/site.ts";
import { viewPending } from "../changes/pending-routes.ts";
import {
  draftOf,
  faultIn,
  InviteForm,
  Params,
  RemoveForm,
  RoleForm,
  removalOf,
  roleChangeOf,
} from "./member-forms.ts";
import {
  type InviteDraft,
  invitedPage,
  inviteFields,
  MEMBERS,
  type MemberSection,
  type MemberView,
  memberPage,
  membersPage,
  PASSWORD_FIELD,
  removePage,
} from "./member-pages.ts";
import { viewUpgrades } from "./upgrade-routes.ts";

const Query = Type.Object({ said: Type.Optional(Type.Unsafe<unknown>({})) });
const PURPOSES = {
  invite: (accountId: string) => `members:invite:${accountId}`,
  role: (memberId: string, shown: string) => `members:role:${memberId}:${shown}`,
  remove: (memberId: string) => `members:remove:${memberId}`,
};

export type MemberPageDeps = SessionDeps &
  PaymentDeps & { config: { smtpUrl: string | undefined; demo: boolean } };

/** `/settings/members` (docs/contract.md §7). Members see each other; owners invite, change and remove. */
export function memberRoutes(app: App, deps: MemberPageDeps): void {
  const pages = openSessionGate(deps);
  app.get(
    MEMBERS,
    { ...pages.options, schema: { hide: true, querystring: Query } },
    async (request, reply) => {
      const { said } = request.query;
      return showMembers(deps, reply, pages.human(request), {
        said: typeof said === "string" ? said : undefined,
      });
    },
  );

  const one = { ...pages.options, schema: { hide: true as const, params: Params } };
  app.get(`${MEMBERS}/:memberId`, one, async (request, reply) => {
    const human = pages.human(request);
    return showMember(deps, reply, human, await findOwn(deps, human, request.params.memberId));
  });
  app.get(`${MEMBERS}/:memberId/remove`, one, async (request, reply) => {
    const human = pages.human(request);
    return showRemoval(deps, reply, human, await findOwn(deps, human, request.params.memberId), {
      revokeKeys: true,
      deleteWebhooks: true,
    });
  });

  inviteRoute(app, deps);
  changeRoutes(app, deps);
}

function inviteRoute(app: App, deps: MemberPageDeps): void {
  const gate = openSessionGate(deps, {
    purpose: ({ body }) => PURPOSES.invite((body as Static<typeof InviteForm>).account_id),
    returnTo: () => MEMBERS,
  });
  const options = { ...gate.options, schema: { hide: true as const, body: InviteForm } };
  app.post(`${MEMBERS}/invite/sign`, options, async (request, reply) => {
    const human = gate.human(request);
    const { accountId } = ownedBy(human, request.body.account_id);
    // Then the form is sent as it is, and the page says what is wrong with it.
    if (faultIn(draftOf(request.body), accountId) !== undefined) return reply.code(204).send();
    return reply.send(await askToSign(deps, human, inviteAct(accountId, draftOf(request.body))));
  });

  app.post(`${MEMBERS}/invite`, options, async (request, reply) => {
    const human = gate.human(request);
    const { account_id: accountId, password: typed } = request.body;
    const account = ownedBy(human, accountId);
    const draft = draftOf(request.body);
    const complain = (fault: Fault) =>
      showMembers(deps, reply, human, { fault, drafts: { [accountId]: draft } });
    const fault = faultIn(draft, accountId);
    if (fault !== undefined) return complain(fault);
    const ids = inviteFields(accountId);
    const found = await findActing(deps, request, reply, human, accountId);
    if (found === undefined) return complain(absentFault(ids.password, typed));
    try {
      const invited = await inviteByOwner(deps, found.acting, account, draft, found.signature);
      setCookie(reply, invited.cookie);
      const secret = invited.value;
      if (secret === PENDING) return reply.redirect(`${MEMBERS}?said=second`, 303);
      // If the service sends mail, only the mail contains the link, so the person who accepts has that mailbox.
      if (deps.config.smtpUrl !== undefined || deps.config.demo)
        return reply.redirect(`${MEMBERS}?said=invited`, 303);
      const page = invitedPage(draft, `${deps.config.publicUrl}/invite?token=${secret}`);
      return show(deps, reply, page, { human, status: 201 });
    } catch (error) {
      if (!(error instanceof Problem) || error.problem !== "member_active") throw error;
      return complain({ field: ids.email, message: "This person is in the account already." });
    }
  });
}

function changeRoutes(app: App, deps: MemberPageDeps): void {
  const formGate = (purpose: (memberId: string, body: unknown) => string) =>
    openSessionGate(deps, {
      purpose: (request) => purpose(idOf(request), request.body),
      returnTo: () => MEMBERS,
    });

  const changing = formGate((id, body) => PURPOSES.role(id, (body as Static<typeof RoleForm>).shown));
  const roleOptions = {
    ...changing.options,
    schema: { hide: true as const, params: Params, body: RoleForm },
  };
  app.post(`${MEMBERS}/:memberId/role/sign`, roleOptions, async (request, reply) => {
    const human = changing.human(request);
    const { account, member } = await findOwn(deps, human, request.params.memberId);
    return reply.send(
      await askToSign(deps, human, roleAct(account.accountId, roleChangeOf(member, request.body))),
    );
  });
  app.post(`${MEMBERS}/:memberId/role`, roleOptions, async (request, reply) => {
    const human = changing.human(request);
    const own = await findOwn(deps, human, request.params.memberId);
    const { role, password: typed } = request.body;
    const found = await findActing(deps, request, reply, human, own.account.accountId);
    if (found === undefined) {
      return showMember(deps, reply, human, own, { role, fault: absentFault(PASSWORD_FIELD, typed) });
    }
    const change = roleChangeOf(own.member, request.body);
    try {
      const changed = await changeRole(deps, found.acting, own.account, change, found.signature);
      setCookie(reply, changed.cookie);
      if (changed.value === PENDING) return reply.redirect(`${MEMBERS}?said=second`, 303);
      if (!may(role, "decide")) await voidSignatures(deps, own.account.accountId, changed.value.userId);
      return reply.redirect(`${MEMBERS}?said=role`, 303);
    } catch (error) {
      if (!(error instanceof Problem) || error.problem !== "statement_stale") throw error;
      const present = await findOwn(deps, human, own.member.id);
      return showMember(deps, reply, human, present, { stale: true });
    }
  });

  const removing = formGate(PURPOSES.remove);
  const removalOptions = {
    ...removing.options,
    schema: { hide: true as const, params: Params, body: RemoveForm },
  };
  app.post(`${MEMBERS}/:memberId/remove/sign`, removalOptions, async (request, reply) => {
    const human = removing.human(request);
    const { account, member } = await findOwn(deps, human, request.params.memberId);
    const removal = removalOf(account.accountId, member, request.body);
    return reply.send(await askToSign(deps, human, removalAct(account.accountId, removal)));
  });
  app.post(`${MEMBERS}/:memberId/remove`, removalOptions, async (request, reply) => {
    const human = removing.human(request);
    const own = await findOwn(deps, human, request.params.memberId);
    const { password: typed, revoke_keys, delete_webhooks } = request.body;
    const revokeKeys = revoke_keys === "yes";
    const deleteWebhooks = delete_webhooks === "yes";
    const { accountId } = own.account;
    const found = await findActing(deps, request, reply, human, accountId);
    if (found === undefined) {
      const around = { revokeKeys, deleteWebhooks, fault: absentFault(PASSWORD_FIELD, typed) };
      return showRemoval(deps, reply, human, own, around);
    }
    const removal = removalOf(accountId, own.member, request.body);
    const removed = await removeMember(deps, found.acting, own.account, removal, found.signature);
    setCookie(reply, removed.cookie);
    const { status, userId } = removed.value;
    await voidSignatures(deps, accountId, userId);
    if (userId === human.userId) return reply.redirect("/approvals", 303);
    return reply.redirect(`${MEMBERS}?said=${status === "invited" ? "withdrawn" : "removed"}`, 303);
  });
}

type Own = { member: MemberRow; account: Human["memberships"][number] };

async function showMembers(
  deps: MemberPageDeps,
  reply: FastifyReply,
  human: Human,
  around: { said?: string | undefined; fault?: Fault; drafts?: Record<string, InviteDraft> },
): Promise<FastifyReply> {
  const section = async (account: Human["memberships"][number]): Promise<MemberSection> => {
    const { accountId, accountName, role } = account;
    const inviting = {
      signs: await mustSign(deps.db, human.userId, accountId),
      formToken: formToken(deps.keys, human, PURPOSES.invite(accountId)),
      draft: around.drafts?.[accountId],
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
  const status = around.fault === undefined ? 200 : 422;
  return show(deps, reply, membersPage(await proverOf(deps, human), sections, around), { human, status });
}

async function showMember(
  deps: MemberPageDeps,
  reply: FastifyReply,
  human: Human,
  own: Own,
  around: { role?: MemberRole; fault?: Fault; stale?: true } = {},
): Promise<FastifyReply> {
  const shown = own.member.updatedAt.toISOString();
  const view = { ...(await viewOf(deps, human, own, (id) => PURPOSES.role(id, shown))), ...around, shown };
  const status = around.stale ? 409 : around.fault === undefined ? 200 : 422;
  return show(deps, reply, memberPage(await proverOf(deps, human), view), { human, status });
}

async function showRemoval(
  deps: MemberPageDeps,
  reply: FastifyReply,
  human: Human,
  own: Own,
  around: { revokeKeys: boolean; deleteWebhooks: boolean; fault?: Fault },
): Promise<FastifyReply> {
  const { userId } = own.member;
  const keys = (await listKeys(deps.db, own.account)).filter(
    ({ status, minterUserId }) => status === "active" && userId !== null && minterUserId === userId,
  );
  const webhooks = userId === null ? [] : await listMadeBy(deps.db, own.account.accountId, { userId });
  const view = { ...(await viewOf(deps, human, own, PURPOSES.remove)), ...around, keys, webhooks };
  const status = around.fault === undefined ? 200 : 422;
  return show(deps, reply, removePage(await proverOf(deps, human), view), { human, status });
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
async function findOwn({ db }: MemberPageDeps, human: Human, id: string): Promise<Own> {
  for (const account of human.memberships) {
    const member = await findMember(db, account.accountId, id);
    if (member !== undefined) return { member, account: ownedBy(human, account.accountId) };
  }
  throw notFound("members", "memberId", id);
}

/** @throws Problem not_found for an account that is not theirs, not_permitted for all but its owners */
function ownedBy(human: Human, accountId: string): Human["memberships"][number] {
  const account = accountOf(human, accountId);
  if (!may(account.role, "own")) throw new Problem("not_permitted");
  return account;
}

function idOf(request: FastifyRequest): string {
  return (request.params as Static<typeof Params>).memberId;
}
