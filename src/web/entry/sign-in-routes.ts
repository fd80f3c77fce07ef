import { Type } from "@sinclair/typebox";
import type { App } from "../../http/app.ts";
import { originOf } from "../../http/origin.ts";
import { requireSameOrigin } from "../../http/same-origin.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { openSessionGate, readHuman } from "../../sign-in/gate.ts";
import { safeReturnTo } from "../../sign-in/return-rules.ts";
import { signIn, signOut } from "../../sign-in/service.ts";
import { callerOf, SIGN_OUT, show } from "../kit/site.ts";
import { signInPage } from "./sign-in-pages.ts";

const Query = Type.Object({
  return_to: Type.Optional(Type.Unsafe<unknown>({})),
  said: Type.Optional(Type.Unsafe<unknown>({})),
});
const SignInForm = Type.Object(
  {
    email: Type.String({ maxLength: 254 }),
    password: Type.String({ maxLength: 1024 }),
    return_to: Type.Optional(Type.String({ maxLength: 2048 })),
  },
  { additionalProperties: false },
);
const SignOutForm = Type.Object({ form_token: Type.Optional(Type.String({ maxLength: 100 })) });

/** `/sign-in` and `/sign-out` (docs/contract.md §7). */
export function signInRoutes(app: App, deps: SessionDeps): void {
  const access = { config: { access: { by: "public" as const } } };
  const passkeys = deps.relyingParty !== undefined;

  app.get("/sign-in", { ...access, schema: { hide: true, querystring: Query } }, async (request, reply) => {
    const { query } = request;
    const returnTo = safeReturnTo(text(query.return_to));
    const human = await readHuman(deps, request);
    // Whose browser missed the session's renewal can only sign in again.
    if (human?.token === "current") return reply.redirect(returnTo, 303);
    return show(deps, reply, signInPage({ returnTo, said: text(query.said), passkeys }));
  });

  app.post(
    "/sign-in",
    {
      ...access,
      // No session, so no form token: without this a stranger's page could sign people in as the stranger.
      onRequest: requireSameOrigin(deps.config.publicUrl),
      schema: { hide: true, body: SignInForm },
    },
    async (request, reply) => {
      const { email, password, return_to } = request.body;
      const returnTo = safeReturnTo(return_to);
      const cookie = await signIn(deps, { email, password }, callerOf(request));
      if (cookie !== undefined) return reply.header("set-cookie", cookie).redirect(returnTo, 303);
      const fault = { field: "password", message: "That email and password don’t match." };
      return show(deps, reply, signInPage({ email, returnTo, fault, passkeys }), { status: 422 });
    },
  );

  const gate = openSessionGate(deps, { purpose: () => SIGN_OUT, returnTo: () => "/approvals" });
  app.post(
    "/sign-out",
    { ...gate.options, schema: { hide: true, body: SignOutForm } },
    async (request, reply) => {
      const cookie = await signOut(deps, gate.human(request), originOf(request));
      return reply.header("set-cookie", cookie).redirect("/sign-in?said=signed-out", 303);
    },
  );
}

/** Of a key that came twice, or not as text, nothing is taken. */
function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
