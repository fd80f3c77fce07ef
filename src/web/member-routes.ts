import { type Static, Type } from "@sinclair/typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import { findMember, type MemberOfAccount } from "../accounts/member-service.ts";
import { listMembers } from "../accounts/service.ts";
import { listKeys } from "../accounts/token-service.ts";
import { type PaymentDeps, voidSignatures } from "../approvals/payment.ts";
import type { Trx } from "../database/connection.ts";
import type { MemberRole } from "../database/schema.ts";
import type { App } from "../http/app.ts";
import { originOf } from "../http/origin.ts";
import { isVisible } from "../lib/names.ts";
import { notFound, Problem } from "../lib/problems.ts";
import { changeRole, inviteByOwner, removeMember } from "../sessions/member-service.ts";
import type { SessionDeps } from "../sessions/service.ts";
import { formToken } from "../sign-in/form-token.ts";
import { type Human, openSessionGate } from "../sign-in/gate.ts";
import { deleteMadeBy, listMadeBy } from "../webhooks/by-hand.ts";
import type { Fault } from "./forms.ts";
import {
  type InviteDraft,
  invitedPage,
  inviteFields,
  MEMBERS,
  type MemberSection,
  type MemberView,
  memberPage,
  membersPage,
  NAME_AT_MOST,
  PASSWORD_FIELD,
  ROLES,
  removePage,
} from "./member-pages.ts";
import { accountOf } from "./memberships.ts";
import { absentFault, proveNow } from "./presence.ts";
import { show } from "./site.ts";

const strict = { additionalProperties: false };
const token = { form_token: Type.String({ maxLength: 100 }) };
const password = { password: Type.Optional(Type.String({ maxLength: 1_024 })) };
const Role = Type.Unsafe<MemberRole>({ type: "string", enum: ROLES.map(([role]) => role) });
const InviteForm = Type.Object(
  {
    ...token,
    ...password,
    account_id: Type.String({ format: "uuid" }),
    email: Type.String({ maxLength: 1_000 }),
    name: Type.String({ maxLength: 1_000 }),
    role: Role,
  },
  strict,
);
const RoleForm = Type.Object(
  { ...token, ...password, role: Role, shown: Type.String({ maxLength: 30 }) },
  strict,
);
const RemoveForm = Type.Object(
  {
    ...token,
    ...password,
    revoke_keys: Type.Optional(Type.Literal("yes")),
    delete_webhooks: Type.Optional(Type.Literal("yes")),
  },
  strict,
);
const Params = Type.Object({ memberId: Type.String() });
const Query = Type.Object({ said: Type.Optional(Type.Unsafe<unknown>({})) });
const EMAIL = /^[a-z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-z0-9-]+(\.[a-z0-9-]+)+$/i;
const EMAIL_AT_MOST = 254;

const PURPOSES = {
  invite: (accountId: string) => `members:invite:${accountId}`,
  role: (memberId: string, shown: string) => `members:role:${memberId}:${shown}`,
  remove: (memberId: string) => `members:remove:${memberId}`,
};

export type MemberPageDeps = SessionDeps &
  PaymentDeps & { config: { smtpUrl: string | undefined; demo: boolean } };

/** `/settings/members` (CONTRACT.md §7). Members see each other; owners invite, change and remove. */
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
  app.post(
    `${MEMBERS}/invite`,
    { ...gate.options, schema: { hide: true, body: InviteForm } },
    async (request, reply) => {
      const human = gate.human(request);
      const { account_id: accountId, password: typed } = request.body;
      const account = ownedBy(human, accountId);
      const draft = draftOf(request.body);
      const complain = (fault: Fault) =>
        showMembers(deps, reply, human, { fault, drafts: { [accountId]: draft } });
      const fault = faultIn(draft, accountId);
      if (fault !== undefined) return complain(fault);
      const ids = inviteFields(accountId);
      const acting = await proveNow(deps, request, reply, human, typed);
      if (acting === undefined) return complain(absentFault(ids.password, typed));
      try {
        const secret = await inviteByOwner(deps, acting, account, draft, originOf(request));
        // Where mail goes out, only its reader gets the link: so whoever accepts has that mailbox.
        if (deps.config.smtpUrl !== undefined || deps.config.demo)
          return reply.redirect(`${MEMBERS}?said=invited`, 303);
        const page = invitedPage(draft, `${deps.config.publicUrl}/invite?token=${secret}`);
        return show(deps, reply, page, { human, status: 201 });
      } catch (error) {
        if (!(error instanceof Problem) || error.problem !== "member_active") throw error;
        return complain({ field: ids.email, message: "This person is in the account already." });
      }
    },
  );
}

