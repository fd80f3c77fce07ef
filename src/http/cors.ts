import type { FastifyReply, FastifyRequest } from "fastify";
import type { App } from "./app.ts";
import { type KnownRoute, listRoutes } from "./route-list.ts";

const EXPOSED =
  "X-Request-Id, RateLimit, RateLimit-Policy, Retry-After, Idempotent-Replayed, WWW-Authenticate, Link, ETag";
const PREFLIGHT_SECONDS = 600;

/**
 * Lets pages of other sites call what needs no session (docs/contract.md §0): public documents from anywhere, and the
 * API, `/mcp` and agent registration from the origins that the operator lists. No answer allows credentials: a
 * session's cookie never counts there.
 * Register it before `handleUnknownRoutes`, which answers all other preflights with 405.
 */
export function allowOrigins(app: App, origins: readonly string[]): void {
  const listed = new Set(origins);
  app.addHook("onRequest", (request, reply, done) => {
    if (request.is404) {
      if (answerPreflight(app, listed, request, reply)) return;
    } else if (
      listed.size > 0 &&
      isForPrograms(request.routeOptions.config.access, request.routeOptions.url)
    ) {
      addVary(reply, "Origin");
      const { origin } = request.headers;
      if (origin !== undefined && listed.has(origin)) {
        reply.header("access-control-allow-origin", origin).header("access-control-expose-headers", EXPOSED);
      }
    }
    done();
  });
}

/** Adds a name to `Vary`. */
export function addVary(reply: FastifyReply, name: string): void {
  const present = reply.getHeader("vary");
  reply.header("vary", present === undefined ? name : `${present}, ${name}`);
}

/** @returns whether it was a preflight, and has been answered */
function answerPreflight(
  app: App,
  listed: ReadonlySet<string>,
  { method, headers, url }: FastifyRequest,
  reply: FastifyReply,
): boolean {
  const { origin, "access-control-request-method": asked } = headers;
  if (method !== "OPTIONS" || origin === undefined || asked === undefined) return false;
  const path = url.split("?", 1)[0] ?? url;
  const routes = listRoutes(app).filter(({ matches }) => matches.test(path));
  const open = routes.filter(({ document }) => document);
  const allowed = open.length > 0 ? open : listed.has(origin) ? routes.filter(isOfPrograms) : [];
  if (allowed.length === 0) return false;
  const methods = [...new Set(allowed.map((route) => route.method))].sort();
  void reply
    .code(204)
    .header("access-control-allow-origin", open.length > 0 ? "*" : origin)
    .header("access-control-allow-methods", methods.join(", "))
    .header("access-control-allow-headers", headers["access-control-request-headers"] ?? "*")
    .header("access-control-max-age", PREFLIGHT_SECONDS)
    .header("vary", "Origin, Access-Control-Request-Headers")
    .send();
  return true;
}

function isOfPrograms({ access, url }: KnownRoute): boolean {
  return isForPrograms(access, url);
}

function isForPrograms(access: KnownRoute["access"], url = ""): boolean {
  return access?.by === "token" || url.startsWith("/api/agent/");
}
