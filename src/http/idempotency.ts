import type { FastifyReply, FastifyRequest } from "fastify";
import { badField, type Problem } from "../lib/problems.ts";

/**
 * For calls whose answers hold secrets, which are not kept to be answered again (CONTRACT.md §0). A hook, to
 * run when the request has been validated.
 * Hands on: bad_request {field: "Idempotency-Key"}.
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
