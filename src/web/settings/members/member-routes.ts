import type { FastifyReply } from "fastify";
import { may } from "../../../accounts/roles.ts";
import { voidSignatures } from "../../../approvals/advance-service.ts";
import type { MemberRole } from "../../../database/schema.ts";
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
import { leadTo, leadToFault, takeFault } from "../../kit/said.ts";
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
import { type InviteDraft, invitedPage, inviteFields, MEMBERS, PASSWORD_FIELD } from "./member-pages.ts";
import {
  findOwn,
  type MemberPageDeps,
  PURPOSES,
  showMember,
  showMembers,
  showRemoval,
} from "./member-view.ts";

const MEMBER = `${MEMBERS}/:memberId`;
const pathOf = ({ id }: { id: string }): string => `${MEMBERS}/${id}`;

/** What goes with a member who is removed; all of it, unless the person has chosen. */
type Ticked = { revokeKeys: boolean; deleteWebhooks: boolean };
const ALL: Ticked = { revokeKeys: true, deleteWebhooks: true };

const STALE =
  "Nothing was done. Someone else changed this member’s role after you opened the page. It’s shown below as it is now: check " +
  "it and choose again.";

/** `/settings/members` (docs/contract.md §7). Members see each other; owners invite, change and remove. */
export function memberRoutes(app: App, deps: MemberPageDeps): void {
  personPage(app, deps, MEMBERS, ({ human, query, request }, reply) =>
    showMembers(deps, reply, human, {
      said: query.said,
      ...takeFault<Record<string, InviteDraft>>(deps, request, reply, human),
    }),
  );
  const one: Answer<typeof PARAMS> = async ({ human, params, request }, reply) => {
    const own = await findOwn(deps, human, params.memberId);
    const { fault, draft: role } = takeFault<MemberRole>(deps, request, reply, human);
    return showMember(deps, reply, human, own, { role, fault });
  };
  personPage(app, deps, MEMBER, one, PARAMS);
  const removal: Answer<typeof PARAMS> = async ({ human, params, request }, reply) => {
    const own = await findOwn(deps, human, params.memberId);
    const { fault, draft: ticked = ALL } = takeFault<Ticked>(deps, request, reply, human);
    return showRemoval(deps, reply, human, own, { ...ticked, fault });
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
      leadToFault(deps, reply, human, MEMBERS, fault, { [accountId]: draft });
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
    const address = pathOf(own.member);
    if (found === undefined)
      return leadToFault(deps, reply, human, address, absentFault(PASSWORD_FIELD, password), role);
    try {
      const change = roleChangeOf(own.member, body);
      const changed = await changeRole(deps, found.acting, own.account, change, found.signature);
      setCookie(reply, changed.cookie);
      if (changed.value === PENDING) return said(reply, "second");
      if (!may(role, "decide")) await voidSignatures(deps, accountId, changed.value.userId);
      return said(reply, "role");
    } catch (error) {
      if (!(error instanceof Problem) || error.problem !== "statement_stale") throw error;
      return leadTo(deps, reply, human, address, { message: STALE });
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
      const ticked: Ticked = {
        revokeKeys: body.revoke_keys === "yes",
        deleteWebhooks: body.delete_webhooks === "yes",
      };
      const fault = absentFault(PASSWORD_FIELD, body.password);
      return leadToFault(deps, reply, human, `${pathOf(own.member)}/remove`, fault, ticked);
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
