import type { FastifyReply, FastifyRequest } from "fastify";
import { listMemberships, type Membership } from "../accounts/member-service.ts";
import { originOf } from "../http/origin.ts";
import { requireSameOrigin } from "../http/same-origin.ts";
import { Problem } from "../lib/problems.ts";
import { MINUTE } from "../lib/time.ts";
import { checkFormToken, FORM_TOKEN_FIELD } from "./form-token.ts";
import { readSession, type SignInDeps } from "./service.ts";
import { carriesSession } from "./session-service.ts";
import { type SessionRow, touchSession } from "./session-store.ts";

const TOUCH_AFTER = 5 * MINUTE;
const SAFE_METHODS = new Set(["GET", "HEAD"]);

/**
 * A signed-in person, as read at the start of this request. `now` is the database's time. Their session may end while
 * the body arrives, so a change is made in a transaction that holds them (`actor-service.ts`).
 */
export type Human = Omit<SessionRow, "seenAt"> & { memberships: Membership[] };

/** A page's gates. Spread `options` into the route; the handler gets the person from `human(request)`. */
export type SessionGate = {
  options: {
    config: { access: { by: "session" } };
    schema: { hide: true };
    onRequest: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;
    preHandler: (request: FastifyRequest) => Promise<void>;
  };
  human(request: FastifyRequest): Human;
};

export type SessionGateOptions = {
  /**
   * What a form does and to what, as its page passed it to `formToken`. Required by routes that change something.
   * Read from the path and the validated body.
   */
  purpose?: (request: FastifyRequest) => string;
  /** Where to return after sign-in, if not to the requested address. */
  returnTo?: (request: FastifyRequest) => string;
};

/**
 * Opens the gates of a page for people. In this order: a form must come from this origin; the caller must be signed
 * in, otherwise they are redirected to sign-in; a form must carry the token of this session and purpose (docs/contract.md
 * §7). API tokens grant nothing here.
 * @throws Problem form_refused, session_replaced
 */
export function openSessionGate(deps: SignInDeps, options: SessionGateOptions = {}): SessionGate {
  const { purpose, returnTo = (request) => request.url } = options;
  const sameOrigin = requireSameOrigin(deps.config.publicUrl);
  const humans = new WeakMap<FastifyRequest, Human>();

  const human = (request: FastifyRequest): Human => {
    const found = humans.get(request);
    if (found === undefined) throw new TypeError("the page's gates have not run");
    return found;
  };

  return {
    options: {
      config: { access: { by: "session" } },
      schema: { hide: true },
      onRequest: async (request, reply) => {
        const changes = !SAFE_METHODS.has(request.method);
        if (changes) await sameOrigin(request);
        const found = await readHuman(deps, request);
        if (changes && found !== undefined && found.token !== "current")
          throw new Problem("session_replaced");
        if (found !== undefined) humans.set(request, found);
        else return reply.redirect(signInPath(deps, request, returnTo(request)), 303);
      },
      preHandler: async (request) => {
        if (SAFE_METHODS.has(request.method)) return;
        if (purpose === undefined) throw new TypeError(`${request.url} changes something without a purpose`);
        const presented = (request.body as Record<string, unknown> | null)?.[FORM_TOKEN_FIELD];
        if (!checkFormToken(deps.keys, human(request), purpose(request), presented)) {
          throw new Problem("form_refused");
        }
      },
    },
    human,
  };
}

/** The address of sign-in, with where to return. The page tells a person whose session ended. */
function signInPath(deps: SignInDeps, { headers }: FastifyRequest, returnTo: string): string {
  const said = carriesSession(deps, headers.cookie) ? "&said=session-ended" : "";
  return `/sign-in?return_to=${encodeURIComponent(returnTo)}${said}`;
}

/** The signed-in person, for pages that are public; `undefined` without a session. */
export async function readHuman(deps: SignInDeps, request: FastifyRequest): Promise<Human | undefined> {
  const session = await readSession(deps, request.headers.cookie, originOf(request));
  if (session === undefined) return undefined;
  const { seenAt, ...rest } = session;
  if (session.now.getTime() - seenAt.getTime() > TOUCH_AFTER)
    await touchSession(deps.db, session.sessionId, session.now);
  return { ...rest, memberships: await listMemberships(deps.db, session.userId) };
}
