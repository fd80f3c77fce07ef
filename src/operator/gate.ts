import { hash, timingSafeEqual } from "node:crypto";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Act } from "../audit/service.ts";
import { originOf } from "../http/origin.ts";
import { type RateLimits, rateLimitHeaders } from "../http/token-rate-limit.ts";
import { addressBucket } from "../lib/addresses.ts";
import { Problem } from "../lib/problems.ts";

/** How many wrong operator's keys one address may present in a minute. */
const WRONG_KEYS_PER_MINUTE = 120;
const BEARER = /^bearer +(\S+) *$/i;
const FINGERPRINT_LENGTH = 8;

const fingerprints = new WeakMap<FastifyRequest, string>();

/** The operator, as audit entries name them: by the fingerprint of the key used, 8 hex digits of its SHA-256. */
export function operatorOf(request: FastifyRequest): Act {
  const key = fingerprints.get(request);
  if (key === undefined) throw new TypeError("the operator's gate has not run");
  return { actor: { kind: "operator", key }, origin: originOf(request) };
}

/**
 * Lets only holders of the operator's key pass (docs/contract.md §8). Compared in constant time, by digest, so
 * that not even the key's length shows; of two keys either will do. Compared before anything is counted: a right key
 * is let in whatever others at its address present, and wrong ones are counted apart from all else. Every use is logged.
 * @returns a hook for the operator's routes, to run before the body is read
 */
export function operatorGate(keys: readonly string[], limits: RateLimits) {
  const digests = keys.map(digestOf);
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const key = BEARER.exec(request.headers.authorization ?? "")?.[1];
    const presented = digestOf(key ?? "");
    const matches = digests.map((digest) => timingSafeEqual(digest, presented));
    if (!matches.includes(true)) {
      if (key !== undefined) countWrongKey(limits, request, reply);
      reply.header("www-authenticate", "Bearer");
      throw new Problem(
        "unauthorized",
        undefined,
        "The operator's key is required: `Authorization: Bearer …`.",
      );
    }
    fingerprints.set(request, presented.toString("hex").slice(0, FINGERPRINT_LENGTH));
    request.log.info(
      { reqId: request.id, operatorKey: matches.indexOf(true) + 1, route: request.routeOptions.url },
      "operator key used",
    );
  };
}

/** @throws Problem rate_limited {retryAfterSeconds} */
function countWrongKey(limits: RateLimits, request: FastifyRequest, reply: FastifyReply): void {
  const wrong = limits.hit(`operator-keys:${addressBucket(request.ip)}`, WRONG_KEYS_PER_MINUTE);
  if (wrong.allowed) return;
  reply.headers(rateLimitHeaders("address", wrong));
  throw new Problem("rate_limited", { retryAfterSeconds: wrong.resetSeconds });
}

function digestOf(key: string): Buffer {
  return hash("sha256", key, "buffer");
}
