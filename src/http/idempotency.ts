import { Type } from "@sinclair/typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import { canonicalDigest } from "../lib/canonical.ts";
import { badField, type Problem } from "../lib/problems.ts";

export const IDEMPOTENCY_KEY_PATTERN = "^[\\x21-\\x7e]{1,255}$";

/** The header of calls that take a key: in the schema of such a route. */
export const IdempotencyHeaders = Type.Object({
  "Idempotency-Key": Type.Optional(
    Type.String({
      pattern: IDEMPOTENCY_KEY_PATTERN,
      description:
        "1–255 visible characters of your own, kept for 24 hours. The same key and body get the first answer again, with " +
        "`Idempotent-Replayed: true`: so a call whose answer was lost can be sent once more.",
      examples: ["b7c6b1de-7c3e-4b53-9f0b-7a5a3cf0a8f1"],
    }),
  ),
});

/** The call's key with a digest of the request; `undefined`: it has no key. */
export function readIdempotencyKey(
  { headers, method, routeOptions, params, body }: FastifyRequest,
  reply: FastifyReply,
): { key: string; digest: Buffer; onReplay: () => void } | undefined {
  const key = headers["idempotency-key"];
  if (typeof key !== "string") return undefined;
  const digest = canonicalDigest([method, routeOptions.url, params, body]);
  return { key, digest, onReplay: () => void reply.header("idempotent-replayed", "true") };
}

/**
 * Rejects the header on calls whose answers hold secrets, which are not stored for repeats (docs/contract.md §0). A hook, to
 * run after validation.
 * Passes on: bad_request {field: "Idempotency-Key"}.
 */
export function refuseIdempotencyKey(
  { headers }: FastifyRequest,
  _reply: FastifyReply,
  done: (error?: Problem) => void,
): void {
  const given = headers["idempotency-key"] !== undefined;
  done(
    given ? badField("Idempotency-Key", "This call takes no such key: its answers are not kept.") : undefined,
  );
}
