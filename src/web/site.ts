import type { FastifyReply, FastifyRequest } from "fastify";
import type { Html } from "../lib/html.ts";
import { FORM_TOKEN_FIELD, formToken } from "../sessions/form-token.ts";
import type { Human } from "../sessions/gate.ts";
import type { Caller, SessionDeps } from "../sessions/service.ts";
import { hiddenField } from "./forms.ts";
import { type Page, sendPage, type Visitor } from "./layout.ts";

export const SIGN_OUT = "sign-out";

/** Sends a page with the person who is signed in, if anybody is, in its head. */
export function show(
  { config, keys }: Pick<SessionDeps, "config" | "keys">,
  reply: FastifyReply,
  page: Page,
  { human, status = 200 }: { human?: Human | undefined; status?: number } = {},
): FastifyReply {
  const visitor: Visitor | undefined = human && {
    name: human.name,
    email: human.email,
    signOutToken: formToken(keys, human, SIGN_OUT),
  };
  return sendPage(reply, config.appName, status, page, visitor);
}

/** The hidden field that lets a form be sent from the page of this session alone, for this purpose. */
export function tokenField({ keys }: Pick<SessionDeps, "keys">, human: Human, purpose: string): Html {
  return hiddenField(FORM_TOKEN_FIELD, formToken(keys, human, purpose));
}

/** Where a request came from, for what counts attempts and makes sessions. */
export function callerOf({ ip, headers }: FastifyRequest): Caller {
  return { address: ip, userAgent: (headers["user-agent"] ?? "").slice(0, 300), cookie: headers.cookie };
}
