import { createHash } from "node:crypto";
import { brotliCompressSync, gzipSync } from "node:zlib";
import type { FastifyReply, FastifyRequest } from "fastify";
import Negotiator from "negotiator";
import type { App } from "./app.ts";

/** Where the API is described, for programs that were sent elsewhere (RFC 8631). */
export const SERVICE_DESC = '</api/public/v1/openapi.json>; rel="service-desc"; type="application/json"';

const FIVE_MINUTES = "public, max-age=300";
const ENCODINGS = ["br", "gzip", "identity"] as const;
type Encoding = (typeof ENCODINGS)[number];

const COMPRESS: Record<Encoding, (text: string) => Buffer> = {
  br: (text) => brotliCompressSync(text),
  gzip: (text) => gzipSync(text),
  identity: (text) => Buffer.from(text),
};

/** A document that is the same for every caller, for as long as the process runs. */
export type PublicDocument = {
  /** Its media type, with the charset. */
  type: string;
  /** Called once, at the first request. */
  write: () => string | Promise<string>;
};

/**
 * Serves a public document at `path`: stored for five minutes, revalidated by `ETag`, compressed once per encoding, and
 * readable by pages of other sites. The API's own answers are neither stored nor compressed: they hold secrets beside
 * text that others chose (BREACH).
 */
export function servePublicDocument(app: App, path: string, { type, write }: PublicDocument): void {
  let written: Promise<string> | undefined;
  const compressed = new Map<Encoding, Buffer>();
  app.get(
    path,
    { config: { access: { by: "public" }, document: true }, schema: { hide: true } },
    async (request, reply) => {
      written ??= Promise.resolve(write());
      const text = await written;
      const encoding = encodingFor(request);
      const etag = `"${digestOf(text)}-${encoding}"`;
      reply
        .type(type)
        .header("cache-control", FIVE_MINUTES)
        .header("etag", etag)
        .header("vary", "Accept-Encoding")
        .header("link", SERVICE_DESC)
        .header("access-control-allow-origin", "*")
        .header("access-control-expose-headers", "ETag, Link, X-Request-Id");
      if (isKnown(request, etag)) return sendNotModified(reply);
      const body = compressed.get(encoding) ?? COMPRESS[encoding](text);
      compressed.set(encoding, body);
      if (encoding !== "identity") reply.header("content-encoding", encoding);
      return reply.send(body);
    },
  );
}

function encodingFor({ raw }: FastifyRequest): Encoding {
  const preferred = new Negotiator(raw).encodings([...ENCODINGS])[0];
  return ENCODINGS.find((encoding) => encoding === preferred) ?? "identity";
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("base64url").slice(0, 22);
}

/** Compared weakly, as RFC 9110 §13.1.2 has it: whichever encoding the caller kept, the text is the same. */
function isKnown({ headers }: FastifyRequest, etag: string): boolean {
  const known = headers["if-none-match"];
  if (known === undefined) return false;
  return known.trim() === "*" || known.split(",").some((one) => one.trim().replace(/^W\//, "") === etag);
}

function sendNotModified(reply: FastifyReply): FastifyReply {
  return reply.code(304).removeHeader("content-type").send();
}
