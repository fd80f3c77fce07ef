import { Type } from "@sinclair/typebox";
import type { App } from "../../http/app.ts";
import { requireSameOrigin } from "../../http/same-origin.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { askToSignIn, signInWithPasskey } from "../../passkeys/sign-in-service.ts";
import { safeReturnTo } from "../../sign-in/return-rules.ts";
import { Credential } from "../kit/person-routes.ts";
import { callerOf, show } from "../kit/site.ts";
import { signInPage } from "./sign-in-pages.ts";

const OptionsForm = Type.Object({ return_to: Type.Optional(Type.String({ maxLength: 2048 })) });
const SignInForm = Type.Object(
  { credential: Type.Optional(Credential), return_to: Type.Optional(Type.String({ maxLength: 2048 })) },
  { additionalProperties: false },
);
const REFUSED =
  "That passkey couldn’t sign you in. It may have been removed, or more than 5 minutes have passed. Try again, or use your password.";

/** Signing in with a passkey (docs/contract.md §7): what it is asked, and its answer. */
export function passkeySignInRoutes(app: App, deps: SessionDeps): void {
  const access = { config: { access: { by: "public" as const } } };
  // No session, so no form token: without this a stranger's page could sign people in as the stranger.
  const onRequest = requireSameOrigin(deps.config.publicUrl);

  app.post(
    "/sign-in/passkey/options",
    { ...access, onRequest, schema: { hide: true, body: OptionsForm } },
    async (_request, reply) => reply.send(await askToSignIn(deps)),
  );

  app.post(
    "/sign-in/passkey",
    { ...access, onRequest, schema: { hide: true, body: SignInForm } },
    async (request, reply) => {
      const { credential = "", return_to } = request.body;
      const returnTo = safeReturnTo(return_to);
      const cookie = await signInWithPasskey(deps, credential, callerOf(request));
      if (cookie !== undefined) return reply.header("set-cookie", cookie).redirect(returnTo, 303);
      const fault = { field: "passkey", message: REFUSED };
      const page = signInPage({ returnTo, fault, passkeys: deps.relyingParty !== undefined });
      return show(deps, reply, page, { status: 422 });
    },
  );
}
