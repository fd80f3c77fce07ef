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
import { PROOF, personForm, UUID } from "../../kit/person-routes.ts";
import { absentFault, byPasskey, proveNow } from "../../kit/presence.ts";
import { leadToFault } from "../../kit/said.ts";
import { setCookie } from "../../kit/signing.ts";
import { CONSENT_PURPOSES, CONSENTS, consentField } from "./passkey-consent-pages.ts";
import { SECURITY } from "./passkey-pages.ts";

const STOP_FIELDS = { account_id: UUID, passkey_id: UUID };

/** An owner's consent to a member's passkey, and what stops the operator's way around it (docs/contract.md §7). */
export function passkeyConsentRoutes(app: App, deps: SessionDeps): void {
  const returnTo = () => SECURITY;
  const agreeing = personForm(app, deps, {
    fields: { ...STOP_FIELDS, ...PROOF },
    purpose: ({ body }) => CONSENT_PURPOSES.agree(subjectOf(body)),
    returnTo,
  });
  agreeing(`${CONSENTS}/options`, async ({ human, body }, reply) =>
    reply.send(await askForConsent(deps, human, subjectOf(body))),
  );

  agreeing(CONSENTS, async ({ human, body, request }, reply) => {
    const consent = subjectOf(body);
    const { password, credential } = body;
    const signs = await consentsByPasskey(deps, human);
    const acting = signs ? human : await proveNow(deps, request, reply, human, password);
    if (acting === undefined)
      return leadToFault(deps, reply, human, SECURITY, absentFault(consentField(consent), password));
    const agree = () => consentToPasskey(deps, acting, consent, credential, originOf(request));
    const done = await (signs ? byPasskey(deps, request, acting, agree) : agree());
    setCookie(reply, done?.cookie);
    const said = done === undefined ? "over" : done.counts ? "agreed" : "agreed-here";
    return reply.redirect(`${SECURITY}?said=passkey-${said}`, 303);
  });

  const stopping = personForm(app, deps, {
    fields: STOP_FIELDS,
    purpose: ({ body }) => CONSENT_PURPOSES.stop(subjectOf(body)),
    returnTo,
  });
  stopping(`${CONSENTS}/stop`, async ({ human, body, request }, reply) => {
    const stopped = await stopPasskey(deps, human, subjectOf(body), originOf(request));
    return reply.redirect(`${SECURITY}?said=passkey-${stopped ? "stopped" : "over"}`, 303);
  });
}

function subjectOf(sent: { account_id: string; passkey_id: string }): Consent {
  return { accountId: sent.account_id, passkeyId: sent.passkey_id };
}
