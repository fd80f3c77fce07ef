import type { ProblemName } from "../lib/problems.ts";
import type { FeatureKey, Scope } from "../lib/scopes.ts";

/**
 * Who may call a route. Every route declares it; one that declares nothing stops the server from starting.
 * `token` with no scope takes any valid token; `claim` says, for people, what an unclaimed account cannot do.
 */
export type Access =
  | { by: "public" }
  | { by: "operator" }
  | { by: "session" }
  | { by: "processor" }
  | TokenAccess;

export type TokenAccess = {
  by: "token";
  scopes?: readonly Scope[];
  feature?: FeatureKey;
  claim?: string;
  /** Asks for something new, which a frozen account does not (CONTRACT.md §8). */
  asks?: true;
};

declare module "fastify" {
  interface FastifyContextConfig {
    access?: Access;
    /** The refusals of the route beyond those that every route of its kind has. */
    problems?: readonly ProblemName[];
  }
}
