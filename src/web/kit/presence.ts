import type { FastifyReply, FastifyRequest } from "fastify";
import { originOf } from "../../http/origin.ts";
import { type Html, html } from "../../lib/html.ts";
import { Problem } from "../../lib/problems.ts";
import { listOwnPasskeys } from "../../passkeys/service.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { formToken } from "../../sign-in/form-token.ts";
import type { Human } from "../../sign-in/gate.ts";
import { isFresh, provePassword, recordRefusedPasskey, type SignInDeps } from "../../sign-in/service.ts";
import { type Fault, passwordField } from "./forms.ts";

/** What a form token is for that lets a passkey prove presence. */
export const PRESENCE = "passkeys:presence";
/** For a page whose script asks for passkeys. */
export const PASSKEY_SCRIPT = { script: "passkeys.js", fetches: true } as const;

/** A person, and what lets their passkey stand in for the password in a form; without it there is no such button. */
export type Prover = Human & { presenceToken?: string | undefined };

/** The person as forms that ask for proof need them: with the token, if they have a passkey and must prove presence. */
export async function proverOf(deps: SessionDeps, human: Human): Promise<Prover> {
  if (deps.relyingParty === undefined || isFresh(human, human.now)) return human;
  const own = await listOwnPasskeys(deps, human.userId);
  return own.length === 0 ? human : { ...human, presenceToken: formToken(deps.keys, human, PRESENCE) };
}

/** What a page adds whose forms ask for proof: the passkeys' script, if a passkey can answer. */
export function presenceScript({ presenceToken }: Prover): typeof PASSKEY_SCRIPT | undefined {
  return presenceToken === undefined ? undefined : PASSKEY_SCRIPT;
}

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
  return { ...human, provedAt, tokenDigest, now: provedAt };
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

/** Asks for the password, or a passkey in its place, unless the person has proved lately that they are there. */
export function presenceField(human: Prover, id: string, fault: Fault | undefined): Html | undefined {
  if (isFresh(human, human.now) && fault?.field !== id) return undefined;
  const password = passwordField(human.email, {
    name: "password",
    id,
    label: "Confirm with your password",
    autocomplete: "current-password",
    fault,
  });
  return human.presenceToken === undefined
    ? password
    : html`${password}${passkeyButton(human.presenceToken)}`;
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
  return passkeyButton(token, reload);
}

function passkeyButton(token: string, reload = false): Html {
  return html`
        <div class="field scripted" data-presence="/settings/security/presence" data-token="${token}"${reload && " data-reload"}>
          <button class="second" type="button" disabled>Use a passkey instead</button>
          <p class="quiet" role="status"></p>
        </div>`;
}

/** Offers a passkey to a person who has none; `undefined` where there can be none, or they have one. */
export async function passkeyOffer(
  deps: SessionDeps,
  human: Human | undefined,
  returnTo: string,
): Promise<Html | undefined> {
  if (human === undefined || deps.relyingParty === undefined) return undefined;
  if ((await listOwnPasskeys(deps, human.userId)).length > 0) return undefined;
  return html`<p class="notice"><strong>Sign in and confirm faster.</strong> Use your fingerprint, face or PIN instead of your password.
        <a href="/settings/security/passkeys/new?return_to=${encodeURIComponent(returnTo)}">Add a passkey</a></p>`;
}

/** The fault when `proveNow` finds no proof. */
export function absentFault(id: string, password: string | undefined): Fault {
  const message = password
    ? "That password isn’t right. Nothing was done."
    : "Enter your password to continue.";
  return { field: id, message };
}
