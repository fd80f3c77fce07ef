import { Type } from "@sinclair/typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import { isInvitationSecret } from "../../accounts/invitation-service.ts";
import type { App } from "../../http/app.ts";
import { originOf } from "../../http/origin.ts";
import { requireSameOrigin } from "../../http/same-origin.ts";
import { Problem } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { checkFormToken } from "../../sign-in/form-token.ts";
import { type Human, readHuman } from "../../sign-in/gate.ts";
import { passwordFault } from "../../sign-in/service.ts";
import {
  acceptAsMember,
  acceptAsNewPerson,
  type InvitationView,
  viewInvitation,
} from "../../team/invitation-service.ts";
import type { Fault } from "../kit/forms.ts";
import { passkeyOffer } from "../kit/presence.ts";
import { callerOf, show, tokenField } from "../kit/site.ts";
import { inviteMissingPage, inviteOverPage, invitePage, joinedPage } from "./invite-pages.ts";
import { followLink, type LinkDeps } from "./link-view.ts";

const JOINED = "/invite?said=joined";

const Query = Type.Object({
  token: Type.Optional(Type.Unsafe<unknown>({})),
  said: Type.Optional(Type.Unsafe<unknown>({})),
});
const AcceptForm = Type.Object({
  token: Type.String({ maxLength: 100 }),
  password: Type.Optional(Type.String({ maxLength: 1024 })),
  form_token: Type.Optional(Type.String({ maxLength: 100 })),
});

/** Shown after the form for new people was sent for a known email; the page alone does not reveal it. */
const KNOWN: Fault = {
  field: "password",
  message: "This email already has an account here. Sign in to accept, at the end of this page.",
};

/** `/invite` (docs/contract.md §8): GET shows an invitation, POST uses it up. */
export function inviteRoutes(app: App, deps: SessionDeps & LinkDeps): void {
  const access = { config: { access: { by: "public" as const } } };

  const view = (request: FastifyRequest, token: string): Promise<InvitationView | undefined> =>
    followLink(deps, request, token, isInvitationSecret, () => viewInvitation(deps, token));

  const present = (
    reply: FastifyReply,
    token: string,
    found: InvitationView | undefined,
    human: Human | undefined,
    fault?: Fault,
  ): FastifyReply => {
    if (found === undefined) return show(deps, reply, inviteOverPage, { human, status: 410 });
    const visitor = human && { email: human.email, tokenField: tokenField(deps, human, purposeOf(found)) };
    const page = invitePage(found, token, visitor, fault);
    return show(deps, reply, page, { human, status: fault === undefined ? 200 : 422 });
  };

  app.get("/invite", { ...access, schema: { hide: true, querystring: Query } }, async (request, reply) => {
    const { token, said } = request.query;
    const human = await readHuman(deps, request);
    if (said === "joined" && human !== undefined)
      return show(deps, reply, joinedPage(await passkeyOffer(deps, human, "/approvals")), { human });
    if (typeof token !== "string") return show(deps, reply, inviteMissingPage, { human });
    return present(reply, token, await view(request, token), human);
  });

  app.post(
    "/invite",
    {
      ...access,
      onRequest: requireSameOrigin(deps.config.publicUrl),
      schema: { hide: true, body: AcceptForm },
    },
    async (request, reply) => {
      const { token, password = "", form_token } = request.body;
      const human = await readHuman(deps, request);
      const found = await view(request, token);
      if (found === undefined || found.invitation.waitsForConsent) return present(reply, token, found, human);
      if (human !== undefined) {
        if (!checkFormToken(deps.keys, human, purposeOf(found), form_token))
          throw new Problem("form_refused");
        const accepted = await acceptAsMember(deps, token, human, originOf(request));
        if (accepted !== undefined) return reply.redirect(JOINED, 303);
        return present(reply, token, await viewInvitation(deps, token), human);
      }
      const { email, name } = found.invitation;
      const fault = passwordFault(password, { email, name, appName: deps.config.appName });
      if (fault !== undefined)
        return present(reply, token, found, undefined, { field: "password", message: fault });
      const cookie = await acceptAsNewPerson(deps, token, password, callerOf(request));
      if (cookie !== undefined) return reply.header("set-cookie", cookie).redirect(JOINED, 303);
      const after = await viewInvitation(deps, token);
      return present(reply, token, after, undefined, after?.known ? KNOWN : undefined);
    },
  );
}

function purposeOf({ invitation }: InvitationView): string {
  return `invite:${invitation.invitationId}`;
}
