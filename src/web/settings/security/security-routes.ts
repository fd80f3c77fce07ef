import { Type } from "@sinclair/typebox";
import type { FastifyReply } from "fastify";
import { ROLES } from "../../../accounts/roles.ts";
import type { MemberRole } from "../../../database/schema.ts";
import type { App } from "../../../http/app.ts";
import { originOf } from "../../../http/origin.ts";
import type { SessionDeps } from "../../../passkeys/session-deps.ts";
import type { Human } from "../../../sign-in/gate.ts";
import { changePassword, endOtherSessions, passwordFault } from "../../../sign-in/service.ts";
import { consentAct, decideInvitation, findWaiting } from "../../../team/invitation-service.ts";
import type { Fault } from "../../kit/forms.ts";
import { accountOf } from "../../kit/memberships.ts";
import { PROOF, personForm, personPage, UUID } from "../../kit/person-routes.ts";
import { absentFault } from "../../kit/presence.ts";
import { leadToFault, takeFault } from "../../kit/said.ts";
import { answerSigning, findActing, findPresent, setCookie } from "../../kit/signing.ts";
import { PURPOSES } from "./security-pages.ts";
import { showSecurity } from "./security-view.ts";

const HERE = "/settings/security";
const WRONG_PASSWORD = "That password isn’t right.";

const CONSENT_FIELDS = {
  ...PROOF,
  account_id: UUID,
  invitation_id: UUID,
  /** As the page showed it. */
  role: Type.Unsafe<MemberRole>({ type: "string", enum: ROLES.decide }),
  decision: Type.Union([Type.Literal("consent"), Type.Literal("refuse")]),
};

/** `/settings/security` (docs/contract.md §7): what a person changes about their own sign-in. */
export function securityRoutes(app: App, deps: SessionDeps): void {
  const complain = (reply: FastifyReply, human: Human, fault: Fault) =>
    leadToFault(deps, reply, human, HERE, fault);
  const returnTo = () => HERE;

  personPage(app, deps, HERE, ({ human, query, request }, reply) => {
    const { fault } = takeFault(deps, request, reply, human);
    return showSecurity(deps, reply, human, { said: query.said, fault });
  });

  const password = personForm(app, deps, {
    fields: { current: Type.String({ maxLength: 1_024 }), next: Type.String({ maxLength: 1_024 }) },
    purpose: () => PURPOSES.password,
    returnTo,
  });
  password(`${HERE}/password`, async ({ human, body, request }, reply) => {
    const message = passwordFault(body.next, { ...human, appName: deps.config.appName });
    if (message !== undefined) return complain(reply, human, { field: "next", message });
    const cookie = await changePassword(deps, human, body, originOf(request));
    if (cookie === undefined) return complain(reply, human, { field: "current", message: WRONG_PASSWORD });
    return reply.header("set-cookie", cookie).redirect(`${HERE}?said=password`, 303);
  });

  const sessions = personForm(app, deps, { fields: {}, purpose: () => PURPOSES.sessions, returnTo });
  sessions(`${HERE}/sessions`, async ({ human, request }, reply) => {
    await endOtherSessions(deps, human, originOf(request));
    return reply.redirect(`${HERE}?said=sessions`, 303);
  });

  const consent = personForm(app, deps, {
    fields: CONSENT_FIELDS,
    purpose: ({ body: { invitation_id, role } }) => PURPOSES.consent(invitation_id, role),
    returnTo,
  });
  consent(`${HERE}/consent/sign`, async ({ human, body }, reply) => {
    const { accountId } = accountOf(human, body.account_id);
    const invitation = await findWaiting(deps.db, accountId, body.invitation_id);
    const act = invitation?.role === body.role ? consentAct(invitation) : undefined;
    return answerSigning(deps, reply, human, act);
  });
  consent(`${HERE}/consent`, async ({ human, body, request }, reply) => {
    const { account_id: accountId, invitation_id: invitationId, role, decision } = body;
    const choice = { accountId, invitationId, role, consents: decision === "consent" };
    const found = choice.consents
      ? await findActing(deps, request, reply, human, accountId)
      : await findPresent(deps, request, reply, human);
    if (found === undefined)
      return complain(reply, human, absentFault(`password-${invitationId}`, body.password));
    const decided = await decideInvitation(deps, found.acting, choice, found.signature);
    setCookie(reply, decided.cookie);
    if (decided.pending) return reply.redirect("/settings/members?said=second", 303);
    const said = decided.invitation === undefined ? "over" : choice.consents ? "consented" : "refused";
    return reply.redirect(`${HERE}?said=${said}`, 303);
  });
}
