import { Type } from "@sinclair/typebox";
import type { FastifyRequest } from "fastify";
import type { App } from "../../http/app.ts";
import { originOf } from "../../http/origin.ts";
import { requireSameOrigin } from "../../http/same-origin.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { findResetPerson, isResetSecret, requestReset, resetPassword } from "../../sign-in/reset-service.ts";
import { passwordFault } from "../../sign-in/service.ts";
import { show } from "../kit/site.ts";
import { followLink, type LinkDeps } from "./link-view.ts";
import { newPasswordPage, resetAskedPage, resetOverPage, resetPage } from "./reset-pages.ts";

const AskForm = Type.Object({ email: Type.String({ maxLength: 254 }) }, { additionalProperties: false });
const Query = Type.Object({ token: Type.Optional(Type.Unsafe<unknown>({})) });
const ResetForm = Type.Object(
  { token: Type.String({ maxLength: 100 }), password: Type.String({ maxLength: 1024 }) },
  { additionalProperties: false },
);

/** `/reset`, where a link is asked for, and `/reset/new`, where it leads: GET shows, POST uses it up. */
export function resetRoutes(app: App, deps: SessionDeps & LinkDeps): void {
  const access = { config: { access: { by: "public" as const } } };
  const onRequest = requireSameOrigin(deps.config.publicUrl);
  const findPerson = (request: FastifyRequest, token: string) =>
    followLink(deps, request, token, isResetSecret, () => findResetPerson(deps, token));

  app.get("/reset", { ...access, schema: { hide: true } }, async (_request, reply) =>
    show(deps, reply, resetPage),
  );

  app.post(
    "/reset",
    { ...access, onRequest, schema: { hide: true, body: AskForm } },
    async (request, reply) => {
      await requestReset(deps, request.body.email, originOf(request));
      return show(deps, reply, resetAskedPage);
    },
  );

  app.get("/reset/new", { ...access, schema: { hide: true, querystring: Query } }, async (request, reply) => {
    const { token } = request.query;
    const person = typeof token === "string" ? await findPerson(request, token) : undefined;
    if (typeof token !== "string" || person === undefined)
      return show(deps, reply, resetOverPage, { status: 410 });
    return show(deps, reply, newPasswordPage(token, person.email));
  });

  app.post(
    "/reset/new",
    { ...access, onRequest, schema: { hide: true, body: ResetForm } },
    async (request, reply) => {
      const { token, password } = request.body;
      const person = await findPerson(request, token);
      if (person === undefined) return show(deps, reply, resetOverPage, { status: 410 });
      const fault = passwordFault(password, { ...person, appName: deps.config.appName });
      if (fault !== undefined) {
        const page = newPasswordPage(token, person.email, { field: "password", message: fault });
        return show(deps, reply, page, { status: 422 });
      }
      if (await resetPassword(deps, token, password, originOf(request)))
        return reply.redirect("/sign-in?said=reset", 303);
      return show(deps, reply, resetOverPage, { status: 410 });
    },
  );
}
