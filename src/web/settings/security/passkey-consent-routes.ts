import { type Static, Type } from "@sinclair/typebox";
import type { FastifyRequest } from "fastify";
import type { App } from "../../../http/app.ts";
import { originOf } from "../../../http/origin.ts";
import {
  askForConsent,
  type Consent,
  consentsByPasskey,
  consentToPasskey,
  stopPasskey,
} from "../../../passkeys/activation-service.ts";
import type { SessionDeps } from "../../../passkeys/session-deps.ts";
import { openSessionGate } from "../../../sign-in/gate.ts";
import { absentFault, byPasskey, proveNow } from "../../kit/presence.ts";
import { CONSENT_PURPOSES, CONSENTS, consentField } from "./passkey-consent-pages.ts";
import { SECURITY } from "./passkey-pages.ts";
import { Credential } from "./passkey-routes.ts";
import { showSecurity } from "./security-view.ts";

const StopForm = Type.Object({
  form_token: Type.String({ maxLength: 100 }),
  account_id: Type.String({ format: "uuid" }),
  passkey_id: Type.String({ format: "uuid" }),
});
const ConsentForm = Type.Composite([
  StopForm,
  Type.Object({
    password: Type.Optional(Type.String({ maxLength: 1024 })),
    credential: Type.Optional(Credential),
  }),
]);

/** An owner's consent to a member's passkey, and what stops the operator's way around it (docs/contract.md §7). */
export function passkeyConsentRoutes(app: App, deps: SessionDeps): void {
  const gateFor = (purpose: (consent: Consent) => string) =>
    openSessionGate(deps, { purpose: (request) => purpose(subjectOf(request)), returnTo: () => SECURITY });

  const agreeing = gateFor(CONSENT_PURPOSES.agree);
  const options = { ...agreeing.options, schema: { hide: true as const, body: ConsentForm } };
  app.post(`${CONSENTS}/options`, options, async (request, reply) =>
    reply.send(await askForConsent(deps, agreeing.human(request), subjectOf(request))),
  );

  app.post(CONSENTS, options, async (request, reply) => {
    const human = agreeing.human(request);
    const consent = subjectOf(request);
    const { password: typed, credential } = request.body;
    const signs = await consentsByPasskey(deps, human);
    const acting = signs ? human : await proveNow(deps, request, reply, human, typed);
    if (acting === undefined)
      return showSecurity(deps, reply, human, { fault: absentFault(consentField(consent), typed) });
    const agree = () => consentToPasskey(deps, acting, consent, credential, originOf(request));
    const done = await (signs ? byPasskey(deps, request, acting, agree) : agree());
    if (done?.cookie !== undefined) reply.header("set-cookie", done.cookie);
    const said = done === undefined ? "over" : done.counts ? "agreed" : "agreed-here";
    return reply.redirect(`${SECURITY}?said=passkey-${said}`, 303);
  });

  const stopping = gateFor(CONSENT_PURPOSES.stop);
  app.post(
    `${CONSENTS}/stop`,
    { ...stopping.options, schema: { hide: true, body: StopForm } },
    async (request, reply) => {
      const stopped = await stopPasskey(deps, stopping.human(request), subjectOf(request), originOf(request));
      return reply.redirect(`${SECURITY}?said=passkey-${stopped ? "stopped" : "over"}`, 303);
    },
  );
}

function subjectOf({ body }: FastifyRequest): Consent {
  const { account_id: accountId, passkey_id: passkeyId } = body as Static<typeof StopForm>;
  return { accountId, passkeyId };
}
