import type { FastifyReply, FastifyRequest } from "fastify";
import type { Db } from "../database/connection.ts";
import type { TokenAccess } from "../http/access.ts";
import { refuseIdempotencyKey } from "../http/idempotency.ts";
import { type Lookup, noteLookup, refusedLookup } from "../http/lookups.ts";
import { SERVICE_DESC } from "../http/public-document.ts";
import { type RateLimits, rateLimitHeaders } from "../http/token-rate-limit.ts";
import { Problem, type ProblemName } from "../lib/problems.ts";
import { type Credential, readSecret } from "../lib/secrets.ts";
import { assertAccess } from "./access-rules.ts";
import { OPERATIONS, type Operation } from "./operations.ts";
import { type Grant, readGrant } from "./store.ts";
import { TOKEN_PREFIX } from "./token-service.ts";
import type { TokenUses } from "./token-use-service.ts";

export { TOKEN_PREFIX };

const BEARER = /^bearer +(\S+) *$/i;

export type GateDeps = {
  config: { publicUrl: string; rateLimitPerMinute: number };
  limits: RateLimits;
  tokenUses: TokenUses;
};

/** A route's gates. Spread `options` into the route; in the handler, `grant(request)` is what they read. */
export type Gate<Row extends Grant> = {
  options: {
    config: { access: TokenAccess; problems: readonly ProblemName[] };
    onRequest: (request: FastifyRequest, reply: FastifyReply, done: (error?: Problem) => void) => void;
    preValidation: (request: FastifyRequest, reply: FastifyReply) => Promise<void>;
  };
  grant(request: FastifyRequest): Row;
  /** Reads and checks again, after a lost race. */
  again(request: FastifyRequest, reply: FastifyReply): Promise<Row>;
  /** Returns `result`. `undefined` means that the token ended meanwhile and nothing was done: answers as the gates do now. */
  done<T>(request: FastifyRequest, reply: FastifyReply, result: T | undefined): Promise<T>;
};

/**
 * Opens a token route's gates in the order of docs/contract.md §0: before the body is read, that there is a
 * bearer token, without a query; after it, token, rate, scope, feature and claim. Then Fastify validates the fields.
 * `read` looks the token up, and may read in the same statement what else the route needs.
 */
export function openGate<Row extends Grant>(
  deps: GateDeps,
  operation: Operation,
  problems: readonly ProblemName[],
  read: (credential: Credential, request: FastifyRequest) => Promise<Row | undefined>,
): Gate<Row> {
  const { config, limits, tokenUses } = deps;
  const access = OPERATIONS[operation];
  const resource = operation === "mcp" ? "/mcp" : "";
  const credentials = new WeakMap<FastifyRequest, Credential>();
  const grants = new WeakMap<FastifyRequest, Row>();

  async function admit(request: FastifyRequest, reply: FastifyReply, first: boolean): Promise<Row> {
    const credential = credentials.get(request);
    if (credential === undefined) throw new TypeError("the route's gates have not run");
    const row = await read(credential, request);
    noteLookup(limits, lookupOf(request, credential), row !== undefined);
    if (row === undefined) throw unauthorized(config, request, reply, resource);
    if (first) {
      const allowance = limits.hit(`token:${row.rootTokenId}`, config.rateLimitPerMinute);
      reply.headers(rateLimitHeaders("token", allowance));
      if (!allowance.allowed)
        throw new Problem("rate_limited", { retryAfterSeconds: allowance.resetSeconds });
    }
    tokenUses.note(row);
    assertAccess(access, row, config.publicUrl);
    grants.set(request, row);
    return row;
  }

  return {
    options: {
      config: { access, problems },
      onRequest: (request, reply, done) => {
        const credential = readCredential(request);
        if (credential === undefined) return done(unauthorized(config, request, reply, resource));
        credentials.set(request, credential);
        const refused = refusedLookup(limits, lookupOf(request, credential));
        if (refused !== undefined) reply.headers(rateLimitHeaders("address", refused));
        done(refused?.problem);
      },
      preValidation: async (request, reply) => {
        await admit(request, reply, true);
      },
    },
    grant(request) {
      const row = grants.get(request);
      if (row === undefined) throw new TypeError("the route's gates have not run");
      return row;
    },
    again: (request, reply) => admit(request, reply, false),
    async done(request, reply, result) {
      if (result !== undefined) return result;
      await admit(request, reply, false);
      throw new Problem("unavailable", { retryAfterSeconds: 1 });
    },
  };
}

/** The gates of a route that needs the token alone. */
export function openGrantGate(
  deps: GateDeps & { db: Db },
  operation: Operation,
  problems: readonly ProblemName[] = [],
): Gate<Grant> {
  return openGate(deps, operation, problems, (credential) => readGrant(deps.db, credential));
}

/** The same for a call without an `Idempotency-Key`, as its answer is not kept for repeats. */
export function openUnkeyedGate(...given: Parameters<typeof openGrantGate>) {
  const gate = openGrantGate(...given);
  return { ...gate, options: { ...gate.options, preHandler: refuseIdempotencyKey } };
}

/**
 * 401, the same for malformed, unknown, expired and revoked tokens. `error` is there only if the request had a token
 * (RFC 6750 §3.1); the metadata is that of the resource asked for (RFC 9728 §3.3).
 */
function unauthorized(
  { publicUrl }: GateDeps["config"],
  { headers }: FastifyRequest,
  reply: FastifyReply,
  resource: string,
): Problem {
  const error = headers.authorization === undefined ? "" : 'error="invalid_token", ';
  const metadata = `${publicUrl}/.well-known/oauth-protected-resource${resource}`;
  reply
    .header("www-authenticate", `Bearer ${error}resource_metadata="${metadata}"`)
    .header("link", SERVICE_DESC);
  return new Problem("unauthorized");
}

function lookupOf(request: FastifyRequest, { digest }: Credential): Lookup {
  return { kind: "token", address: request.ip, digest };
}

function readCredential(request: FastifyRequest): Credential | undefined {
  const token = BEARER.exec(request.headers.authorization ?? "")?.[1];
  return token === undefined ? undefined : readSecret(TOKEN_PREFIX, token);
}
