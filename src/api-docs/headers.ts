/** A header as OpenAPI describes it. */
type Header = { description: string; required?: true; schema: object; example?: string | number };

const text = { type: "string" };

/** Every header that answers of the API carry, by its name. */
export const HEADERS: Record<string, Header> = {
  "X-Request-Id": {
    description:
      "The caller's, if it sent one of at most 128 visible characters; else the service's. Quote it in reports.",
    required: true,
    schema: text,
    example: "01a207bd-a8f2-7b1e-8c55-6e3f9cef9517",
  },
  "Cache-Control": {
    description: "Answers of the API are not stored.",
    required: true,
    schema: { type: "string", enum: ["no-store"] },
  },
  "RateLimit-Policy": {
    description: "The limit that counts this call, as in the IETF draft: `q` requests in `w` seconds.",
    schema: text,
    example: '"token";q=600;w=60',
  },
  RateLimit: {
    description: "What is left of it: `r` requests, for `t` seconds.",
    schema: text,
    example: '"token";r=599;t=42',
  },
  "Retry-After": {
    description: "Seconds to wait before the call is sent again.",
    schema: { type: "integer", minimum: 0 },
    example: 12,
  },
  "WWW-Authenticate": {
    description:
      'How to authenticate (RFC 6750, RFC 9728). `error="invalid_token"` is there if the request had a token.',
    required: true,
    schema: text,
  },
  "Idempotent-Replayed": {
    description: "`true`: this is the first answer to the same `Idempotency-Key`, once more.",
    schema: { type: "string", enum: ["true"] },
  },
  Link: { description: "Where the API is described (RFC 8631).", schema: text },
};

/** What decides which headers an answer can carry. */
export type Answering = {
  status: number;
  by: "token" | "operator" | "public";
  /** The call takes an `Idempotency-Key`. */
  keyed: boolean;
};

/** The headers of an answer, as references to `components.headers`. */
export function headersOf({ status, by, keyed }: Answering): Record<string, object> {
  const rated = by === "token" && ![401, 408, 431].includes(status);
  const names = [
    "X-Request-Id",
    "Cache-Control",
    ...(rated || (by === "operator" && status === 429) ? ["RateLimit-Policy", "RateLimit"] : []),
    ...(status === 401 ? ["WWW-Authenticate"] : []),
    ...(status === 401 && by === "token" ? ["Link"] : []),
    ...([409, 429, 503].includes(status) ? ["Retry-After"] : []),
    ...(status === 201 && keyed ? ["Idempotent-Replayed"] : []),
  ];
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}
