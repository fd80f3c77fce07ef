import type { ProblemName } from "../lib/problems.ts";
import type { FeatureKey, Scope } from "../lib/scopes.ts";

/**
 * Who may call a route. The server does not start with a route that declares none. `token` without scopes accepts any
 * valid token; `claim` names, for people, what an unclaimed account cannot do.
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
  /** Refused while the account is frozen, as it requests something new (docs/contract.md §8). */
  asks?: true;
};

declare module "fastify" {
  interface FastifyContextConfig {
    access?: Access;
    /** The problems of this route beyond those of every route of its kind. */
    problems?: readonly ProblemName[];
    /** A public document, which pages of any site may read. */
    document?: true;
  }
}
