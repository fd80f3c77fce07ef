import { Type } from "@sinclair/typebox";
import type { FastifyRequest } from "fastify";
import { badField } from "../lib/problems.ts";
import type { App } from "./app.ts";

const NO_BODY_LIMIT = 1024;
/** Postgres and V8 both give up on JSON that is nested some thousand levels deep. */
const DEPTH_LIMIT = 100;
const UNSTORABLE = `Text must be valid Unicode without U+0000, and nested at most ${DEPTH_LIMIT} deep.`;

/** The schema of the bodies that `acceptNoBody` accepts. */
export const NoBody = Type.Object(
  {},
  { additionalProperties: false, description: "Nothing, or an empty object." },
);

/**
 * For calls that take no body: nothing, an empty one or `{}` is accepted under any content type; more than
 * 1 KiB is 413, malformed JSON 400, and what is in an object is named by the schema's 400 (CONTRACT.md §0).
 * Holds for the routes registered on `app` and below.
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
  app.addHook("onRequest", async (request) => {
    delete request.raw.headers["content-type"];
  });
  app.addHook("preValidation", async (request) => {
    if (request.body === undefined) request.body = {};
  });
}

/**
 * Refuses text that Postgres cannot store and no person can read: U+0000 and halves of surrogate pairs; and
 * what is nested too deeply to be walked.
 * @throws Problem bad_request that names the field
 */
export async function refuseUnstorableText(request: FastifyRequest): Promise<void> {
  for (const part of [request.body, request.query]) {
    const field = findUnstorable(part, "");
    if (field !== undefined) throw badField(field || "body", UNSTORABLE);
  }
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
