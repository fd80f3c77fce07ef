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
 * A signed-in person, as the database knew them at this request's look-up. `now` is its time. What they change is
 * done in a transaction that holds them (`actor.ts`), as their session may end while the body of a request comes.
 */
export type Human = Omit<SessionRow, "seenAt"> & { memberships: Membership[] };

/** A page's gates. Spread `options` into the route; in the handler, `human(request)` is who asks. */
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
   * What a form does and to what, as its page said to `formToken`. A route that changes something must have
   * it. Read from the path and the validated body.
   */
  purpose?: (request: FastifyRequest) => string;
  /** Where to come back to after sign-in, if not to the address itself. */
  returnTo?: (request: FastifyRequest) => string;
};

/**
 * Opens the gates of a page for people, in this order: a form must come from this origin; somebody must be
 * signed in, else they are sent to sign in and nothing is done; a form must carry the token of this session
 * and this purpose (CONTRACT.md §7). No token of an agent means anything here.
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

/** Where to sign in, and come back to. Whoever was signed in is told why they are not any more. */
function signInPath(deps: SignInDeps, { headers }: FastifyRequest, returnTo: string): string {
  const said = carriesSession(deps, headers.cookie) ? "&said=session-ended" : "";
  return `/sign-in?return_to=${encodeURIComponent(returnTo)}${said}`;
}

/** Who is signed in, if anybody: for pages that are there for all. */
export async function readHuman(deps: SignInDeps, request: FastifyRequest): Promise<Human | undefined> {
  const session = await readSession(deps, request.headers.cookie, originOf(request));
  if (session === undefined) return undefined;
  const { seenAt, ...rest } = session;
  if (session.now.getTime() - seenAt.getTime() > TOUCH_AFTER)
    await touchSession(deps.db, session.sessionId, session.now);
  return { ...rest, memberships: await listMemberships(deps.db, session.userId) };
}
