import type { FastifyReply } from "fastify";
import { listWaitingForConsent } from "../sessions/invitations.ts";
import { consentsByPasskey, listWaitingPasskeys } from "../sessions/passkey-trust.ts";
import { listOwnPasskeys } from "../sessions/passkeys.ts";
import type { SessionDeps } from "../sessions/service.ts";
import type { Human } from "../sign-in/gate.ts";
import { isFresh, listOpenSessions } from "../sign-in/service.ts";
import type { Fault } from "./forms.ts";
import { securityPage } from "./security-pages.ts";
import { show, tokenField } from "./site.ts";

/** `/settings/security`, as it is now: its own forms and those of its parts answer with it when they refuse. */
export async function showSecurity(
  deps: SessionDeps,
  reply: FastifyReply,
  human: Human,
  { said, fault }: { said?: string | undefined; fault?: Fault | undefined } = {},
): Promise<FastifyReply> {
  const [passkeys, byPasskey, sessions, waiting, waitingPasskeys] = await Promise.all([
    listOwnPasskeys(deps, human.userId),
    consentsByPasskey(deps, human),
    listOpenSessions(deps, human),
    listWaitingForConsent(deps, human),
    listWaitingPasskeys(deps, human),
  ]);
  const page = securityPage({
    human,
    passkeys,
    passkeysUsable: deps.relyingParty !== undefined,
    byPasskey,
    sessions,
    waiting,
    waitingPasskeys,
    fresh: isFresh(human, human.now),
    tokens: (purpose) => tokenField(deps, human, purpose),
    said,
    fault,
  });
  return show(deps, reply, page, { human, status: fault === undefined ? 200 : 422 });
}
