import type { FastifyReply, FastifyRequest } from "fastify";
import { originOf } from "../../http/origin.ts";
import { type Html, html } from "../../lib/html.ts";
import { Problem } from "../../lib/problems.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import type { Human } from "../../sign-in/gate.ts";
import {
  isFresh,
  PASSWORD_AT_MOST,
  provePassword,
  recordRefusedPasskey,
  type SignInDeps,
} from "../../sign-in/service.ts";
import { type Fault, passwordField } from "./forms.ts";

/**
 * The person as they are once they have proved that they are there: now, by their password, or lately, if they typed
 * none. A proof renews their session: the answer sets its cookie, and they act as the person that is returned.
 * @returns `undefined`: the password is wrong, or none was typed and one is needed
 */
export async function proveNow(
  deps: SessionDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  human: Human,
  password: string | undefined,
): Promise<Human | undefined> {
  if (!password) return isFresh(human, human.now) ? human : undefined;
  const proved = await provePassword(deps, human, password, originOf(request));
  if (proved === undefined) return undefined;
  reply.header("set-cookie", proved.cookie);
  const { provedAt, tokenDigest } = proved;
  return { ...human, provedAt, tokenDigest };
}

/**
 * Runs an act that a passkey signs: counted like a proof by password, and one that is refused is audited.
 * @throws Problem rate_limited {retryAfterSeconds}; what `act` throws
 */
export async function byPasskey<T>(
  deps: SignInDeps,
  request: FastifyRequest,
  human: Human,
  act: () => Promise<T>,
): Promise<T> {
  const origin = originOf(request);
  const counted = await deps.attempts.countProof(human.userId);
  try {
    const done = await act();
    await counted.forgive();
    return done;
  } catch (error) {
    if (error instanceof Problem && error.problem === "passkey_refused")
      await recordRefusedPasskey(deps.db, human, origin);
    throw error;
  }
}

/** What a form asks whose person has not proved lately that they are there; nothing if they have. */
export function presenceField(human: Human, id: string, fault: Fault | undefined): Html | undefined {
  if (isFresh(human, human.now) && fault?.field !== id) return undefined;
  return passwordField(human.email, {
    name: "password",
    id,
    label: "Confirm with your password",
    autocomplete: "current-password",
    maxLength: PASSWORD_AT_MOST,
    fault,
  });
}

/**
 * Beside that field, on a page with the passkeys' script: the person's passkey in its place, or for what a password
 * does not vouch for.
 * @param options.reload whether the page is another one then
 */
export function presenceByPasskey(
  human: Human,
  token: string,
  { reload = false }: { reload?: boolean } = {},
): Html | undefined {
  if (isFresh(human, human.now) && human.trusted) return undefined;
  return html`
        <div class="field scripted" data-presence="/settings/security/presence" data-token="${token}"${reload && " data-reload"}>
          <button class="second" type="button" disabled>Use a passkey instead</button>
          <p class="quiet" role="status"></p>
        </div>`;
}

/** What is wrong when `proveNow` finds nobody there. */
export function absentFault(id: string, password: string | undefined): Fault {
  const message = password
    ? "That password isn’t right. Nothing was done."
    : "Enter your password to continue.";
  return { field: id, message };
}
