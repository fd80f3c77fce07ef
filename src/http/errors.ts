import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { asUnavailable } from "../database/transaction.ts";
import { Problem, type ProblemName, problemRow } from "../lib/problems.ts";
import { fromValidation } from "./validation.ts";

/** The body of every answer that is not a success (docs/contract.md §0). */
export type ErrorEnvelope = {
  error: string;
  code: string;
  requestId: string;
  details?: Record<string, unknown>;
};

/** The envelope of a problem, without internal details. */
export function toEnvelope(problem: Problem, requestId: string): ErrorEnvelope {
  const { code } = problemRow(problem.problem);
  return {
    error: problem.message,
    code,
    requestId,
    ...(problem.details === undefined ? {} : { details: problem.details }),
  };
}

/**
 * Maps a thrown error to a problem of the catalogue: an unexpected one to `internal_error`, a database that does not
 * answer to `unavailable`.
 */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const unavailable = asUnavailable(error);
  if (unavailable !== undefined) return unavailable;
  if (!(error instanceof Error)) return new Problem("internal_error");
  const { validation, code, statusCode } = error as Partial<FastifyError>;
  if (validation !== undefined) return fromValidation(validation, (error as FastifyError).validationContext);
  if (code === "FST_ERR_CTP_BODY_TOO_LARGE") return new Problem("body_too_large");
  if (code === "FST_ERR_CTP_INVALID_MEDIA_TYPE") return new Problem("unsupported_media_type");
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new Problem("bad_request", undefined, unreadable(code));
  }
  return new Problem("internal_error");
}

/** Answers with a problem: the catalogue's status, the envelope, and its headers. */
export function sendProblem(request: FastifyRequest, reply: FastifyReply, problem: Problem): FastifyReply {
  const { status } = problemRow(problem.problem);
  const wait = retryAfterOf(problem);
  if (wait !== undefined) reply.header("retry-after", wait);
  return reply.code(status).type("application/json; charset=utf-8").send(toEnvelope(problem, request.id));
}

/** Problems that pass by themselves, soon: when to ask again, in seconds. Others say it in their details. */
const PASSING: Partial<Record<ProblemName, number>> = {
  request_in_progress: 1,
  payment_in_progress: 5,
  unavailable: 1,
};

/** What `Retry-After` says of a problem, in seconds. */
export function retryAfterOf({ problem, details }: Problem): number | undefined {
  const said = details?.retryAfterSeconds;
  return typeof said === "number" ? said : PASSING[problem];
}

function unreadable(code: string | undefined): string {
  switch (code) {
    case "FST_ERR_BAD_URL":
      return "The address cannot be read: check its percent-encoding.";
    case "FST_ERR_MAX_PARAM_LENGTH":
      return "The address is too long.";
    case "FST_ERR_CTP_EMPTY_JSON_BODY":
      return "The body is empty. Send a JSON object.";
    case "FST_ERR_CTP_INVALID_CONTENT_LENGTH":
      return "The body is not as long as its Content-Length says.";
    default:
      return "The body is not valid JSON.";
  }
}
