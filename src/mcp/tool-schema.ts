import type { TObject, TSchema } from "@sinclair/typebox";

/** The keywords that every model vendor takes in a tool's schema; some refuse a whole request for any other. */
export const TOOL_KEYWORDS = [
  "type",
  "title",
  "description",
  "properties",
  "required",
  "additionalProperties",
  "items",
  "enum",
  "anyOf",
  "default",
  "minimum",
  "maximum",
  "minLength",
  "maxLength",
  "minItems",
  "maxItems",
] as const;

type Part = Record<string, unknown>;

/**
 * A copy of a schema that refers to nothing outside itself, as a tool's schema travels alone, and that has only the
 * keywords that every model vendor takes: what others say moves into the description. Arguments are checked against the
 * schema itself, so nothing is allowed by what is left out here.
 */
export function toToolSchema(schema: TObject, shared: readonly TSchema[] = []): TObject {
  const byReference = new Map(shared.map((one) => [`${one.$id}#`, one]));
  const simplify = (part: unknown): unknown => {
    if (Array.isArray(part)) return part.map(simplify);
    if (typeof part !== "object" || part === null) return part;
    const { $ref, ...rest } = part as Part;
    if (typeof $ref === "string") {
      const found = byReference.get($ref);
      if (found === undefined) throw new TypeError(`no shared schema is called ${$ref}`);
      return simplify(found);
    }
    const kept: Part = {};
    for (const keyword of TOOL_KEYWORDS)
      if (rest[keyword] !== undefined && keyword !== "anyOf") kept[keyword] = rest[keyword];
    if (rest.properties !== undefined)
      kept.properties = Object.fromEntries(
        Object.entries(rest.properties as Part).map(([name, of]) => [name, simplify(of)]),
      );
    for (const keyword of ["items", "additionalProperties"])
      if (kept[keyword] !== undefined) kept[keyword] = simplify(kept[keyword]);
    const { anyOf, const: only, patternProperties } = rest;
    if (Array.isArray(anyOf)) Object.assign(kept, alternatives(anyOf.map(simplify) as Part[]));
    if (only !== undefined) kept.enum = [only];
    if (patternProperties !== undefined)
      kept.additionalProperties = simplify(Object.values(patternProperties as Part)[0]);
    const description = describe(rest);
    if (description !== "") kept.description = description;
    return kept;
  };
  return simplify(schema) as TObject;
}

/** Texts of several formats are text. */
function alternatives(parts: readonly Part[]): Part {
  const texts = parts.every(({ type, enum: values }) => type === "string" && values === undefined);
  return texts ? { type: "string" } : { anyOf: parts };
}

function describe({ description, exclusiveMinimum, format, examples }: Part): string {
  const said = [
    description,
    exclusiveMinimum === undefined ? undefined : `More than ${exclusiveMinimum}.`,
    format === "email" ? "An email address." : undefined,
    format === "date-time" ? "ISO 8601, in UTC." : undefined,
    Array.isArray(examples) && format === undefined ? `For example: ${examples.join(", ")}.` : undefined,
  ];
  return said.filter((part) => part !== undefined).join(" ");
}
