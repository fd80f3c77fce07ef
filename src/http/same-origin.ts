import type { FastifyReply, FastifyRequest } from "fastify";
import { Problem } from "../lib/problems.ts";

/**
 * The first cross-site defence of every form (docs/contract.md §7): the browser must say that a page of this very
 * origin sent it, and that this origin is ours: a page whose name points to this machine has its
 * own origin as well (DNS rebinding). `Host` is ignored: the sender of the request chooses it.
 * @returns a hook, to run before the body is read
 * @throws Problem form_refused
 */
export function requireSameOrigin(publicUrl: string) {
  return async ({ headers }: FastifyRequest): Promise<void> => {
    const site = headers["sec-fetch-site"];
    const { origin } = headers;
    // `null` is another one too: a page that hides where it is from, such as a sandboxed frame, is none of ours.
    const ours = origin === publicUrl || (origin === undefined && site !== undefined);
    if (!ours || (site !== undefined && site !== "same-origin")) throw new Problem("form_refused");
  };
}

/**
 * For addresses that programs call and no page does: a browser says by `Origin` which site sent it, and only ours may, or one that the operator listed.
 * So a page whose name has been pointed at this machine gets no answer (DNS rebinding).
 * @returns a hook, to run before the token is looked at
 * Passes on: origin_refused
 */
export function refuseOtherOrigins(publicUrl: string, listed: readonly string[]) {
  const ours = new Set([publicUrl, ...listed]);
  return ({ headers }: FastifyRequest, _reply: FastifyReply, done: (error?: Problem) => void): void => {
    const { origin } = headers;
    done(origin === undefined || ours.has(origin) ? undefined : new Problem("origin_refused"));
  };
}
