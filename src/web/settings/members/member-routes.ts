import type { FastifyReply } from "fastify";
import { may } from "../../../accounts/roles.ts";
import { voidSignatures } from "../../../approvals/advance-service.ts";
import type { App } from "../../../http/app.ts";
import { Problem } from "../../../lib/problems.ts";
import {
  changeRole,
  inviteAct,
  inviteByOwner,
  removalAct,
  removeMember,
  roleAct,
} from "../../../team/member-service.ts";
import { PENDING } from "../../../team/owner-service.ts";
import type { Fault } from "../../kit/forms.ts";
import { ownedBy } from "../../kit/memberships.ts";
import { type Answer, personForm, personPage } from "../../kit/person-routes.ts";
import { absentFault } from "../../kit/presence.ts";
import { answerSigning, findActing, setCookie } from "../../kit/signing.ts";
import { show } from "../../kit/site.ts";
import {
  draftOf,
  faultIn,
  INVITE_FIELDS,
  PARAMS,
  REMOVE_FIELDS,
  ROLE_FIELDS,
  removalOf,
  roleChangeOf,
} from "./member-forms.ts";
import { invitedPage, inviteFields, MEMBERS, PASSWORD_FIELD } from "./member-pages.ts";
import {
  findOwn,
  type MemberPageDeps,
  PURPOSES,
  showMember,
  showMembers,
  showRemoval,
} from "./member-view.ts";

const MEMBER = `${MEMBERS}/:memberId`;

/** `/settings/members` (docs/contract.md §7). Members see each other; owners invite, change and remove. */
export function memberRoutes(app: App, deps: MemberPageDeps): void {
  personPage(app, deps, MEMBERS, ({ human, query }, reply) =>
    showMembers(deps, reply, human, { said: query.said }),
  );
  const one: Answer<typeof PARAMS> = async ({ human, params }, reply) =>
    showMember(deps, reply, human, await findOwn(deps, human, params.memberId));
  personPage(app, deps, MEMBER, one, PARAMS);
  const removal: Answer<typeof PARAMS> = async ({ human, params }, reply) => {
    const all = { revokeKeys: true, deleteWebhooks: true };
    return showRemoval(deps, reply, human, await findOwn(deps, human, params.memberId), all);
  };
  personPage(app, deps, `${MEMBER}/remove`, removal, PARAMS);

  inviteRoutes(app, deps);
  roleRoutes(app, deps);
  removeRoutes(app, deps);
}

function inviteRoutes(app: App, deps: MemberPageDeps): void {
  const form = personForm(app, deps, {
    fields: INVITE_FIELDS,
    purpose: ({ body }) => PURPOSES.invite(body.account_id),
    returnTo: () => MEMBERS,
  });
  form(`${MEMBERS}/invite/sign`, async ({ human, body }, reply) => {
    const { accountId } = ownedBy(human, body.account_id);
    const draft = draftOf(body);
    const fault = faultIn(draft, accountId);
    return answerSigning(deps, reply, human, fault === undefined ? inviteAct(accountId, draft) : undefined);
  });

  form(`${MEMBERS}/invite`, async ({ human, body, request }, reply) => {
    const account = ownedBy(human, body.account_id);
    const { accountId } = account;
    const draft = draftOf(body);
    const complain = (fault: Fault) =>
      showMembers(deps, reply, human, { fault, drafts: { [accountId]: draft } });
    const fault = faultIn(draft, accountId);
    if (fault !== undefined) return complain(fault);
    const ids = inviteFields(accountId);
    const found = await findActing(deps, request, reply, human, accountId);
    if (found === undefined) return complain(absentFault(ids.password, body.password));
    try {
      const invited = await inviteByOwner(deps, found.acting, account, draft, found.signature);
      setCookie(reply, invited.cookie);
      const secret = invited.value;
      if (secret === PENDING) return said(reply, "second");
      // If the service sends mail, only the mail contains the link, so the person who accepts has that mailbox.
      if (deps.config.smtpUrl !== undefined || deps.config.demo) return said(reply, "invited");
      const page = invitedPage(draft, `${deps.config.publicUrl}/invite?token=${secret}`);
      return show(deps, reply, page, { human, status: 201 });
    } catch (error) {
      if (!(error instanceof Problem) || error.problem !== "member_active") throw error;
      return complain({ field: ids.email, message: "This person is in the account already." });
    }
  });
}

function roleRoutes(app: App, deps: MemberPageDeps): void {
  const form = personForm(app, deps, {
    params: PARAMS,
    fields: ROLE_FIELDS,
    purpose: ({ params, body }) => PURPOSES.role(params.memberId, body.shown),
    returnTo: () => MEMBERS,
  });
  form(`${MEMBER}/role/sign`, async ({ human, params, body }, reply) => {
    const { account, member } = await findOwn(deps, human, params.memberId);
    return answerSigning(deps, reply, human, roleAct(account.accountId, roleChangeOf(member, body)));
  });
  form(`${MEMBER}/role`, async ({ human, params, body, request }, reply) => {
    const own = await findOwn(deps, human, params.memberId);
    const { accountId } = own.account;
    const { role, password } = body;
    const found = await findActing(deps, request, reply, human, accountId);
    if (found === undefined)
      return showMember(deps, reply, human, own, { role, fault: absentFault(PASSWORD_FIELD, password) });
    try {
      const change = roleChangeOf(own.member, body);
      const changed = await changeRole(deps, found.acting, own.account, change, found.signature);
      setCookie(reply, changed.cookie);
      if (changed.value === PENDING) return said(reply, "second");
      if (!may(role, "decide")) await voidSignatures(deps, accountId, changed.value.userId);
      return said(reply, "role");
    } catch (error) {
      if (!(error instanceof Problem) || error.problem !== "statement_stale") throw error;
      return showMember(deps, reply, human, await findOwn(deps, human, own.member.id), { stale: true });
    }
  });
}

function removeRoutes(app: App, deps: MemberPageDeps): void {
  const form = personForm(app, deps, {
    params: PARAMS,
    fields: REMOVE_FIELDS,
    purpose: ({ params }) => PURPOSES.remove(params.memberId),
    returnTo: () => MEMBERS,
  });
  form(`${MEMBER}/remove/sign`, async ({ human, params, body }, reply) => {
    const { account, member } = await findOwn(deps, human, params.memberId);
    const removal = removalOf(account.accountId, member, body);
    return answerSigning(deps, reply, human, removalAct(account.accountId, removal));
  });
  form(`${MEMBER}/remove`, async ({ human, params, body, request }, reply) => {
    const own = await findOwn(deps, human, params.memberId);
    const { accountId } = own.account;
    const found = await findActing(deps, request, reply, human, accountId);
    if (found === undefined) {
      const ticked = {
        revokeKeys: body.revoke_keys === "yes",
        deleteWebhooks: body.delete_webhooks === "yes",
      };
      const fault = absentFault(PASSWORD_FIELD, body.password);
      return showRemoval(deps, reply, human, own, { ...ticked, fault });
    }
    const removal = removalOf(accountId, own.member, body);
    const removed = await removeMember(deps, found.acting, own.account, removal, found.signature);
    setCookie(reply, removed.cookie);
    const { status, userId } = removed.value;
    await voidSignatures(deps, accountId, userId);
    if (userId === human.userId) return reply.redirect("/approvals", 303);
    return said(reply, status === "invited" ? "withdrawn" : "removed");
  });
}

function said(reply: FastifyReply, word: string): FastifyReply {
  return reply.redirect(`${MEMBERS}?said=${word}`, 303);
}
