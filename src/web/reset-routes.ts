import { Type } from "@sinclair/typebox";
import type { App } from "../http/app.ts";
import { requireSameOrigin } from "../http/same-origin.ts";
import { isResetOpen, requestReset, resetPassword } from "../sessions/resets.ts";
import { passwordFault, type SessionDeps } from "../sessions/service.ts";
import { newPasswordPage, resetAskedPage, resetOverPage, resetPage } from "./reset-pages.ts";
import { show } from "./site.ts";

const AskForm = Type.Object({ email: Type.String({ maxLength: 254 }) }, { additionalProperties: false });
const Query = Type.Object({ token: Type.Optional(Type.Unsafe<unknown>({})) });
const ResetForm = Type.Object(
  { token: Type.String({ maxLength: 100 }), password: Type.String({ maxLength: 1024 }) },
  { additionalProperties: false },
);

/** `/reset`, where a link is asked for, and `/reset/new`, where it leads: GET shows, POST uses it up. */
export function resetRoutes(app: App, deps: SessionDeps): void {
  const access = { config: { access: { by: "public" as const } } };
  const onRequest = requireSameOrigin(deps.config.publicUrl);

  app.get("/reset", { ...access, schema: { hide: true } }, async (_request, reply) =>
    show(deps, reply, resetPage),
  );

  app.post(
    "/reset",
    { ...access, onRequest, schema: { hide: true, body: AskForm } },
    async (request, reply) => {
      await requestReset(deps, request.body.email, request.ip);
      return show(deps, reply, resetAskedPage);
    },
  );

  app.get("/reset/new", { ...access, schema: { hide: true, querystring: Query } }, async (request, reply) => {
    const { token } = request.query;
    if (typeof token === "string" && (await isResetOpen(deps, token)))
      return show(deps, reply, newPasswordPage(token));
    return show(deps, reply, resetOverPage, { status: 410 });
  });

  app.post(
    "/reset/new",
    { ...access, onRequest, schema: { hide: true, body: ResetForm } },
    async (request, reply) => {
      const { token, password } = request.body;
      const fault = passwordFault(password);
      if (fault !== undefined && (await isResetOpen(deps, token))) {
        const page = newPasswordPage(token, { field: "password", message: fault });
        return show(deps, reply, page, { status: 422 });
      }
      if (fault === undefined && (await resetPassword(deps, token, password, request.ip)))
        return reply.redirect("/sign-in?said=reset", 303);
      return show(deps, reply, resetOverPage, { status: 410 });
    },
  );
}
