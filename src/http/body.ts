import { Type } from "@sinclair/typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import { parseExactJson } from "../lib/exact-json.ts";
import { badField, type Problem } from "../lib/problems.ts";
import type { App } from "./app.ts";

const NO_BODY_LIMIT = 1024;
/** Postgres and V8 both fail on JSON that is nested some thousand levels deep. */
const DEPTH_LIMIT = 100;
const UNSTORABLE = `Text must be valid Unicode without U+0000, and nested at most ${DEPTH_LIMIT} deep.`;

/** The schema of the bodies that `acceptNoBody` accepts. */
export const NoBody = Type.Object(
  {},
  { additionalProperties: false, description: "Nothing, or an empty object." },
);

/**
 * For calls that take no body: nothing, an empty one or `{}` is accepted under any content type; more than
 * 1 KiB is 413, malformed JSON and any key 400 (docs/contract.md §0). Applies to the routes of `app` and below.
 */
export function acceptNoBody(app: App): void {
  const parseJson = app.getDefaultJsonParser("error", "error");
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<string>(
    "*",
    { parseAs: "string", bodyLimit: NO_BODY_LIMIT },
    (request, body, done) => {
      if (body.trim() === "") done(null, {});
      else void parseJson(request, body, done);
    },
  );
  // Fastify answers 415 to a content type that it cannot parse, before it looks for a parser.
  app.addHook("onRequest", (request, _reply, done) => {
    delete request.raw.headers["content-type"];
    done();
  });
  app.addHook("preValidation", (request, _reply, done) => {
    if (request.body === undefined) request.body = {};
    done();
  });
}

/** For calls whose body is optional: an empty JSON body counts as `{}`. Applies to the routes of `app` and below. */
export function acceptEmptyJson(app: App): void {
  const parseJson = app.getDefaultJsonParser("error", "error");
  app.removeContentTypeParser("application/json");
  app.addContentTypeParser<string>("application/json", { parseAs: "string" }, (request, body, done) => {
    if (body.trim() === "") done(null, {});
    else void parseJson(request, body, done);
  });
}

/**
 * For calls that pass JSON on: numbers stay as they were written (`lib/exact-json.ts`). Applies to the routes of `app`
 * and below.
 */
export function acceptExactJson(app: App): void {
  const parseJson = app.getDefaultJsonParser("error", "error");
  app.removeContentTypeParser("application/json");
  app.addContentTypeParser<string>("application/json", { parseAs: "string" }, (request, body, done) => {
    // The default parser first, for the errors that it throws.
    void parseJson(request, body, (error) => (error ? done(error) : done(null, parseExactJson(body))));
  });
}

/**
 * Rejects text that Postgres cannot store, U+0000 and halves of surrogate pairs, and JSON that is nested too deeply.
 * Passes on: bad_request {field}.
 */
export function refuseUnstorableText(
  request: FastifyRequest,
  _reply: FastifyReply,
  done: (error?: Problem) => void,
): void {
  const field = findUnstorable(request.body, "") ?? findUnstorable(request.query, "");
  done(field === undefined ? undefined : badField(field || "body", UNSTORABLE));
}

function findUnstorable(value: unknown, path: string, depth = 0): string | undefined {
  if (typeof value === "string") return isStorable(value) ? undefined : path;
  if (typeof value !== "object" || value === null) return undefined;
  if (depth === DEPTH_LIMIT) return path;
  for (const [key, inner] of Object.entries(value)) {
    if (!isStorable(key)) return path;
    const found = findUnstorable(inner, path === "" ? key : `${path}.${key}`, depth + 1);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isStorable(text: string): boolean {
  return !text.includes("\0") && text.isWellFormed();
}
