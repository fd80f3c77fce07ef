import { type Static, Type } from "@sinclair/typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import { ROLES } from "../../../accounts/roles.ts";
import type { MemberRole } from "../../../database/schema.ts";
import type { App } from "../../../http/app.ts";
import { originOf } from "../../../http/origin.ts";
import type { SessionDeps } from "../../../passkeys/session-deps.ts";
import { askToSign } from "../../../passkeys/signed-act-service.ts";
import { type Human, openSessionGate } from "../../../sign-in/gate.ts";
import { changePassword, endOtherSessions, passwordFault } from "../../../sign-in/service.ts";
import { consentAct, decideInvitation, findWaiting } from "../../../team/invitation-service.ts";
import type { Fault } from "../../kit/forms.ts";
import { accountOf } from "../../kit/memberships.ts";
import { absentFault } from "../../kit/presence.ts";
import { findActing, findPresent, setCookie } from "../../kit/signing.ts";
import { Credential } from "./passkey-routes.ts";
import { PURPOSES } from "./security-pages.ts";
import { showSecurity } from "./security-view.ts";

const HERE = "/settings/security";
const WRONG_PASSWORD = "That password isn’t right.";

const Query = Type.Object({ said: Type.Optional(Type.Unsafe<unknown>({})) });
const formToken = { form_token: Type.Optional(Type.String({ maxLength: 100 })) };
const TokenForm = Type.Object(formToken);
const PasswordForm = Type.Object({
  ...formToken,
  current: Type.String({ maxLength: 1024 }),
  next: Type.String({ maxLength: 1024 }),
});
const ConsentForm = Type.Object({
  ...formToken,
  account_id: Type.String({ format: "uuid" }),
  invitation_id: Type.String({ format: "uuid" }),
  /** As the page showed it. */
  role: Type.Unsafe<MemberRole>({ type: "string", enum: ROLES.decide }),
  decision: Type.Union([Type.Literal("consent"), Type.Literal("refuse")]),
  password: Type.Optional(Type.String({ maxLength: 1024 })),
  credential: Type.Optional(Credential),
});

/** `/settings/security` (docs/contract.md §7): what a person changes about their own sign-in. */
export function securityRoutes(app: App, deps: SessionDeps): void {
  const present = (reply: FastifyReply, human: Human, said?: string, fault?: Fault) =>
    showSecurity(deps, reply, human, { said, fault });
  const formGate = (purpose: (request: FastifyRequest) => string) =>
    openSessionGate(deps, { purpose, returnTo: () => HERE });

  const page = openSessionGate(deps);
  app.get(HERE, { ...page.options, schema: { hide: true, querystring: Query } }, async (request, reply) => {
    const { said } = request.query;
    return present(reply, page.human(request), typeof said === "string" ? said : undefined);
  });

  const password = formGate(() => PURPOSES.password);
  app.post(
    `${HERE}/password`,
    { ...password.options, schema: { hide: true, body: PasswordForm } },
    async (request, reply) => {
      const human = password.human(request);
      const message = passwordFault(request.body.next, { ...human, appName: deps.config.appName });
      if (message !== undefined) return present(reply, human, undefined, { field: "next", message });
      const cookie = await changePassword(deps, human, request.body, originOf(request));
      if (cookie !== undefined)
        return reply.header("set-cookie", cookie).redirect(`${HERE}?said=password`, 303);
      return present(reply, human, undefined, { field: "current", message: WRONG_PASSWORD });
    },
  );

  const sessions = formGate(() => PURPOSES.sessions);
  app.post(
    `${HERE}/sessions`,
    { ...sessions.options, schema: { hide: true, body: TokenForm } },
    async (request, reply) => {
      await endOtherSessions(deps, sessions.human(request), originOf(request));
      return reply.redirect(`${HERE}?said=sessions`, 303);
    },
  );

  const consent = formGate(({ body }) => {
    const { invitation_id, role } = body as Static<typeof ConsentForm>;
    return PURPOSES.consent(invitation_id, role);
  });
  const consentOptions = { ...consent.options, schema: { hide: true as const, body: ConsentForm } };
  app.post(`${HERE}/consent/sign`, consentOptions, async (request, reply) => {
    const { account_id: accountId, invitation_id: invitationId, role } = request.body;
    const human = consent.human(request);
    accountOf(human, accountId);
    const invitation = await findWaiting(deps.db, accountId, invitationId);
    // Then the form is sent as it is, and the page says that it is over.
    if (invitation?.role !== role) return reply.code(204).send();
    return reply.send(await askToSign(deps, human, consentAct(invitation)));
  });
  app.post(`${HERE}/consent`, consentOptions, async (request, reply) => {
    const human = consent.human(request);
    const {
      account_id: accountId,
      invitation_id: invitationId,
      role,
      decision,
      password: typed,
    } = request.body;
    const choice = { accountId, invitationId, role, consents: decision === "consent" };
    const found = choice.consents
      ? await findActing(deps, request, reply, human, accountId)
      : await findPresent(deps, request, reply, human);
    if (found === undefined)
      return present(reply, human, undefined, absentFault(`password-${invitationId}`, typed));
    const decided = await decideInvitation(deps, found.acting, choice, found.signature);
    setCookie(reply, decided.cookie);
    if (decided.pending) return reply.redirect("/settings/members?said=second", 303);
    const said = decided.invitation === undefined ? "over" : choice.consents ? "consented" : "refused";
    return reply.redirect(`${HERE}?said=${said}`, 303);
  });
}