function changeRoutes(app: App, deps: MemberPageDeps): void {
  const formGate = (purpose: (memberId: string, body: unknown) => string) =>
    openSessionGate(deps, {
      purpose: (request) => purpose(idOf(request), request.body),
      returnTo: () => MEMBERS,
    });

  const changing = formGate((id, body) => PURPOSES.role(id, (body as Static<typeof RoleForm>).shown));
  app.post(
    `${MEMBERS}/:memberId/role`,
    { ...changing.options, schema: { hide: true, params: Params, body: RoleForm } },
    async (request, reply) => {
      const human = changing.human(request);
      const own = await findOwn(deps, human, request.params.memberId);
      const { role, shown, password: typed } = request.body;
      const acting = await proveNow(deps, request, reply, human, typed);
      if (acting === undefined) {
        return showMember(deps, reply, human, own, { role, fault: absentFault(PASSWORD_FIELD, typed) });
      }
      const change = { memberId: own.member.id, role, shown };
      try {
        const { userId } = await changeRole(deps, acting, own.account, change, originOf(request));
        if (role === "viewer") await voidSignatures(deps, own.account.accountId, userId);
        return reply.redirect(`${MEMBERS}?said=role`, 303);
      } catch (error) {
        if (!(error instanceof Problem) || error.problem !== "statement_stale") throw error;
        const present = await findOwn(deps, human, own.member.id);
        return showMember(deps, reply, human, present, { stale: true });
      }
    },
  );

  const removing = formGate(PURPOSES.remove);
  app.post(
    `${MEMBERS}/:memberId/remove`,
    { ...removing.options, schema: { hide: true, params: Params, body: RemoveForm } },
    async (request, reply) => {
      const human = removing.human(request);
      const own = await findOwn(deps, human, request.params.memberId);
      const { password: typed, revoke_keys, delete_webhooks } = request.body;
      const revokeKeys = revoke_keys === "yes";
      const deleteWebhooks = delete_webhooks === "yes";
      const acting = await proveNow(deps, request, reply, human, typed);
      if (acting === undefined) {
        const around = { revokeKeys, deleteWebhooks, fault: absentFault(PASSWORD_FIELD, typed) };
        return showRemoval(deps, reply, human, own, around);
      }
      const { accountId } = own.account;
      const endWebhooks = deleteWebhooks
        ? (trx: Trx, userId: string) => deleteMadeBy(trx, accountId, { userId })
        : undefined;
      const change = { memberId: own.member.id, revokeKeys, endWebhooks };
      const { status, userId } = await removeMember(deps, acting, own.account, change, originOf(request));
      await voidSignatures(deps, accountId, userId);
      if (userId === human.userId) return reply.redirect("/approvals", 303);
      return reply.redirect(`${MEMBERS}?said=${status === "invited" ? "withdrawn" : "removed"}`, 303);
    },
  );
}

type Own = { member: MemberOfAccount; account: Human["memberships"][number] };

async function showMembers(
  deps: MemberPageDeps,
  reply: FastifyReply,
  human: Human,
  around: { said?: string | undefined; fault?: Fault; drafts?: Record<string, InviteDraft> },
): Promise<FastifyReply> {
  const section = async (account: Human["memberships"][number]): Promise<MemberSection> => {
    const { accountId, accountName, role } = account;
    const inviting = {
      formToken: formToken(deps.keys, human, PURPOSES.invite(accountId)),
      draft: around.drafts?.[accountId],
    };
    const members = await listMembers(deps.db, accountId);
    return { accountId, accountName, members, inviting: role === "owner" ? inviting : undefined };
  };
  const sections = await Promise.all(human.memberships.map(section));
  const status = around.fault === undefined ? 200 : 422;
  return show(deps, reply, membersPage(human, sections, around), { human, status });
}

function showMember(
  deps: MemberPageDeps,
  reply: FastifyReply,
  human: Human,
  own: Own,
  around: { role?: MemberRole; fault?: Fault; stale?: true } = {},
): FastifyReply {
  const shown = own.member.updatedAt.toISOString();
  const view = { ...viewOf(deps, human, own, (id) => PURPOSES.role(id, shown)), ...around, shown };
  const status = around.stale ? 409 : around.fault === undefined ? 200 : 422;
  return show(deps, reply, memberPage(human, view), { human, status });
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
  const view = { ...viewOf(deps, human, own, PURPOSES.remove), ...around, keys, webhooks };
  const status = around.fault === undefined ? 200 : 422;
  return show(deps, reply, removePage(human, view), { human, status });
}

function viewOf(
  deps: MemberPageDeps,
  human: Human,
  { member, account }: Own,
  purpose: (memberId: string) => string,
): MemberView {
  return {
    member,
    accountName: account.accountName,
    you: member.userId === human.userId,
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
  if (account.role !== "owner") throw new Problem("not_permitted");
  return account;
}

function draftOf({ email, name, role }: Static<typeof InviteForm>): InviteDraft {
  return { email: email.trim(), name: name.replaceAll(/\s+/g, " ").trim(), role };
}

function faultIn({ email, name }: InviteDraft, accountId: string): Fault | undefined {
  const ids = inviteFields(accountId);
  if (!EMAIL.test(email) || email.length > EMAIL_AT_MOST)
    return { field: ids.email, message: "Type an e-mail address, such as ada@example.com." };
  if (!isVisible(name)) return { field: ids.name, message: "Type a name." };
  return name.length > NAME_AT_MOST
    ? { field: ids.name, message: `Use at most ${NAME_AT_MOST} characters.` }
    : undefined;
}

function idOf(request: FastifyRequest): string {
  return (request.params as Static<typeof Params>).memberId;
}
