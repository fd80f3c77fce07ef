import type { FastifyReply, FastifyRequest } from "fastify";
import { originOf } from "../../http/origin.ts";
import type { Html } from "../../lib/html.ts";
import type { SessionDeps } from "../../passkeys/session-deps.ts";
import { rememberDevice } from "../../sign-in/device-cookie.ts";
import { FORM_TOKEN_FIELD, formToken } from "../../sign-in/form-token.ts";
import type { Human } from "../../sign-in/gate.ts";
import type { Caller } from "../../sign-in/service.ts";
import { hiddenField } from "./forms.ts";
import { type Page, sendPage, type Visitor } from "./layout.ts";
import { type Said, takeSaid } from "./said.ts";

export const SIGN_OUT = "sign-out";

/** Sends a page, with the signed-in person, if any, in its header, and with what the form came to that led to it. */
export function show(
  { config, keys }: Pick<SessionDeps, "config" | "keys">,
  reply: FastifyReply,
  page: Page,
  {
    human,
    status = 200,
    said,
  }: {
    human?: Human | undefined;
    status?: number;
    /** What the page's route has taken of it already. */
    said?: Said | undefined;
  } = {},
): FastifyReply {
  const visitor: Visitor | undefined = human && {
    name: human.name,
    email: human.email,
    signOutToken: formToken(keys, human, SIGN_OUT),
    missedRenewal: human.token === "reads",
    pending: human.memberships.reduce((sum, { pending }) => sum + pending, 0),
  };
  // So that, once they have signed out, strangers' failures do not shut them out of this browser. Only a page that is
  // opened by the session's present token gives it: a copied cookie whose token was replaced earns nothing.
  const { method, headers } = reply.request;
  const opens = method === "GET" && human?.token === "current";
  const device = opens ? rememberDevice({ config, keys }, headers.cookie, human.email) : undefined;
  if (device !== undefined) reply.header("set-cookie", device);
  const opened = method === "GET" && human !== undefined;
  const words = said ?? (opened ? takeSaid({ config, keys }, reply.request, reply, human) : undefined);
  return sendPage(reply, config.appName, status, page, { visitor, said: words });
}

/** The hidden field that lets a form be sent from the page of this session alone, for this purpose. */
export function tokenField({ keys }: Pick<SessionDeps, "keys">, human: Human, purpose: string): Html {
  return hiddenField(FORM_TOKEN_FIELD, formToken(keys, human, purpose));
}

/** Where a request came from, for what counts attempts and makes sessions. */
export function callerOf(request: FastifyRequest): Caller {
  const { "user-agent": userAgent = "", cookie } = request.headers;
  return { origin: originOf(request), userAgent: userAgent.slice(0, 300), cookie };
}
