import fc from "fast-check";
import { hostile, hostileText, near, type Schema, valid } from "./values.ts";

export type Operation = {
  method: string;
  path: string;
  parameters: readonly { name: string; in: "path" | "query" | "header"; schema: Schema }[];
  body: Schema | undefined;
  bodyType: string;
};

/** Who sends a request; each is an account and a token of its own. */
export const SENDERS = [
  "owner",
  "reader",
  "unclaimed",
  "cardless",
  "revoked",
  "nobody",
  "nonsense",
  "operator",
] as const;
export type Sender = (typeof SENDERS)[number];

/** A path parameter: the nth thing of its kind that is known by then, another account's, or anything. */
export type Part = { known: number } | { foreign: true } | { text: string };

export type Plan = {
  sender: Sender;
  parts: Record<string, Part>;
  query: readonly [string, string][];
  headers: Record<string, string>;
  /** Exactly what is sent; `undefined`: no body. */
  payload: string | undefined;
};

const VISIBLE = /[^\x20-\x7e\x80-\xff]/g;
const LONGEST_PATH_PART = 300;
/** Clients take these out of an address before they send it, so that it is another route's. */
const DOTS = /^\.{1,2}$/;

/** Plans of requests to an operation: mostly right, with something wrong in it here and there. */
export function planOf({ parameters, body, bodyType }: Operation): fc.Arbitrary<Plan> {
  const of = (place: string) => parameters.filter((parameter) => parameter.in === place);
  const parts = Object.fromEntries(of("path").map(({ name, schema }) => [name, partOf(schema)]));
  return fc.record({
    sender: fc.oneof(
      { weight: 12, arbitrary: fc.constant<Sender>("owner") },
      { weight: 5, arbitrary: fc.constantFrom(...SENDERS) },
    ),
    parts: fc.record(parts),
    query: queryOf(of("query")),
    headers: headersOf(of("header"), body === undefined ? undefined : bodyType),
    payload: payloadOf(body, bodyType),
  });
}

function partOf(schema: Schema): fc.Arbitrary<Part> {
  const text = fc.oneof(hostileText, valid(schema).map(String), fc.uuid());
  return fc.oneof(
    { weight: 5, arbitrary: fc.constant({ known: 0 }) },
    { weight: 5, arbitrary: fc.nat({ max: 50 }).map((known) => ({ known })) },
    { weight: 1, arbitrary: fc.constant({ foreign: true as const }) },
    {
      weight: 3,
      arbitrary: text.map((all) => ({ text: all.slice(0, LONGEST_PATH_PART).replace(DOTS, "") || "-" })),
    },
  );
}

function queryOf(parameters: Operation["parameters"]): fc.Arbitrary<[string, string][]> {
  const one = parameters.map(({ name, schema }) =>
    fc
      .oneof({ weight: 4, arbitrary: valid(schema) }, { weight: 2, arbitrary: near(schema) })
      .map((value): [string, string] => [name, asText(value)]),
  );
  const odd = fc.tuple(hostileText, hostileText);
  const some = one.length === 0 ? fc.constant([]) : fc.array(fc.oneof(...one), { maxLength: 3 });
  return fc
    .tuple(some, fc.oneof({ weight: 5, arbitrary: fc.constant([]) }, fc.tuple(odd)))
    .map((all) => all.flat());
}

function headersOf(
  parameters: Operation["parameters"],
  bodyType: string | undefined,
): fc.Arbitrary<Record<string, string>> {
  const header = (value: fc.Arbitrary<unknown>) =>
    value.map((text) => asText(text).replaceAll(VISIBLE, "?").trim());
  const types = fc.oneof(
    { weight: 12, arbitrary: fc.constant(bodyType) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        undefined,
        "text/plain",
        "application/xml",
        "application/json; charset=utf-16",
        "json",
        ";",
      ),
    },
  );
  const own = Object.fromEntries(
    parameters.map(({ name, schema }) => [
      name.toLowerCase(),
      fc.oneof({ weight: 3, arbitrary: header(valid(schema)) }, { weight: 1, arbitrary: header(hostile) }),
    ]),
  );
  return fc
    .record(
      {
        ...own,
        "content-type": types,
        "x-request-id": header(hostileText),
        // Where it is not described it is refused, or ignored.
        ...(own["idempotency-key"] === undefined ? { "idempotency-key": rarely(header(hostileText)) } : {}),
        accept: header(fc.constantFrom("*/*", "text/html", "application/json;q=0", "x")),
        "x-forwarded-for": header(
          fc.oneof({ weight: 20, arbitrary: fc.ipV4() }, { weight: 1, arbitrary: hostileText }),
        ),
      },
      { requiredKeys: ["content-type", "x-forwarded-for"] },
    )
    .map((headers) =>
      Object.fromEntries(
        Object.entries(headers).filter(
          (entry): entry is [string, string] => typeof entry[1] === "string" && entry[1] !== "",
        ),
      ),
    );
}

function rarely<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: 19, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
}

function payloadOf(body: Schema | undefined, bodyType: string): fc.Arbitrary<string | undefined> {
  const write = (value: unknown) =>
    bodyType === "application/json" ? JSON.stringify(value) : writeForm(value);
  const broken = fc.constantFrom(
    "",
    "{",
    "{}}",
    '{"a":1',
    "nonsense",
    "\u0000",
    '{"__proto__":{"x":1}}',
    '{"constructor":{"prototype":{}}}',
    "[]",
    " ".repeat(2_000),
    `"${"x".repeat(70_000)}"`,
  );
  if (body === undefined) {
    return fc.oneof(
      { weight: 8, arbitrary: fc.constant(undefined) },
      {
        weight: 1,
        arbitrary: fc.oneof(
          broken,
          hostile.map((value) => JSON.stringify(value)),
        ),
      },
    );
  }
  return fc.oneof(
    { weight: 8, arbitrary: valid(body).map(write) },
    { weight: 8, arbitrary: near(body).map(write) },
    { weight: 1, arbitrary: broken },
    { weight: 1, arbitrary: fc.constant(undefined) },
  );
}

function writeForm(value: unknown): string {
  if (typeof value !== "object" || value === null) return asText(value);
  return new URLSearchParams(Object.entries(value).map(([key, one]) => [key, asText(one)])).toString();
}

function asText(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}
