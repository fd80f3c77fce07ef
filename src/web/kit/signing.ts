import type { FastifyReply, FastifyRequest } from "fastify";
import { originOf } from "../../http/origin.ts";
import { type Html, html } from "../../lib/html.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { type Act, askToSign, mustSign, type Signature } from "../../passkeys/signed-act-service.ts";
import type { Human } from "../../sign-in/gate.ts";
import { type Fault, hiddenField } from "./forms.ts";
import { type Prover, presenceField, proveNow } from "./presence.ts";

/** What a form posts that a passkey may have to sign: its answer, or a password. */
type Posted = { credential?: string; password?: string };

/** The attributes of a form whose button asks for a passkey first, where the person's must sign. */
export function signedForm(action: string, signs: boolean): Html | false {
  return signs && html` data-passkey="get" data-options="${action}/sign"`;
}

/** What such a form asks beside its fields: a passkey's signature, or a password where none must sign. */
export function signingField(
  human: Prover,
  signs: boolean,
  id: string,
  fault: Fault | undefined,
): Html | undefined {
  if (!signs) return presenceField(human, id, fault);
  return html`${hiddenField("credential", "")}
        <p class="quiet">Your passkey will sign this change: this account accepts passkeys only.</p>
        <p class="quiet passkey-said" role="status"></p>`;
}

/** Above such a form, for browsers without scripts. */
export function signingNeedsScript(signs: boolean): Html | false {
  return (
    signs &&
    html`<noscript><p class="notice wrong"><strong>This change needs JavaScript.</strong> It’s signed with your passkey, and
        browsers ask for passkeys by script only.</p></noscript>`
  );
}

/**
 * Answers a form's script with the options for a passkey to sign the act.
 * @param act `undefined`: there is nothing to sign; the script sends the form as it is, and its page says why
 */
export async function answerSigning(
  deps: SessionDeps,
  reply: FastifyReply,
  human: Human,
  act: Act | undefined,
): Promise<FastifyReply> {
  return act === undefined ? reply.code(204).send() : reply.send(await askToSign(deps, human, act));
}

/**
 * Who acts, and what they bring for it: the signature of a passkey, where one must sign, and else a proof of presence.
 * @returns `undefined`: the password is wrong, or none was typed and one is needed
 */
export async function findActing(
  deps: SessionDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  human: Human,
  accountId: string | undefined,
): Promise<{ acting: Human; signature: Signature } | undefined> {
  const { credential, password } = request.body as Posted;
  const signature = { credential, origin: originOf(request) };
  if (await mustSign(deps.db, human.userId, accountId)) return { acting: human, signature };
  const acting = await proveNow(deps, request, reply, human, password);
  return acting && { acting, signature };
}

/** The same for what no passkey signs, such as a refusal. */
export async function findPresent(
  deps: SessionDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  human: Human,
): Promise<{ acting: Human; signature: Signature } | undefined> {
  const { password } = request.body as Posted;
  const acting = await proveNow(deps, request, reply, human, password);
  return acting && { acting, signature: { credential: undefined, origin: originOf(request) } };
}

/** Sets the cookie of a session that a signature has renewed. */
export function setCookie(reply: FastifyReply, cookie: string | undefined): void {
  if (cookie !== undefined) reply.header("set-cookie", cookie);
}
