import type { FastifyReply, FastifyRequest } from "fastify";
import type { App } from "../http/app.ts";
import { retryAfterOf, toProblem } from "../http/errors.ts";
import { Problem, problemRow } from "../lib/problems.ts";
import { Refusal, type RefusalName } from "./refusals.ts";

/** Characters that an OAuth description must not contain (RFC 6749 §5.2). */
const UNSPEAKABLE = /[^\x20-\x21\x23-\x5b\x5d-\x7e]/g;
const MEDIA =
  "Send the identity calls as application/json, and the oauth calls as application/x-www-form-urlencoded.";

/** Makes `app` answer all errors in OAuth's shape (docs/contract.md §6), 404 and 405 too. */
export function refuseInOAuthShape(app: App): void {
  app.setErrorHandler(async (error, request, reply) => {
    const { name, status, message } = toAnswer(error, request, reply);
    const description = message.replaceAll(UNSPEAKABLE, "'");
    return reply.code(status).send({ error: name, error_description: description });
  });
  // A route for everything, so that `app` answers 404 and 405, too.
  app.setNotFoundHandler(async () => {
    throw new Problem("not_found");
  });
}

function toAnswer(error: unknown, request: FastifyRequest, reply: FastifyReply) {
  if (error instanceof Refusal) return { name: error.refusal, status: error.status, message: error.message };
  const problem = toProblem(error);
  const wait = retryAfterOf(problem);
  if (wait !== undefined) reply.header("retry-after", wait);
  const { status } = problemRow(problem.problem);
  if (problem.problem === "internal_error") {
    request.log.error({ reqId: request.id, err: error }, "unforeseen error");
  }
  if (problem.problem === "unsupported_media_type")
    return { name: "invalid_request" as const, status, message: MEDIA };
  // OAuth has no code for a conflict, such as the account's token limit.
  if (status === 409) return { name: "invalid_request" as const, status: 400, message: problem.message };
  const name = nameOf(status);
  // Messages of the public API fit faulty requests; server errors have their own.
  const message = name === "invalid_request" ? withField(problem) : new Refusal(name).message;
  return { name, status, message };
}

/** OAuth's shape has no key for the name of the field. */
function withField({ details, message }: Problem): string {
  const field = details?.field;
  return typeof field !== "string" || message.includes(field) ? message : `${field}: ${message}`;
}

function nameOf(status: number): RefusalName {
  if (status === 429) return "rate_limit_exceeded";
  if (status === 503) return "temporarily_unavailable";
  return status >= 500 ? "server_error" : "invalid_request";
}
