import { Type } from "@sinclair/typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { App } from "../http/app.ts";
import { type Human, openSessionGate } from "../sessions/gate.ts";
import { decideInvitation, listWaitingForConsent } from "../sessions/invitations.ts";
import { listOwnPasskeys } from "../sessions/passkeys.ts";
import {
  changePassword,
  endOtherSessions,
  isFresh,
  listOpenSessions,
  passwordFault,
  provePassword,
  type SessionDeps,
} from "../sessions/service.ts";
import type { Fault } from "./forms.ts";
import { PURPOSES, securityPage } from "./security-pages.ts";
import { show, tokenField } from "./site.ts";

const HERE = "/settings/security";
const WRONG_PASSWORD = "This is not your password.";

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
  decision: Type.Union([Type.Literal("consent"), Type.Literal("refuse")]),
  password: Type.Optional(Type.String({ maxLength: 1024 })),
});

/** `/settings/security` (CONTRACT.md §7): what a person changes about their own sign-in. */
export function securityRoutes(app: App, deps: SessionDeps): void {
  const present = async (reply: FastifyReply, human: Human, said?: string, fault?: Fault) => {
    const [passkeys, sessions, waiting] = await Promise.all([
      listOwnPasskeys(deps, human.userId),
      listOpenSessions(deps, human),
      listWaitingForConsent(deps, human),
    ]);
    const page = securityPage({
      human,
      passkeys,
      passkeysUsable: deps.relyingParty !== undefined,
      sessions,
      waiting,
      fresh: isFresh(human, human.now),
      tokens: (purpose) => tokenField(deps, human, purpose),
      said,
      fault,
    });
    return show(deps, reply, page, { human, status: fault === undefined ? 200 : 422 });
  };
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
      const message = passwordFault(request.body.next);
      if (message !== undefined) return present(reply, human, undefined, { field: "next", message });
      if (await changePassword(deps, human, request.body, request.ip))
        return reply.redirect(`${HERE}?said=password`, 303);
      return present(reply, human, undefined, { field: "current", message: WRONG_PASSWORD });
    },
  );

  const sessions = formGate(() => PURPOSES.sessions);
  app.post(
    `${HERE}/sessions`,
    { ...sessions.options, schema: { hide: true, body: TokenForm } },
    async (request, reply) => {
      await endOtherSessions(deps, sessions.human(request), request.ip);
      return reply.redirect(`${HERE}?said=sessions`, 303);
    },
  );

  const consent = formGate(({ body }) => PURPOSES.consent((body as { invitation_id: string }).invitation_id));
  app.post(
    `${HERE}/consent`,
    { ...consent.options, schema: { hide: true, body: ConsentForm } },
    async (request, reply) => {
      const human = consent.human(request);
      const { account_id: accountId, invitation_id: invitationId, decision, password: typed } = request.body;
      const fresh = isFresh(human, human.now);
      if (!fresh && !(typed && (await provePassword(deps, human, typed, request.ip)))) {
        const message = typed ? WRONG_PASSWORD : "Type your password, to show that it is you.";
        return present(reply, human, undefined, { field: `password-${invitationId}`, message });
      }
      const choice = { accountId, invitationId, consents: decision === "consent" };
      const decided = await decideInvitation(deps, human, choice, request.ip);
      const said = decided === undefined ? "" : choice.consents ? "?said=consented" : "?said=refused";
      return reply.redirect(`${HERE}${said}`, 303);
    },
  );
}
