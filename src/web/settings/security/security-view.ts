import type { FastifyReply } from "fastify";
import { consentsByPasskey, listWaitingPasskeys } from "../../../passkeys/activation-service.ts";
import { listOwnPasskeys } from "../../../passkeys/service.ts";
import type { SessionDeps } from "../../../passkeys/session-deps.ts";
import type { Human } from "../../../sign-in/gate.ts";
import { listOpenSessions } from "../../../sign-in/service.ts";
import { listWaitingForConsent } from "../../../team/invitation-service.ts";
import type { Fault } from "../../kit/forms.ts";
import { proverOf } from "../../kit/presence.ts";
import { show, tokenField } from "../../kit/site.ts";
import { securityPage } from "./security-pages.ts";

/** `/settings/security`, as it is now. */
export async function showSecurity(
  deps: SessionDeps,
  reply: FastifyReply,
  human: Human,
  { said, fault }: { said: string | undefined; fault: Fault | undefined },
): Promise<FastifyReply> {
  const [passkeys, byPasskey, sessions, waiting, waitingPasskeys] = await Promise.all([
    listOwnPasskeys(deps, human.userId),
    consentsByPasskey(deps, human),
    listOpenSessions(deps, human),
    listWaitingForConsent(deps, human),
    listWaitingPasskeys(deps, human),
  ]);
  const page = securityPage({
    human: await proverOf(deps, human),
    passkeys,
    passkeysUsable: deps.relyingParty !== undefined,
    byPasskey,
    sessions,
    waiting,
    waitingPasskeys,
    tokens: (purpose) => tokenField(deps, human, purpose),
    said,
    fault,
  });
  return show(deps, reply, page, { human });
}
